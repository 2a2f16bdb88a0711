"""Takes the manifests of packaging/container at their word: manifests.py COMMAND ARGUMENT...

    schema FILE...            strictly against the schemas of Kubernetes, for the oldest release that has sidecars and the
                              newest that the validator knows; and what its schema does not say of names that have to match
    pod FILE DIRECTORY        lays out the volumes of a pod of FILE as the kubelet would
    task FILE DIRECTORY       lays out the volumes of an ECS task as its agent would

The last two write, for each container, DIRECTORY/NAME.flags for `podman run`, NAME.words for its program and NAME.probe
for its health check, each word followed by a zero byte; and DIRECTORY/order, the containers one in a line. What they do not
know of a manifest is an error, so that nothing in it goes untested by oversight."""

import json
import os
import pathlib
import sys

ACCEPTED_BY_NAME = {"metadata", "resources", "updateStrategy", "replicas", "priorityClassName", "nodeSelector", "tolerations"}


def only(thing, *known):
    """The values of `known`, `None` for those that are missing; an error where there are others."""
    unknown = set(thing) - set(known) - ACCEPTED_BY_NAME
    assert not unknown, f"nothing here knows {', '.join(sorted(unknown))}"
    return [thing.get(key) for key in known]


def directory(path, mode, group=0):
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, 0, group)
    path.chmod(mode)
    return path


class Container:
    """The flags and words of one container."""

    def __init__(self, name):
        self.name, self.flags, self.words, self.probe = name, ["--name", name, "--network=host"], [], []

    def security(self, user, read_only, drop, add=()):
        if user is not None:
            self.flags.append(f"--user={user}")
        if read_only:
            self.flags += ["--read-only", "--read-only-tmpfs=false"]
        self.flags += [f"--cap-drop={name}" for name in drop] + [f"--cap-add={name}" for name in add]

    def mount(self, source, target, read_only):
        self.flags += ["--volume", f"{source}:{target}{':ro' if read_only else ''}"]

    def write(self, place):
        for kind, words in (("flags", self.flags), ("words", self.words), ("probe", self.probe)):
            (place / f"{self.name}.{kind}").write_text("".join(f"{word}\0" for word in words))


def documents(path):
    import yaml

    return [document for document in yaml.safe_load_all(pathlib.Path(path).read_text()) if document]


def schema(paths):
    import kubernetes_validate

    releases = sorted((kubernetes_validate.utils.latest_version(), "1.29"))
    for path in paths:
        for document in documents(path):
            for release in releases:
                kubernetes_validate.validate(document, release, strict=True)
            if "spec" in document:
                spec = document["spec"]
                assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items(), path
    print(f"{len(paths)} files are valid for Kubernetes {' and '.join(releases)}")


def config_map(place, files, mode, group):
    """As the kubelet writes it: a directory for each version, and links to it by way of `..data`."""
    version = directory(directory(place, mode, group) / "..2026_01_01", 0o755, group)
    for name, text in files.items():
        (version / name).write_text(text)
        (version / name).chmod(0o644)
        (place / name).symlink_to(f"..data/{name}")
    (place / "..data").symlink_to(version.name)


def pod_volumes(volumes, maps, place, group):
    """The source of each volume, by its name."""
    sources = {}
    for volume in volumes:
        source = place / "volumes" / volume["name"]
        configured, projected, empty, host = only(volume, "name", "configMap", "projected", "emptyDir", "hostPath")[1:]
        if configured:
            config_map(source, maps[only(configured, "name")[0]], 0o777, group)
        elif projected:
            (inner,) = only(projected, "sources")[0]
            config_map(source, maps[only(inner, "configMap")[0]["name"]], 0o1777, group)
        elif empty:
            directory(source, 0o2777 if group else 0o777, group)
        else:
            path, kind = only(host, "path", "type")
            assert kind == "DirectoryOrCreate", kind
            source = place / "node" / path.lstrip("/")
            if not source.exists():
                directory(source, 0o755)
        sources[volume["name"]] = source
    return sources


