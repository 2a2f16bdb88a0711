#!/usr/bin/env python3
"""Compares what botocore reads in the files of tests/config/agreed.txt with what the table says.

The table is also compared with rolekeeper's own reading (`cargo test -p rolekeeper --lib config::document`), so
that the two readers agree wherever both documents promise the same.

Usage: config_botocore.py [--print]      with --print, writes botocore's values instead of comparing them
Exits 0 where everything agrees, 1 where anything differs, 77 (skipped) where botocore is not installed.
"""

import os
import pathlib
import sys
import tempfile

TABLE = pathlib.Path(__file__).resolve().parent.parent / "config" / "agreed.txt"


def cases(text):
    for case in text.split("\n=== ")[1:]:
        title, body = case.split("\n", 1)
        blocks = {}
        for block in ("\n" + body).split("\n--- ")[1:]:
            name, content = block.split("\n", 1) if "\n" in block else (block, "")
            blocks[name] = content.replace("<tab>", "\t").replace("<cr>", "\r")
        yield title, blocks


def listing(prefix, values):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from listing(f"{prefix}.{key}", value)
        else:
            value = value.replace("\n", "\\n")
            yield f"{prefix}.{key} = {value}".rstrip()


def read(blocks, session_class):
    with tempfile.TemporaryDirectory() as directory:
        for name in ("config", "credentials"):
            path = os.path.join(directory, name)
            with open(path, "w", encoding="utf-8", newline="") as file:
                # Each block has lost its last line end to the next marker; an extra one would change nothing.
                file.write(blocks.get(name, "") + "\n")
        os.environ["AWS_CONFIG_FILE"] = os.path.join(directory, "config")
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.path.join(directory, "credentials")
        full = session_class().full_config
    lines = list(listing("profile", full["profiles"]))
    lines += listing("services", full.get("services", {}))
    return sorted(lines)


def main():
    try:
        import botocore
        import botocore.session
    except ImportError:
        print("skipped: botocore is not installed", file=sys.stderr)
        return 77
    differing = 0
    count = 0
    for title, blocks in cases(TABLE.read_text(encoding="utf-8")):
        count += 1
        found = read(blocks, botocore.session.Session)
        expected = [line for line in blocks["expect"].splitlines() if line]
        if "--print" in sys.argv[1:]:
            print(f"=== {title}", *found, sep="\n")
        elif found != expected:
            differing += 1
            print(f"differs: {title}\n  table:    {expected}\n  botocore: {found}", file=sys.stderr)
    print(f"botocore {botocore.__version__}: {count - differing} of {count} cases agree")
    return 1 if differing or not count else 0


if __name__ == "__main__":
    sys.exit(main())
