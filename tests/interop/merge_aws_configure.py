#!/usr/bin/env python3
"""Lets the AWS CLI write to a credentials file while rolekeeper rotates its own section in it, and counts what is lost.

`aws configure set` takes no lock: it reads the file, truncates it and writes it whole. First the command itself runs,
again and again; starting it takes longer than anything that it does, so that afterwards the very class that it writes
with is called in a tight loop. Rotations are forced all the time beside both. After each change the file is looked at,
once the rotation under way has ended: the change has to be there, but for the window that the README documents. Every
other byte of the file has to stay for ever, and our section has to be back after one more run.

Usage: merge_aws_configure.py --fake-aws PROGRAM --rolekeeper PROGRAM [--venv DIRECTORY] [--seconds N]

Prints what was measured, then `N passed, N failed`. Exits 0 where all passed, 1 where any failed, 77 (skipped) where the
CLI is not installed.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

from consumers import CONFIG, PROFILE, Checks, Fake, find

# Beside the section that the CLI changes: what a writer that takes files apart would lose.
FOREIGN = (
    "# kept by hand\n\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key=a b # c\n\n"
    "[other]\naws_access_key_id = AKIAOTHER\naws_session_token = 0\n  ; indented\n\n[last]\nkey : value"
)
# Every so many changes in the tight loop may be lost at most; the README says what is measured.
TOLERATED = 50

# Run by the interpreter of the CLI: one change for each line of its input, told when it is made.
WRITER = """
import sys
from awscli.customizations.configure.writer import ConfigFileWriter
writer = ConfigFileWriter()
for line in sys.stdin:
    writer.update_config({"__section__": "other", "aws_session_token": line.strip()}, sys.argv[1])
    print("done", flush=True)
"""


class Rotations(threading.Thread):
    """Forces one rotation after the other."""

    def __init__(self, refresh):
        super().__init__(daemon=True)
        self.refresh = refresh
        self.over = threading.Event()
        self.count = 0
        # Seconds that the last one took.
        self.took = 0.0
        self.between = threading.Condition()

    def run(self):
        while not self.over.is_set():
            start = time.monotonic()
            self.refresh("--force")
            with self.between:
                self.took = time.monotonic() - start
                self.count += 1
                self.between.notify_all()

    def let_one_end(self):
        """Waits until the rotation under way has ended."""
        with self.between:
            known = self.count
            self.between.wait_for(lambda: self.count > known or self.over.is_set(), timeout=60)

    def end(self):
        self.over.set()
        self.join()


class Host:
    """A credentials file of somebody's, and rolekeeper that keeps a section in it."""

    def __init__(self, directory, fake, rolekeeper):
        self.shared = directory / "home" / "credentials"
        self.shared.parent.mkdir(mode=0o700)
        self.shared.write_bytes(FOREIGN.encode())
        self.shared.chmod(0o600)
        self.config = directory / "config"
        self.config.write_text(f"{CONFIG}rolekeeper_credentials_file = {self.shared}\n")
        self.config.chmod(0o600)
        self.out = directory / "out"
        self.rolekeeper = rolekeeper
        self.environment = {
            **fake.environment(),
            "PATH": "/usr/bin:/bin",
            "HOME": str(directory / "home"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.shared),
        }
        self.refused = 0

    def refresh(self, *arguments):
        run = subprocess.run(
            [self.rolekeeper, "refresh", "--config", self.config, "--output-dir", self.out, *arguments],
            env={name: value for name, value in self.environment.items() if name != "AWS_SHARED_CREDENTIALS_FILE"},
            capture_output=True,
            text=True,
        )
        # A file that is truncated at the very moment is left alone, and so is one that never stands still.
        if run.returncode == 73:
            self.refused += 1
        elif run.returncode != 0:
            raise RuntimeError(f"{run.returncode}: {run.stderr}")

    def text(self):
        return self.shared.read_bytes().decode()

    def foreign(self):
        """The file without our section."""
        before, _, after = self.text().partition(f"[{PROFILE}]\n")
        ours = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        rest = after.splitlines(keepends=True)
        while rest and rest[0].startswith(ours):
            rest.pop(0)
        return before + "".join(rest)


def expected(value):
    return FOREIGN.replace("aws_session_token = 0", f"aws_session_token = {value}")


def measure(checks, host, what, change, seconds, tolerated):
    """Changes the file until the time is over."""
    rotations = Rotations(host.refresh)
    rotations.start()
    until, count, lost, taken, torn = time.monotonic() + seconds, 0, 0, 0, []
    while time.monotonic() < until:
        count += 1
        value = f"value-{count}"
        # At any moment of a rotation, and not always at its beginning.
        time.sleep(random.uniform(0, rotations.took))
        change(value)
        rotations.let_one_end()
        found = host.foreign()
        if f"aws_session_token = {value}" not in found:
            lost += 1
        elif found.rstrip("\n") != expected(value):
            torn.append(found)
        taken += f"[{PROFILE}]" not in host.text()
    rotations.end()
    print(
        f"measured: {what}, {count} changes beside {rotations.count} rotations: {lost} lost, "
        f"our section taken back {taken} times, left alone {host.refused} times",
        flush=True,
    )
    host.refused = 0
    checks.check(f"{what}: changes are kept, but for the documented window", lost <= tolerated(count), lost)
    checks.check(f"{what}: every other byte stays", not torn, torn[:1])
    host.refresh()
    host.refresh("--force")
    # The last change may be the one that was lost.
    change("last")
    checks.check(f"{what}: all is there at the end", host.foreign().rstrip("\n") == expected("last"), host.text())
    checks.check(f"{what}: our section is back", f"[{PROFILE}]\naws_access_key_id = ASIA" in host.text(), host.text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fake-aws", required=True, type=pathlib.Path)
    parser.add_argument("--rolekeeper", required=True, type=pathlib.Path)
    parser.add_argument("--venv", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=30)
    arguments = parser.parse_args()
    aws, python = find(arguments.venv, "aws"), find(arguments.venv, "python3") or sys.executable
    if not aws or subprocess.run([python, "-c", "import awscli"], capture_output=True).returncode != 0:
        print("skipped: the AWS CLI is not installed", file=sys.stderr)
        return 77
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="rolekeeper-configure-") as name:
        directory = pathlib.Path(name)
        fake = Fake(arguments.fake_aws.absolute(), directory / "fake")
        host = Host(directory, fake, arguments.rolekeeper.absolute())
        host.refresh()

        def command(value):
            subprocess.run(
                [aws, "configure", "set", "aws_session_token", value, "--profile", "other"],
                env=host.environment,
                stdin=subprocess.DEVNULL,
                check=True,
            )

        writer = subprocess.Popen(
            [python, "-c", WRITER, host.shared],
            env=host.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def call(value):
            writer.stdin.write(value + "\n")
            writer.stdin.flush()
            writer.stdout.readline()

        # So few changes by the command itself meet the window by chance only.
        measure(checks, host, "`aws configure set`", command, arguments.seconds, lambda count: 1)
        measure(checks, host, "its writer in a loop", call, arguments.seconds, lambda count: max(1, count // TOLERATED))
        writer.stdin.close()
        writer.wait(timeout=10)
        fake.end()
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
