#!/usr/bin/env python3
"""Judges rolekeeper.cdx.json of a release by CycloneDX's own library: its schema, that every reference leads somewhere,
and that the checksums in it are those of the programs beside it. Usage: bill.py DIRECTORY
"""

import hashlib
import json
import sys
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

directory = Path(sys.argv[1])
text = (directory / "rolekeeper.cdx.json").read_text()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if error:
    sys.exit(f"not CycloneDX {SchemaVersion.V1_6.to_version()}: {error}")
document = json.loads(text)
bom = Bom.from_json(document)
# Fails on a dependency of, or on, something that is not listed.
bom.validate()
references = {component["bom-ref"] for component in document["components"]}
lost = {name for entry in document["dependencies"] for name in entry.get("dependsOn", [])} - references
if lost:
    sys.exit(f"depended on, and not listed: {lost}")
for name in ("ring", "rustls", "webpki-roots", "rolekeeper-sigv4", "std", "musl"):
    if name not in {component["name"] for component in document["components"]}:
        sys.exit(f"{name} is linked in, and not listed")
for name in ("fake-aws", "rolekeeper-fake-aws", "rcgen", "cc"):
    if name in {component["name"] for component in document["components"]}:
        sys.exit(f"{name} is listed, and not linked in")
files = document["metadata"]["component"]["components"]
programs = sorted(path.name for path in directory.glob("rolekeeper-*[4l]"))
if sorted(file["name"] for file in files) != programs:
    sys.exit(f"the programs are {programs}")
for file in files:
    if hashlib.sha256((directory / file["name"]).read_bytes()).hexdigest() != file["hashes"][0]["content"]:
        sys.exit(f"{file['name']} has another checksum")
print(f"measured: {len(document['components'])} components in {len(programs)} programs")
