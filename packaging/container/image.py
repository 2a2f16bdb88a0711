#!/usr/bin/env python3
"""Writes the image that the Dockerfile beside it describes without a container engine: an OCI image layout in a tar
archive, for `podman load`, `docker load` (from 25 on), `skopeo copy oci-archive:...`.

    packaging/container/image.py --context target/dist --output rolekeeper.tar

Takes every architecture whose program is in the context; `--architecture` asks for certain ones. The same programs
give the same bytes, on every machine: no compression, no names of users, and the time of SOURCE_DATE_EPOCH, else 1970.
Needs nothing but Python."""

import argparse
import datetime
import hashlib
import io
import json
import os
import pathlib
import shlex
import sys
import tarfile

DOCKERFILE = pathlib.Path(__file__).with_name("Dockerfile")
OCI = "application/vnd.oci.image"
# What the program has to be: `e_machine` of its ELF header, and what the architecture is called beyond its name.
MACHINES = {"amd64": (62, {}), "arm64": (183, {"variant": "v8"}), "arm": (40, {"variant": "v7"})}


def read_dockerfile(text):
    """The file that each stage copies, by architecture and as (from, to), and the configuration of the last one."""
    copies, config, stage = {}, {}, None
    for number, line in enumerate(text.splitlines(), 1):
        word, _, rest = line.strip().partition(" ")
        if not word or word.startswith("#"):
            continue
        words = shlex.split(rest)
        if word == "FROM" and words[0] == "scratch" and words[1:2] == ["AS"] and words[2] in MACHINES:
            stage = words[2]
        elif word == "ARG" and words == ["TARGETARCH"]:
            pass
        elif word == "FROM" and words == ["${TARGETARCH}"]:
            stage = None
        elif word == "COPY" and stage and stage not in copies and len(words) == 2:
            copies[stage] = (words[0], words[1].lstrip("/"))
        elif word in ("ENTRYPOINT", "CMD") and not stage:
            config[word.capitalize()] = json.loads(rest)
        elif word == "USER" and not stage:
            config["User"] = rest
        elif word == "ENV" and not stage and len(words) == 1:
            config.setdefault("Env", []).append(words[0])
        elif word == "LABEL" and not stage and len(words) == 1:
            key, _, value = words[0].partition("=")
            config.setdefault("Labels", {})[key] = value
        else:
            sys.exit(f"{DOCKERFILE}:{number}: `{line}` is not understood here")
    return copies, config


def program(path, architecture):
    """The bytes of a program for this architecture."""
    content = path.read_bytes()
    machine = int.from_bytes(content[18:20], "little") if content[:4] == b"\x7fELF" else None
    if machine != MACHINES[architecture][0]:
        sys.exit(f"{path} is no program for {architecture}")
    return content


def archive(files, time):
    """A tar archive of (name, mode, content), all of them root's."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), mode, time
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class Blobs:
    """What the layout holds, by digest."""

    def __init__(self):
        self.content = {}

    def add(self, kind, content, **more):
        """Keeps the content, JSON where it is no bytes, and returns its descriptor."""
        if not isinstance(content, bytes):
            content = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(content).hexdigest()
        self.content[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(content), **more}


def main():
    parser = argparse.ArgumentParser(description="Writes the image without a container engine.")
    parser.add_argument("--context", type=pathlib.Path, default=pathlib.Path("target/dist"), help="where the programs are")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("rolekeeper.tar"), help="the archive")
    parser.add_argument("--name", default="localhost/rolekeeper:latest", help="what the image is called once it is loaded")
    parser.add_argument("--architecture", action="append", choices=sorted(MACHINES), help="only these; repeated for several")
    arguments = parser.parse_args()
    time = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    created = datetime.datetime.fromtimestamp(time, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    copies, config = read_dockerfile(DOCKERFILE.read_text())
    wanted = arguments.architecture or [name for name, (source, _) in copies.items() if (arguments.context / source).exists()]
    if not wanted:
        sys.exit(f"there is no program in {arguments.context}: none of {', '.join(source for source, _ in copies.values())}")

    blobs, manifests = Blobs(), []
    for architecture in sorted(set(wanted)):
        source, target = copies[architecture]
        layer = archive([(target, 0o755, program(arguments.context / source, architecture))], time)
        platform = {"architecture": architecture, "os": "linux", **MACHINES[architecture][1]}
        layer_descriptor = blobs.add("layer.v1.tar", layer)
        image = {
            **platform,
            "created": created,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
            "history": [{"created": created, "created_by": f"COPY {source} /{target}"}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": blobs.add("config.v1+json", image),
            "layers": [layer_descriptor],
        }
        manifests.append(blobs.add("manifest.v1+json", manifest, platform=platform))
    # Several are one image, from which everybody takes what fits.
    top = manifests[0]
    if len(manifests) > 1:
        nested = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests}
        top = blobs.add("index.v1+json", nested)
    names = {"io.containerd.image.name": arguments.name, "org.opencontainers.image.ref.name": arguments.name}
    index = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.index.v1+json",
        "manifests": [{**top, "annotations": names}],
    }
    files = [("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode()), ("index.json", json.dumps(index).encode())]
    content = archive([(name, 0o644, text) for name, text in files + sorted(blobs.content.items())], time)
    temporary = arguments.output.with_name(arguments.output.name + ".part")
    temporary.write_bytes(content)
    temporary.replace(arguments.output)


if __name__ == "__main__":
    main()
