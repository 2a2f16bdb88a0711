"""Holds two images against each other and against the program: image.py ARCHIVE OTHER PROGRAM [ARCHITECTURE], both OCI
archives. Their layers hold one file, the program, and they are configured alike. Of an image for several architectures,
the one that is named is looked at."""

import hashlib
import io
import json
import pathlib
import sys
import tarfile

GZIP = b"\x1f\x8b"


def blob(archive, descriptor):
    digest = descriptor["digest"]
    content = archive.extractfile("blobs/" + digest.replace(":", "/")).read()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest, digest
    assert len(content) == descriptor["size"], digest
    return content


def contents(path, architecture):
    """The configuration, and each file of the layers: name, mode, owner, kind, digest, size."""
    archive = tarfile.open(path)
    index = json.loads(archive.extractfile("index.json").read())
    (top,) = index["manifests"]
    manifest = json.loads(blob(archive, top))
    if "manifests" in manifest:
        (top,) = [entry for entry in manifest["manifests"] if entry["platform"]["architecture"] == architecture]
        manifest = json.loads(blob(archive, top))
    config = json.loads(blob(archive, manifest["config"]))
    files = []
    for layer, diff in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        content = blob(archive, layer)
        if content[:2] == GZIP:
            import gzip

            content = gzip.decompress(content)
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == diff, diff
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for entry in tar:
                digest = hashlib.sha256(tar.extractfile(entry).read()).hexdigest() if entry.isfile() else None
                files.append((entry.name, oct(entry.mode & 0o7777), entry.uid, entry.gid, entry.type, digest, entry.size))
    return config, files


def settings(config):
    """What a runtime goes by; an engine adds its own label and the search path that every runtime sets."""
    given = dict(config["config"])
    given["Env"] = [variable for variable in given.get("Env", []) if not variable.startswith("PATH=")]
    given["Labels"] = {key: value for key, value in given.get("Labels", {}).items() if not key.startswith("io.buildah")}
    return {**given, "os": config["os"], "architecture": config["architecture"]}


def main():
    one, other, program, *architecture = sys.argv[1:]
    content = pathlib.Path(program).read_bytes()
    only = [("rolekeeper", "0o755", 0, 0, tarfile.REGTYPE, hashlib.sha256(content).hexdigest(), len(content))]
    (config, files), (other_config, other_files) = contents(one, *architecture or [None]), contents(other, *architecture or [None])
    assert architecture in ([], [config["architecture"]]), config["architecture"]
    for path, found in ((one, files), (other, other_files)):
        if found != only:
            sys.exit(f"{path} holds {found}")
    if settings(config) != settings(other_config):
        sys.exit(f"{settings(config)}\n{settings(other_config)}")
    if architecture:
        return
    size = pathlib.Path(other).stat().st_size
    print(f"measured: the program has {len(content)} bytes, the archive of its image {size}")


main()
