#!/usr/bin/env python3
"""Lets the AWS CLI, boto3 and the AWS SDK for Rust use what rolekeeper publishes, against the fake AWS.

One refresh of the user guide's cross-account profile is followed by every way of pointing a consumer at its files.
With the profile, my-bucket-2 can be listed and my-bucket-1 cannot; without it, the other way round. At the end one
process of each consumer outlives several sets of credentials.

Usage: consumers.py --fake-aws PROGRAM --rolekeeper PROGRAM --sdk-consumer PROGRAM [--venv DIRECTORY]

The CLI and boto3 are those of DIRECTORY, else those on PATH. Every consumer has a cleared environment and a home
directory of its own, and an instance metadata service on loopback.

Prints one line for each check, then `N passed, N failed`. Exits 0 where all passed, 1 where any failed, 77 (skipped)
where the CLI or boto3 is not installed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

PROFILE = "instancecrossaccount"
CONFIG = f"""[profile {PROFILE}]
role_arn = arn:aws:iam::222222222222:role/efgh
credential_source = Ec2InstanceMetadata
"""
BUCKETS = ("my-bucket-1", "my-bucket-2")
SWITCHED = {"my-bucket-1": "AccessDenied", "my-bucket-2": "listed", "identity": ":assumed-role/efgh/rolekeeper-i-"}
ORIGINAL = {"my-bucket-1": "listed", "my-bucket-2": "AccessDenied", "identity": ":assumed-role/abcd/i-"}
# Seconds. On a busy machine a call of boto3 has to fit into the half that is left when the daemon rotates, and three of
# them into the hundred seconds that the AWS CLI waits.
SHORT_SESSION = 12
ROTATIONS = 3

# Asks all three questions, in one process or, told to, again for each line of its input.
BOTO3 = """
import json, sys
import boto3, botocore.exceptions
name, rounds = sys.argv[1] or None, int(sys.argv[2])
session = boto3.Session(profile_name=name)
s3, sts = session.client("s3"), session.client("sts")
def listing(bucket):
    try:
        return "listed" if s3.list_objects_v2(Bucket=bucket)["KeyCount"] else "empty"
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
for number in range(rounds):
    if number:
        sys.stdin.readline()
    answers = {bucket: listing(bucket) for bucket in ("my-bucket-1", "my-bucket-2")}
    answers["identity"] = sts.get_caller_identity()["Arn"]
    answers["key"] = session.get_credentials().get_frozen_credentials().access_key
    print(json.dumps(answers), flush=True)
"""


class Checks:
    """Counts what was found to be right and wrong."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, what, is_right, found=""):
        if is_right:
            self.passed += 1
            print(f"ok      {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {what}: {found}", flush=True)

    def answers(self, what, found, expected):
        for question in expected:
            answer = found.get(question, "no answer")
            is_right = expected[question] in answer if question == "identity" else expected[question] == answer
            self.check(f"{what}: {question} {expected[question]}", is_right, found)


