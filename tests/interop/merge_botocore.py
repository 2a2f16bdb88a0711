#!/usr/bin/env python3
"""Merges into thousands of random credentials files and compares what botocore reads before and after.

Every section but ours has to read the same, ours has to have the three keys as they were given and its other keys as
they were, and a file that is refused must not change. The files mix the dialects of all readers: comments, both line
ends and none at the end, continuation lines, both separators, indented sections, duplicates, a byte order mark.

Usage: merge_botocore.py --rolekeeper BINARY [--files N] [--seed N]
Exits 0 where everything agrees, 1 where anything differs, 77 (skipped) where botocore is not installed.
"""

import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

NAME = "ours"
KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
HELPER = "--merge-for-the-owner-of-the-directory"
NOBODY = 65534

HEADERS = (
    f"[{NAME}]", f"[{NAME}]", f"[{NAME}] # mine", "[default]", "[a]", "[b] ; with a comment", "[profile ours]", "[c d]",
    "[ e ]", "[Ours]", "[DEFAULT]", '["quoted"]', "[x/y.z%@:+-_]", "[sso-session s]", "[f]#", "[g] [h]",
)
LINES = (
    "aws_access_key_id = OLD", "aws_secret_access_key=OLD ; comment", "AWS_Session_Token : OLD", "aws_session_token =",
    "region = us-east-1", "output: json", "Expr = a=b;c#d", "s3 =", "  addressing_style = path", "\tmore", "   [nested]",
    "", "  ", "# comment", "; comment [ours]", "  # indented comment", "role_arn = arn:aws:iam::111122223333:role/r",
    "empty =", "quoted = \"a\"", "utf8 = \u00e9\u00fc \u2603", "x_security_token_expires = 2026-01-01T00:00:00Z",
)


def generate(numbers):
    end = numbers.choice(("\n", "\n", "\n", "\r\n"))
    lines = [numbers.choice(("# top", "; top", "")) for _ in range(numbers.randrange(3))]
    headers = list(HEADERS)
    for _ in range(numbers.randrange(6)):
        header = numbers.choice(headers)
        # Mostly each section and key once, so that botocore reads the file at all.
        if numbers.random() < 0.95:
            headers = [other for other in headers if other.split("]")[0] != header.split("]")[0]]
        lines.append(header)
        left = list(LINES)
        indent = numbers.choice(("", "", "", "", "  "))
        has_property = False
        for _ in range(numbers.randrange(8)):
            line = numbers.choice(left)
            if line.strip() and not line.strip().startswith(("#", ";")):
                key = line.split("=")[0].split(":")[0].strip().lower()
                if numbers.random() < 0.97:
                    left = [other for other in left if other.split("=")[0].split(":")[0].strip().lower() != key]
                if line[0] in " \t" and not has_property and numbers.random() < 0.98:
                    continue
                has_property = True
            lines.append(indent + line if line.strip() else line)
    if numbers.random() < 0.02:
        lines.insert(numbers.randrange(len(lines) + 1), numbers.choice(("word", "[open", "= value", "early = 1")))
    text = end.join(lines) + numbers.choice((end, end, "", end + end))
    return numbers.choice(("",) * 20 + ("\ufeff",)) + text


def read(path):
    import botocore.configloader
    import botocore.exceptions

    try:
        return botocore.configloader.raw_config_parse(str(path), parse_subsections=False)
    except botocore.exceptions.ConfigParseError:
        return None


def merge(binary, path, values):
    request = [("path", path), ("section", NAME), ("mode", 384)]
    request += [("access_key_id", values[0]), ("secret_access_key", values[1]), ("session_token", values[2])]
    text = "".join(f"{name} {value}\n" for name, value in request) + "end of request\n"
    # The helper does not work as root.
    other = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    run = subprocess.run([binary, HELPER], input=text.encode(), capture_output=True, env={}, check=False, **other)
    return run.returncode, run.stderr.decode(errors="replace")


def judge(binary, path, numbers):
    text = generate(numbers)
    path.write_bytes(text.encode())
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    before = read(path)
    values = ("ASIANEW", "new/secret+=", numbers.choice(("new/session==", "")))
    code, message = merge(binary, path, values)
    after_bytes = path.read_bytes()
    complaint = None
    if code not in (0, 3):
        if after_bytes != text.encode():
            complaint = f"refused ({message}), and changed all the same"
        elif before is not None and "some SDKs and not for others" not in message and "indented" not in message:
            complaint = f"refused: {message}"
        return before, False, complaint and f"{complaint}\n{text!r}"
    if before is not None:
        after = read(path)
        if after is None:
            complaint = "botocore cannot read it any more"
        else:
            ours, were = after.pop(NAME, {}), before.pop(NAME, {})
            defaults = [key for key in KEYS if "[DEFAULT]" in text and key in ours]
            wanted = dict(zip(KEYS, values))
            if not wanted[KEYS[2]] and KEYS[2] not in defaults:
                del wanted[KEYS[2]]
            if after != before:
                complaint = f"another section changed: {before} to {after}"
            elif any(ours.get(key) != value for key, value in wanted.items() if value):
                complaint = f"ours reads {ours}"
            elif KEYS[2] not in wanted and KEYS[2] in ours:
                complaint = f"an old session token stays: {ours}"
            elif were and {key: value for key, value in ours.items() if key not in KEYS} != {
                key: value for key, value in were.items() if key not in KEYS
            }:
                complaint = f"other keys of ours changed: {were} to {ours}"
    return before, True, complaint and f"{complaint}\n{text!r}\n{after_bytes!r}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rolekeeper", required=True)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    try:
        import botocore
    except ImportError:
        print("skipped: botocore is not installed", file=sys.stderr)
        return 77
    numbers = random.Random(given.seed)
    readable = merged = differing = 0
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        binary = shutil.copy(given.rolekeeper, directory / "rolekeeper")
        os.chmod(directory, 0o755)
        os.chmod(binary, 0o755)
        place = directory / "place"
        place.mkdir()
        if os.geteuid() == 0:
            os.chown(place, NOBODY, NOBODY)
        for number in range(given.files):
            before, was_merged, complaint = judge(binary, place / "credentials", numbers)
            readable += before is not None
            merged += was_merged
            if complaint:
                differing += 1
                print(f"differs: file {number}: {complaint}", file=sys.stderr)
    print(f"botocore {botocore.__version__}: {given.files} files, {readable} readable, {merged} merged, {differing} differ")
    return 1 if differing or readable * 2 < given.files or merged * 3 < given.files * 2 else 0


if __name__ == "__main__":
    sys.exit(main())