def pod_container(described, pod_security, sources):
    name, _, restart, security, startup, readiness, mounts, variables, words = only(
        described, "name", "image", "restartPolicy", "securityContext", "startupProbe", "readinessProbe", "volumeMounts", "env", "args"
    )
    assert restart in (None, "Always"), restart
    user, group, escalation, read_only, capabilities = only(
        security, "runAsUser", "runAsGroup", "allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"
    )
    non_root, fs_group, seccomp = only(pod_security, "runAsNonRoot", "fsGroup", "seccompProfile")
    assert user or not non_root, "the user is root"
    assert seccomp == {"type": "RuntimeDefault"} and escalation is False, name
    container = Container(name)
    container.security(f"{user}:{group}", read_only, *[words or [] for words in only(capabilities, "drop", "add")])
    container.flags.append("--security-opt=no-new-privileges")
    if fs_group:
        container.flags += ["--group-add", fs_group]
    limit = described.get("resources", {}).get("limits", {}).get("memory")
    if limit:
        container.flags += ["--memory", limit.removesuffix("i").lower()]
    for variable in variables or []:
        container.flags += ["--env", "=".join(only(variable, "name", "value"))]
    for mount in mounts:
        volume, target, is_read_only = only(mount, "name", "mountPath", "readOnly")
        container.mount(sources[volume], target, is_read_only)
    container.words = words or []
    container.probe = ((startup or readiness) or {"exec": {"command": []}})["exec"]["command"]
    return container


def pod(path, place):
    place = pathlib.Path(place)
    found = documents(path)
    maps = {document["metadata"]["name"]: document["data"] for document in found if document["kind"] == "ConfigMap"}
    (workload,) = [document for document in found if document["kind"] != "ConfigMap"]
    spec = workload["spec"]["template"]["spec"]
    first, then, volumes, security = only(
        spec, "initContainers", "containers", "volumes", "securityContext",
        "serviceAccountName", "automountServiceAccountToken", "hostNetwork", "dnsPolicy",
    )[:4]
    sources = pod_volumes(volumes, maps, place, security.get("fsGroup", 0))
    return [pod_container(described, security, sources) for described in (first or []) + then]


def task_container(described, sources):
    name, image, _, waits, user, read_only, linux, health, mounts, variables, words = only(
        described, "name", "image", "essential", "dependsOn", "user", "readonlyRootFilesystem", "linuxParameters", "healthCheck",
        "mountPoints", "environment", "command",
    )
    container = Container(name)
    container.security(user, read_only, (linux or {}).get("capabilities", {}).get("drop", []))
    for variable in variables or []:
        container.flags += ["--env", "=".join(only(variable, "name", "value"))]
    for mount in mounts:
        volume, target, is_read_only = only(mount, "sourceVolume", "containerPath", "readOnly")
        container.mount(sources[volume], target, is_read_only)
    container.words = words or []
    if health:
        kind, *container.probe = health["command"]
        assert kind == "CMD", "there is no shell in the image"
    return container, {wait["containerName"]: wait["condition"] for wait in waits or []}


def task(path, place):
    place = pathlib.Path(place)
    described = json.loads(pathlib.Path(path).read_text())
    # An empty volume is root's, and everybody may pass.
    sources = {volume["name"]: directory(place / "volumes" / volume["name"], 0o755) for volume in described["volumes"]}
    containers, started = [], {}
    for one in described["containerDefinitions"]:
        container, waits = task_container(one, sources)
        for name, condition in waits.items():
            assert (condition == "HEALTHY") == bool(started[name].probe), f"{name} cannot become {condition}"
        started[container.name] = container
        containers.append(container)
    return containers


def main():
    command, *arguments = sys.argv[1:]
    if command == "schema":
        return schema(arguments)
    place = pathlib.Path(arguments[1])
    place.mkdir(parents=True, exist_ok=True)
    containers = {"pod": pod, "task": task}[command](*arguments)
    for container in containers:
        container.write(place)
    (place / "order").write_text("".join(f"{container.name}\n" for container in containers))


main()
