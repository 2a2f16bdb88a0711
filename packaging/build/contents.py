#!/usr/bin/env python3
"""What the programs of a release are made of: rolekeeper.cdx.json, a CycloneDX bill of materials, and LICENCES.txt, the
licence texts of all that is linked in. A licence without its text is an error.

Linked in are the normal dependencies of the programs, std and the C library; what only builds or tests them is not.
"""

import argparse
import hashlib
import html.parser
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path

SPEC = "1.6"
TEXTS = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
# By what words of it the text of a licence is known.
WORDS = {
    "Apache-2.0": "Apache License Version 2.0, January 2004",
    "BSD-3-Clause": "Redistribution and use in source and binary forms",
    "CDLA-Permissive-2.0": "Community Data License Agreement - Permissive - Version 2.0",
    "ISC": "Permission to use, copy, modify, and",
    "MIT": "Permission is hereby granted, free of charge, to any person obtaining a copy",
    "Unlicense": "This is free and unencumbered software released into the public domain",
    "Unicode-3.0": "UNICODE LICENSE V3",
    "Zlib": "This software is provided 'as-is', without any express or implied warranty",
}


def run(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


class Part:
    """Something that is linked in: where it comes from, under which licences, and their texts."""

    def __init__(self, name, version, licence, purl):
        self.name, self.version, self.purl = name, version, purl
        # The older way of writing OR.
        self.licence = licence.replace("/", " OR ")
        self.hashes, self.source, self.texts = [], None, {}
        self.programs, self.needs = set(), set()

    def __str__(self):
        return f"{self.name} {self.version}"

    def lacks(self):
        """The licence whose text is missing. Of alternatives one is enough."""
        texts = [" ".join(text.split()) for text in self.texts.values()]

        def has(licence):
            if licence not in WORDS:
                sys.exit(f"{self}: {licence} is a licence whose text this script cannot tell: add it to WORDS")
            return any(WORDS[licence].lower() in text.lower() for text in texts)

        for every in re.split(r" AND ", self.licence):
            if not any(has(one) for one in re.split(r" OR ", every.strip("()"))):
                return every
        return None


class Words(html.parser.HTMLParser):
    """The text of a page."""

    def __init__(self):
        super().__init__()
        self.text, self.silent = [], 0

    def handle_starttag(self, tag, attrs):
        self.silent += tag in ("style", "script")

    def handle_endtag(self, tag):
        self.silent -= tag in ("style", "script")

    def handle_data(self, data):
        if not self.silent:
            self.text.append(data)


def words_of(page):
    words = Words()
    words.feed(page)
    text = "\n".join(line.rstrip() for line in "".join(words.text).splitlines())
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def crates(programs):
    """The crates of all `programs`, a machine and its target each, by name and version."""
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
    known = {(package["name"], package["version"]): package for package in metadata["packages"]}
    lock = tomllib.loads(Path("Cargo.lock").read_text())
    sums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    parts = {}
    for machine, target in programs:
        tree = run("cargo", "tree", "--locked", "-p", "rolekeeper", "-e", "normal,no-proc-macro", "--target", target,
                   "--prefix", "depth", "--no-dedupe", "--format", " {p}")
        above = []
        for line in tree.splitlines():
            depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
            key = (name, version)
            if key not in parts:
                parts[key] = crate(known[key], sums[key])
            part = parts[key]
            part.programs.add(machine)
            del above[int(depth):]
            if above:
                above[-1].needs.add(part.purl)
            above.append(part)
    return list(parts.values())


def crate(package, checksum):
    part = Part(package["name"], package["version"], package["license"] or "", f"pkg:cargo/{package['name']}@{package['version']}")
    if checksum:
        part.hashes = [{"alg": "SHA-256", "content": checksum}]
    part.source = package["repository"]
    home = Path(package["manifest_path"]).parent
    # Our own crates have theirs at the top of the repository.
    folders = [home] if package["source"] else [Path.cwd()]
    for folder in folders:
        files = folder.rglob("*") if package["source"] else folder.glob("*")
        for file in sorted(files):
            if file.is_file() and TEXTS.match(file.name) and file.suffix in ("", ".txt", ".md"):
                part.texts[str(file.relative_to(folder))] = file.read_text()
    return part


def system(programs, root, compiler, musl):
    """std and the C library of each program."""
    version, commit = (re.search(rf"^{key}: (.*)$", compiler, re.MULTILINE)[1] for key in ("release", "commit-hash"))
    std = Part("std", version, "MIT OR Apache-2.0", f"pkg:github/rust-lang/rust@{commit}#library")
    std.source = "https://github.com/rust-lang/rust"
    std.texts["COPYRIGHT-library.html"] = words_of((root / "share/doc/rust/COPYRIGHT-library.html").read_text())
    libraries = {}
    for machine, target in programs:
        std.programs.add(machine)
        library = root / "lib/rustlib" / target / "lib/self-contained/libc.a"
        if not library.exists():
            library = musl / "usr/lib/arm-linux-musleabihf/libc.a"
        # The C library says its version in what prints it, as a word of its own.
        found = set(re.findall(rb"\0(1\.\d+\.\d+)\0", library.read_bytes()))
        if len(found) != 1:
            sys.exit(f"{library}: the version of musl is not to be found")
        number = found.pop().decode()
        part = libraries.setdefault(number, Part("musl", number, "MIT", f"pkg:generic/musl@{number}"))
        part.source = "https://musl.libc.org"
        part.texts["copyright"] = (musl / "usr/share/doc/musl-dev/copyright").read_text()
        part.programs.add(machine)
        std.needs.add(part.purl)
    return [std, *libraries.values()]


def component(part, machines):
    found = {"type": "library", "bom-ref": part.purl, "name": part.name, "version": part.version, "purl": part.purl}
    if part.hashes:
        found["hashes"] = part.hashes
    found["licenses"] = [{"expression": part.licence}]
    if part.source:
        found["externalReferences"] = [{"type": "vcs" if "github.com" in part.source else "website", "url": part.source}]
    if len(part.programs) < len(machines):
        found["properties"] = [{"name": "rolekeeper:machine", "value": machine} for machine in sorted(part.programs)]
    return found


def bill(own, parts, machines, dist, at):
    """The CycloneDX document; its serial number follows from its content."""
    root = component(own, machines) | {"type": "application"}
    root["components"] = [
        {"type": "file", "bom-ref": f"file:{file}", "name": file,
         "hashes": [{"alg": "SHA-256", "content": hashlib.sha256((dist / file).read_bytes()).hexdigest()}]}
        for file in (f"rolekeeper-{machine}" for machine in machines)
    ]
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {"timestamp": datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "component": root},
        "components": [component(part, machines) for part in parts],
        "dependencies": [{"ref": part.purl, "dependsOn": sorted(part.needs)} for part in [own, *parts]],
    }
    name = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
    return document