class Fake:
    """The fake AWS as a process that obeys lines and ends with us."""

    def __init__(self, program, directory):
        self.directory = directory
        self.process = subprocess.Popen(
            [program, "--dir", str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ready = self.process.stdout.readline().strip()
        if ready != "READY":
            raise RuntimeError(f"the fake AWS says {ready!r} instead of READY")

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer.startswith("OK"):
            raise RuntimeError(f"the fake AWS answers {answer!r} to {line!r}")
        return answer.removeprefix("OK").strip()

    def requests(self):
        """What it was asked since it was last asked for this."""
        return json.loads(self.tell("requests"))

    def environment(self):
        lines = (self.directory / "env").read_text().splitlines()
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
        variables = {name: value.strip("'") for name, value in pairs}
        # For an address, clients put the bucket into the path; `my-bucket-1.localhost` resolves on few hosts only.
        variables["AWS_ENDPOINT_URL_S3"] = variables["AWS_ENDPOINT_URL_S3"].replace("localhost", "127.0.0.1")
        return variables

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


class Host:
    """The host: a directory, the published files, and the consumers on it."""

    def __init__(self, directory, fake, rolekeeper, aws, python):
        self.out = directory / "out"
        self.rolekeeper = rolekeeper
        self.aws = aws
        self.python = python
        self.fake_variables = fake.environment()
        self.config = directory / "config"
        self.config.write_text(CONFIG)
        self.config.chmod(0o600)
        self.home = directory / "home"
        self.home.mkdir(mode=0o700)

    def environment(self, variables):
        common = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "AWS_DEFAULT_REGION": "us-east-1"}
        return {**common, **self.fake_variables, **variables}

    def refresh(self, *arguments):
        subprocess.run(
            [self.rolekeeper, "refresh", "--config", self.config, "--output-dir", self.out, *arguments],
            env=self.environment({}),
            check=True,
        )

    def ask_cli(self, variables, profile, prefix=()):
        command = [*prefix, self.aws, "--output", "json", *(["--profile", profile] if profile else [])]
        found = {}
        for bucket in BUCKETS:
            run = self.run([*command, "s3api", "list-objects-v2", "--bucket", bucket], variables)
            if run.returncode == 0:
                found[bucket] = "listed" if json.loads(run.stdout).get("Contents") else "empty"
            else:
                found[bucket] = "AccessDenied" if "(AccessDenied)" in run.stderr else run.stderr.strip()
        run = self.run([*command, "sts", "get-caller-identity"], variables)
        found["identity"] = json.loads(run.stdout)["Arn"] if run.returncode == 0 else run.stderr.strip()
        return found

    def ask_boto3(self, variables, profile, prefix=()):
        run = self.run([*prefix, self.python, "-c", BOTO3, profile, "1"], variables)
        return json.loads(run.stdout) if run.returncode == 0 else {"identity": run.stderr.strip()[-300:]}

    def run(self, command, variables):
        return subprocess.run(
            command, env=self.environment(variables), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def start(self, command, variables):
        return subprocess.Popen(
            command,
            env=self.environment(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def env_file(self):
        lines = (self.out / "profiles" / PROFILE / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def exec(self, *arguments):
        return [self.rolekeeper, "exec", "--config", self.config, "--output-dir", self.out, *arguments, PROFILE, "--"]


def ways(host):
    """What to set, which profile to name and what to put in front, for each way of reading what is published."""
    own = host.out / "profiles" / PROFILE
    config, keys = "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"
    return [
        ("config of all profiles", {config: str(host.out / "config")}, PROFILE, ()),
        ("credentials of all profiles", {keys: str(host.out / "credentials")}, PROFILE, ()),
        ("config of the profile", {config: str(own / "config")}, PROFILE, ()),
        ("config of the profile, as default", {config: str(own / "config")}, "", ()),
        ("credentials of the profile", {keys: str(own / "credentials")}, PROFILE, ()),
        ("credentials of the profile, as default", {keys: str(own / "credentials")}, "", ()),
        ("env file", host.env_file(), "", ()),
        ("exec", {}, "", host.exec()),
        ("exec --refreshing", {}, "", host.exec("--refreshing")),
    ]


def check_ways(checks, host):
    for ask, consumer in ((host.ask_cli, "aws"), (host.ask_boto3, "boto3")):
        checks.answers(f"{consumer}, no profile", ask({}, ""), ORIGINAL)
        for way, variables, profile, prefix in ways(host):
            checks.answers(f"{consumer}, {way}", ask(variables, profile, prefix), SWITCHED)
        checks.answers(f"{consumer}, no profile again", ask({}, ""), ORIGINAL)


def check_rotations(checks, host, fake, sdk_consumer, way, variables):
    """One process of each consumer lives on while what it uses is rotated, faster than its keys die.

    boto3 and the SDK for Rust ask when they are told to. The CLI has one command that asks again and again by itself:
    every five seconds, whether a bucket has gone.
    """
    fake.requests()
    rounds = str(ROTATIONS + 1)
    boto3 = host.start([host.python, "-c", BOTO3, "", rounds], variables)
    rust = host.start([sdk_consumer, rounds], variables)
    aws = host.start([host.aws, "s3api", "wait", "bucket-not-exists", "--bucket", "my-bucket-2"], variables)
    for number in range(ROTATIONS + 1):
        for consumer, process, read in (
            ("boto3", boto3, json.loads),
            ("Rust SDK", rust, lambda line: {"identity": line}),
        ):
            check_answer(checks, process, f"{consumer}, {way}, one process, rotation {number}", read, number > 0)
        # What they hold is dead before they are asked again.
        if number < ROTATIONS:
            time.sleep(SHORT_SESSION)
    fake.tell("s3 fail 404 NoSuchBucket")
    with contextlib.suppress(subprocess.TimeoutExpired):
        aws.wait(timeout=30)
    fake.tell("s3 heal")
    requests = fake.requests()
    for consumer, process, agent, kind in (
        ("boto3", boto3, "Boto3/", "GetCallerIdentity"),
        ("Rust SDK", rust, "aws-sdk-rust/", "GetCallerIdentity"),
        ("aws", aws, "aws-cli/", "HeadBucket"),
    ):
        what = f"{consumer}, {way}, one process"
        if process is aws and aws.poll() is None:
            aws.kill()
        _, complaints = process.communicate(timeout=30)
        checks.check(f"{what}: ends well", process.returncode == 0, complaints[-300:])
        own = [request for request in requests if request["kind"] == kind and agent in user_agent(request)]
        # Nothing was refused on the way, and each rotation brought other keys. The 404 is the bucket's having gone.
        refused = [request["status"] for request in own if request["status"] not in (200, 404)]
        checks.check(f"{what}: no request is refused", not refused, refused)
        keys = {request["access_key_id"] for request in own if request["caller"]}
        checks.check(f"{what}: {ROTATIONS} rotations, each with other keys", len(keys) > ROTATIONS, keys)


def check_answer(checks, process, what, read, is_to_be_told):
    if is_to_be_told and process.poll() is None:
        process.stdin.write("\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if line:
        found = read(line)
        checks.answers(what, found, {question: SWITCHED[question] for question in found if question in SWITCHED})
    else:
        checks.check(f"{what}: answers", False, "no line")


def user_agent(request):
    return next((value for name, value in request["headers"] if name.lower() == "user-agent"), "")


@contextlib.contextmanager
def cron(host):
    """Rotates the credentials much more often than they expire, for as long as it takes."""
    is_over = threading.Event()

    def rotate():
        while not is_over.wait(SHORT_SESSION / 4):
            host.refresh("--force")

    host.refresh("--force")
    thread = threading.Thread(target=rotate)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def check_serve(checks, host, fake, sdk_consumer):
    """The same through the endpoint of the daemon, which rotates by itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host.config.write_text(f"[rolekeeper]\nserve = 127.0.0.1:{port}\n{CONFIG}")
    token = host.out / "profiles" / PROFILE / "token"
    variables = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/profiles/{PROFILE}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }
    daemon = host.start([host.rolekeeper, "run", "--config", host.config, "--output-dir", host.out], {})
    try:
        deadline = time.monotonic() + 30
        while not token.exists() and daemon.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        for ask, consumer in ((host.ask_cli, "aws"), (host.ask_boto3, "boto3")):
            checks.answers(f"{consumer}, serve", ask(variables, ""), SWITCHED)
        wrong = host.ask_cli({**variables, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(host.config)}, "")
        checks.check("aws, serve, another file for the token", SWITCHED["identity"] not in wrong["identity"], wrong)
        check_rotations(checks, host, fake, sdk_consumer, "serve", variables)
    finally:
        daemon.terminate()
        daemon.communicate(timeout=30)
    checks.check("the daemon takes the token along", not token.exists())


def find(venv, name):
    if venv:
        program = pathlib.Path(venv) / "bin" / name
        return str(program.absolute()) if program.exists() else None
    return shutil.which(name)


def main():
    parser = argparse.ArgumentParser(description="The AWS CLI and boto3 use what rolekeeper publishes.")
    parser.add_argument("--fake-aws", required=True, type=os.path.abspath)
    parser.add_argument("--rolekeeper", required=True, type=os.path.abspath)
    parser.add_argument("--sdk-consumer", required=True, type=os.path.abspath)
    parser.add_argument("--venv")
    arguments = parser.parse_args()
    aws, python = find(arguments.venv, "aws"), find(arguments.venv, "python3") or sys.executable
    has_boto3 = subprocess.run([python, "-c", "import boto3"], capture_output=True).returncode == 0
    if not aws or not has_boto3:
        print("skipped: the AWS CLI or boto3 is not installed", file=sys.stderr)
        return 77
    version = subprocess.run([aws, "--version"], capture_output=True, text=True).stdout.strip()
    print(f"# {version}")
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="rolekeeper-consumers-") as name:
        directory = pathlib.Path(name)
        fake = Fake(arguments.fake_aws, directory / "fake")
        try:
            host = Host(directory, fake, arguments.rolekeeper, aws, python)
            host.refresh()
            check_ways(checks, host)
            fake.tell(f"sts lifetime {SHORT_SESSION}")
            variables = {"AWS_CONFIG_FILE": str(host.out / "config"), "AWS_PROFILE": PROFILE}
            with cron(host):
                check_rotations(checks, host, fake, arguments.sdk_consumer, "credential_process", variables)
            check_serve(checks, host, fake, arguments.sdk_consumer)
        finally:
            fake.end()
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