def licences(parts):
    """All texts, each once, with those whose it is."""
    whose = {}
    for part in parts:
        for file, text in part.texts.items():
            whose.setdefault(text.strip(), []).append(f"{part} ({file})")
    lines = ["rolekeeper and what is linked into it:", ""]
    lines += [f"    {part}: {part.licence}" for part in parts]
    for text, owners in whose.items():
        lines += ["", "=" * 80, *owners, "-" * 80, "", text]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--dist", type=Path, required=True, help="where the programs are, and the results go")
    parser.add_argument("--musl", type=Path, required=True, help="the unpacked package musl-dev")
    parser.add_argument("programs", nargs="+", metavar="MACHINE=TARGET")
    options = parser.parse_args()
    programs = [program.split("=", 1) for program in options.programs]
    machines = [machine for machine, _ in programs]

    found = crates(programs)
    own = next(part for part in found if part.name == "rolekeeper")
    root = Path(run("rustc", "--print", "sysroot").strip())
    linked = system(programs, root, run("rustc", "-vV"), options.musl)
    own.needs.add(linked[0].purl)
    parts = sorted((part for part in found if part is not own), key=lambda part: (part.name, part.version)) + linked
    without = [f"{part}: no text of {part.lacks()}" for part in [own, *parts] if part.lacks()]
    if without:
        sys.exit("\n".join(without))
    document = bill(own, parts, machines, options.dist, int(os.environ["SOURCE_DATE_EPOCH"]))
    (options.dist / "rolekeeper.cdx.json").write_text(json.dumps(document, indent=2) + "\n")
    (options.dist / "LICENCES.txt").write_text(licences([own, *parts]))


if __name__ == "__main__":
    main()
