#!/usr/bin/env python3
"""Compares how rolekeeper, boto3 and the AWS SDK for Rust understand the same profile files.

Each case of agreement/*.txt is a host: configuration, credentials file, variables, other files. Each reader asks STS on
it who it is, against the same fake AWS under AWS's own names and addresses, and what it asked of whom, with which
parameters, signed by whom for which region, and what came out of it is compared with what the case says: rolekeeper's
way, and where a reader goes another way, that way and the reason. A reason without a difference fails like a difference
without a reason.

Usage: agreement.py --fake-aws PROGRAM --rolekeeper PROGRAM --sdk-consumer PROGRAM [--write] [WORD...]

boto3 is that of the Python that runs this. Needs root for a network namespace of its own, in which all of it happens,
and the program `ip`. With WORDs only the cases whose titles hold one of them are run. `--write` writes what was found
into the tables; a new difference gets the reason `?`, which no check accepts.

Prints what differs and one line of figures. Exits 0 where everything is as the tables say, 1 where anything is not, 77
(skipped) where boto3 or root is missing.
"""

import argparse
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TABLES = HERE / "agreement"
READERS = ("rolekeeper", "boto3", "rust")
MINIMUM_CASES = 120
# rolekeeper as root looks only at what is root's; the tables are about the files of users.
USER = 65534
SECONDS = 60
REGION = "imds region"
ADDRESSES = ("169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32")
NAMES = (
    "sts.amazonaws.com",
    "sts.us-east-1.amazonaws.com",
    "sts.us-west-2.amazonaws.com",
    "sts.eu-west-1.amazonaws.com",
    "sts.eu-central-1.amazonaws.com",
    "sts.eu-south-2.amazonaws.com",
    "sts.zz-test-1.amazonaws.com",
    "sts-fips.us-east-1.amazonaws.com",
    "sts.us-east-1.api.aws",
    "sts-fips.us-east-1.api.aws",
    "sts.us-gov-west-1.amazonaws.com",
    "sts.cn-north-1.amazonaws.com.cn",
    "sts.cn-north-1.api.amazonwebservices.com.cn",
    "sts.eusc-de-east-1.amazonaws.eu",
    "sts.custom.example",
    "other.custom.example",
)
# Names of containers' endpoints: one that is this host, and one that is not.
CONTAINERS = (("127.0.0.1", "sidecar.example"), ("198.51.100.7", "elsewhere.example"))
CONTAINER_ADDRESSES = (("169.254.170.2", 80), ("169.254.170.23", 80), ("127.0.0.1", 8080))
ALICE = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
BOB = ("AKIAEXAMPLE000000BOB", "bobs/secret+key/with+both/EXAMPLEKEY0000")
PLACEHOLDERS = {
    "<tab>": "\t",
    "<cr>": "\r",
    "<bom>": "\ufeff",
    "<alice>": "aws_access_key_id = {}\naws_secret_access_key = {}".format(*ALICE),
    "<alice id>": ALICE[0],
    "<alice secret>": ALICE[1],
    "<bob>": "aws_access_key_id = {}\naws_secret_access_key = {}".format(*BOB),
    "<bob id>": BOB[0],
    "<bob secret>": BOB[1],
}
# What a reader calls a session that nobody named.
HOST_NAME = "host-of-the-readers"
DEFAULT_SESSION = re.compile(rf"\b(rolekeeper-i-[0-9a-f]+|{HOST_NAME}|botocore-session-\d+|[a-z-]+-\d{{10,}})\b")
# How the fake is before each reader; the block `--- fake` may change it.
USUAL = ("imds heal", "sts heal", "imds attach arn:aws:iam::111111111111:role/abcd")

UNKNOWN_KIND = "other: "
# The kinds of failure, and how rolekeeper, boto3 and the Rust SDK word them; the first that matches counts.
STS_CODE = (r"STS refused \w+: (\w+) \(status", r"An error occurred \((\w+)\) when calling", r"code: Some\(\"(\w+)\"\)")
KINDS = {
    "syntax": (
        r"section header|before the first section|has no `=`|nothing stands before|not UTF-8",
        r"^(ConfigParseError|UnicodeDecodeError)",
        r"could not parse profile file",
    ),
    "no such profile": (r"no such profile", r"^ProfileNotFound", r"profile `[^`]*` was not defined: (?!could not)"),
    "no such source": (
        r"`source_profile` names `.*`, which does not exist|`source_profile` is empty",
        r"source_profile .* does not exist",
        r"could not load source profile: profile `[^`]*` was not defined",
    ),
    "loop": (r"form a loop", r"^InfiniteLoopConfigError", r"formed an infinite loop"),
    "half of the keys": (
        r"static keys without",
        r"Partial credentials found in (env|shared|config)",
        r"profile missing aws_",
    ),
    "two sources": (
        r"both `source_profile` and `cred|stands in a profile whose credentials come from",
        r"contains both source_profile and",
        r"contained both source_",
    ),
    "no source": (
        r"`role_arn` without `source_profile`|`source_profile` without `role_arn`",
        r"missing: source_profile or credential_source",
        r"must contain `source_profile` or `credential_source`",
    ),
    "needs a person": (
        r"no terminal to ask for it|`sso_|`login_",
        r"^EOFError|SSO|^(TokenRetrieval|UnauthorizedSSO|Login)|login credential provider",
        r"feature\(s\) enabled: (sso|credentials-login)",
    ),
    "bad credential source": (
        r"neither `Ec2InstanceMetadata`|`credential_source` is empty",
        r"credential source .* is not valid",
        r"provider is not supported",
    ),
    "nothing in the environment": (
        r"environment of rolekeeper has no",
        r"from Environment: No credentials",
        r"environment variable not set",
    ),
    "no container": (
        r"neither `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`",
        r"from EcsContainer: No credentials",
        r"ECS provider not configured",
    ),
    "an address that is no container's": (
        r"credentials are (not )?fetched from|_RELATIVE_URI` is empty",
        r"^ValueError: Unsupported host",
        r"invalid (full|relative) URI for ECS provider",
    ),
    "bad value": (
        r"` is `.*`, |` is empty|goes on in the indented line",
        r"^(ParamValidation|Invalid(Region|STSRegionalEndpointsConfig|IMDSEndpointMode))Error|^ValueError: Invalid",
        r"invalid value for field|failed to apply endpoint|failed to build IMDS client",
    ),
    "no such services": (r"`services` names", r"services configuration does not exist", r"^$"),
    "custom endpoint with an option": (
        r"custom (STS )?endpoint excludes",
        r"^$",
        r"and custom endpoint are not supported",
    ),
    "another partition": (r"is in partition `.*`, the role in", r"^$", r"^$"),
    "crash": (r"panicked", r"^(Type|Key|Attribute|Index|Assertion)Error", r"panicked"),
    "a web identity without a role": (
        r"`(web_identity_token_file|AWS_WEB_IDENTITY_TOKEN_FILE)` (is set )?without",
        r"with web identity but has no role ARN",
        r"`web_identity_token_file` was specified but `role_arn`",
    ),
    "no identity token": (r"holds no identity token", r"^$", r"^$"),
    "no instance credentials": (
        r"no base credentials: (the instance |no session token from the instance)",
        r"from Ec2InstanceMetadata: No credentials",
        r"IMDS",
    ),
    "a token that is no header": (r"holds a line break", r"not a legal header value", r"auth token could not be used"),
    "no such file": (r"the file does not exist", r"^FileNotFoundError", r"\(os error 2\)"),
    "the container refuses": (
        r"container credentials endpoint at `.*` answered with status",
        r"non 200 response",
        r"Non-success status from HTTP credential provider",
    ),
    "a process says nonsense": (
        r"`credential_process` of .*: it printed",
        r"Unsupported version|Missing required key|^JSONDecodeError|^ParserError",
        r"from external process, could not parse response",
    ),
    "a process fails": (
        r"`credential_process` of .*: exit code",
        r"from custom-process",
        r"external process exited with",
    ),
    "expired": (r"the credentials expired", r"refreshed credentials are still expired", r"^$"),
    "no credentials": (
        r"no credentials and no source|itself, which has no keys|no configuration found|no profile is named",
        r"^NoCredentialsError|must have credentials|^CredentialRetrievalError: .*No credentials found",
        r"did not contain credential information|no providers in chain|NoProfilesDefined|No profiles were defined",
    ),
    "no region": (r"no region", r"^NoRegionError", r"Missing Region|region must be set"),
}


def cases(path):
    """The cases of a table: title and blocks, each a head and its text."""
    head, *parts = ("\n" + path.read_text(encoding="utf-8")).split("\n=== ")
    found = []
    for part in parts:
        title, body = part.split("\n", 1)
        blocks = []
        for block in ("\n" + body).split("\n--- ")[1:]:
            name, _, content = block.partition("\n")
            blocks.append((name, content.rstrip("\n") + "\n"))
        found.append(Case(title, blocks))
    return head, found


def filled(text, directory):
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    return text.replace("DIR", str(directory))


class Case:
    """One host, and what is expected of the readers on it."""

    def __init__(self, title, blocks):
        self.title = title
        self.host = [(name, text) for name, text in blocks if name.split(" ")[0] not in READERS]
        self.expected = {}
        self.reasons = {}
        for name, text in blocks:
            reader, _, reason = name.partition(" because ")
            if reader in READERS:
                self.expected[reader] = text.split("\n")[:-1]
                self.reasons[reader] = reason

    def block(self, wanted):
        return next((text for name, text in self.host if name == wanted), None)

    def profile(self):
        return (self.block("profile") or "").strip() or None

    def prepare(self, directory, fake):
        """Writes the files, and returns the variables."""
        home = directory / "home"
        places = {"config": home / ".aws" / "config", "credentials": home / ".aws" / "credentials"}
        for name, text in self.host:
            kind, _, rest = name.partition(" ")
            place = places.get(name) or (directory / rest if kind == "file" else None)
            if place:
                place.parent.mkdir(parents=True, exist_ok=True)
                text = filled(text, directory).replace("<token>", fake.token)
                text = text.removesuffix("<end>\n")
                with open(place, "w", encoding="utf-8", newline="") as file:
                    file.write(text)
                place.chmod(0o700 if text.startswith("#!") else 0o600)
        variables = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        for line in filled(self.block("environment") or "", directory).splitlines():
            name, _, value = line.partition("=")
            variables[name] = value
        return variables

    def text(self, found):
        """The case as it is in a table, with what was found."""
        text = f"=== {self.title}\n" + "".join(f"--- {name}\n{content}" for name, content in self.host)
        for reader in READERS:
            if reader == "rolekeeper":
                text += "--- rolekeeper\n"
            elif found[reader] == found["rolekeeper"]:
                continue
            else:
                text += f"--- {reader} because {self.reasons.get(reader) or '?'}\n"
            text += "".join(line + "\n" for line in found[reader])
        return text

    def complaints(self, found):
        for reader in READERS:
            expected = self.expected.get(reader, self.expected.get("rolekeeper", []))
            if found[reader] != expected:
                yield f"{reader} differs from the table", expected, found[reader]
            elif reader != "rolekeeper" and reader in self.expected:
                if self.reasons[reader] in ("", "?"):
                    yield f"{reader} differs, and no reason is given", self.expected["rolekeeper"], found[reader]
                if found[reader] == found["rolekeeper"]:
                    yield f"{reader} has a reason to differ, and does not", [self.reasons[reader]], found[reader]
            if any(line.startswith("fails: " + UNKNOWN_KIND) for line in found[reader]):
                yield f"{reader} fails in a way that has no name yet", [], found[reader]


class Fake:
    """The fake AWS at AWS's own addresses; ends with us."""

    def __init__(self, program, directory):
        command = [program, "--dir", str(directory), "--imds", "169.254.169.254:80", "--sts", "127.0.0.1:443"]
        for name in NAMES:
            command += ["--name", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline().strip()
        if ready != "READY":
            raise RuntimeError(f"the fake AWS says {ready!r} instead of READY")
        self.bundle = directory / "ca.pem"
        self.token = self.tell("sts token https://issuer.example pod sts.amazonaws.com 3600")
        self.container = Container(self.instance_credentials())

    def instance_credentials(self):
        """What the instance may do, its containers may do too."""

        def ask(path, **headers):
            request = urllib.request.Request("http://169.254.169.254/latest/" + path, headers=headers)
            request.method = "GET" if "X-aws-ec2-metadata-token" in headers else "PUT"
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.read().decode()

        token = ask("api/token", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        document = ask("meta-data/iam/security-credentials/abcd", **{"X-aws-ec2-metadata-token": token})
        return {name: json.loads(document)[name] for name in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")}

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer.startswith("OK"):
            raise RuntimeError(f"the fake AWS answers {answer!r} to {line!r}")
        return answer.removeprefix("OK").strip()

    def requests(self):
        # Nobody asks a container's endpoint after STS.
        lines = self.container.requests()
        for request in json.loads(self.tell("requests")):
            line = shown(request)
            # Whether a reader asks again is not compared.
            if line and lines[-1:] != [line]:
                lines.append(line)
        # When a region is asked for is not compared, and that it is only where somebody in it is asked then.
        region = [REGION] if REGION in lines and any(" at " in line for line in lines) else []
        return region + [line for line in lines if line != REGION]

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


class Container:
    """The endpoint from which containers have their credentials, at each of its addresses."""

    def __init__(self, credentials):
        self.lines = []
        for address in CONTAINER_ADDRESSES:
            server = http.server.ThreadingHTTPServer(address, self.handler(json.dumps(credentials).encode()))
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def handler(self, document):
        lines = self.lines

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                token = self.headers.get("Authorization")
                lines.append(f"container {self.path}" + (f" with {token}" if token is not None else ""))
                refused = self.path.startswith("/refused")
                body = b'{"code": "AccessDenied", "message": "not today"}' if refused else document
                self.send_response(400 if refused else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler

    def requests(self):
        lines = [line for number, line in enumerate(self.lines) if line not in self.lines[:number]]
        self.lines.clear()
        return lines


def short(text):
    """An ARN without what all of them begin with, and a session without a name of its own."""
    return DEFAULT_SESSION.sub("DEFAULT", re.sub(r"arn:aws:(iam|sts)::", "", text))


def shown(request):
    """A request as the tables write it; None for steps on the way to others."""
    if request["service"] == "Imds":
        kind = request["kind"]
        if kind in ("ExtendedDocument", "LegacyDocument"):
            return "imds credentials of " + request["target"].rsplit("/", 1)[1]
        path = request["target"].removeprefix("/latest/").removeprefix("meta-data/")
        if path in ("placement/region", "dynamic/instance-identity/document"):
            return REGION
        # The token, the way to the document, and what rolekeeper names its sessions after.
        on_the_way = kind in ("Token", "ExtendedListing", "LegacyListing") or path == "instance-id"
        return None if on_the_way else "imds " + path
    headers = {name.lower(): value for name, value in request["headers"]}
    parameters = dict(request["parameters"])
    action = parameters.pop("Action", request["kind"])
    parameters.pop("Version", None)
    # To say the API's own default or to say nothing is the same.
    if parameters.get("DurationSeconds") == "3600":
        parameters.pop("DurationSeconds")
    # As JSON, which shows line ends and keeps to one line.
    words = [action, *(f"{name}={json.dumps(short(value))[1:-1]}" for name, value in sorted(parameters.items()))]
    signed = re.search(r"Credential=([^/]*)/\d+/([^/]*)/", headers.get("authorization", ""))
    if signed:
        key, region = signed.groups()
        words.append("by " + (short(request["caller"]) if request["caller"] else f"unknown {key}"))
        words.append(f"at {headers['host']} for {region}")
    else:
        words.append(f"unsigned at {headers['host']}")
    return " ".join(words)


def kind_of(reader, text):
    """What `reader` calls a failure, in the words of the tables."""
    code = re.search(STS_CODE[READERS.index(reader)], text)
    if code:
        return f"STS says {code[1]}"
    for kind, patterns in KINDS.items():
        if re.search(patterns[READERS.index(reader)], text, re.S):
            return kind
    return f"{UNKNOWN_KIND}{' '.join(text.split())[:200]}"


class Readers:
    """The three programs."""

    def __init__(self, rolekeeper, sdk_consumer):
        self.rolekeeper_program = rolekeeper
        self.sdk_consumer = sdk_consumer

    def ask(self, reader, profile, variables):
        text = getattr(self, reader)(profile, variables)
        kind, _, rest = text.partition(" ")
        return "is " + short(rest) if kind == "arn" else "fails: " + kind_of(reader, rest)

    def rolekeeper(self, profile, variables):
        command = [self.rolekeeper_program, "whoami", *([profile] if profile else [])]
        run = self.run(command, variables, user=USER, group=USER, extra_groups=[])
        arn = re.search(r"^Arn +(.*)$", run.stdout, re.M)
        return f"arn {arn[1]}" if run.returncode == 0 and arn else f"error {run.stderr}"

    def rust(self, profile, variables):
        command = [self.sdk_consumer, *(["--profile", profile] if profile else [])]
        run = self.run(command, variables)
        return run.stdout.strip() if run.returncode == 0 else f"error {run.stderr}"

    def run(self, command, variables, **user):
        return subprocess.run(
            command,
            env=variables,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            **user,
        )

    def boto3(self, profile, variables):
        """In a child, because boto3 takes a second to be loaded and reads the variables of its process."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            os.write(writing, boto3_answer(profile, variables).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        return answer


def boto3_answer(profile, variables):
    import boto3

    os.environ.clear()
    os.environ.update(variables)
    os.chdir("/")
    # Nobody is there to be asked for a code, and a prompt is no answer.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 2)
    try:
        session = boto3.Session(profile_name=profile)
        return "arn " + session.client("sts").get_caller_identity()["Arn"]
    except Exception as error:  # whatever it is, it is the answer
        return f"error {type(error).__name__}: {error}"


def examine(case, directory, fake, readers):
    """What each reader does on the host of `case`."""
    directory.mkdir(mode=0o700)
    variables = {**case.prepare(directory, fake), "AWS_CA_BUNDLE": str(fake.bundle)}
    for path in (directory, *directory.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)
    found = {}
    for reader in READERS:
        for line in (*USUAL, *(case.block("fake") or "").splitlines()):
            fake.tell(line)
        fake.requests()
        outcome = readers.ask(reader, case.profile(), variables)
        found[reader] = [
            line.replace(str(directory), "DIR").replace(fake.token, "<token>") for line in (*fake.requests(), outcome)
        ]
    return found


def enter_namespace():
    """A network and a hosts file of our own, in which AWS's addresses and names are ours."""
    if os.environ.get("ROLEKEEPER_AGREEMENT") != "inside":
        os.environ["ROLEKEEPER_AGREEMENT"] = "inside"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--uts", sys.executable, *sys.argv])
    socket.sethostname(HOST_NAME)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)


def bind(directory, name, text):
    """Puts `text` in place of a file of the system, for us alone."""
    (directory / name).write_text(text)
    (directory / name).chmod(0o644)
    subprocess.run(["mount", "--bind", directory / name, f"/etc/{name}"], check=True)


def main():
    parser = argparse.ArgumentParser(description="Three readers of the same profile files.")
    parser.add_argument("--fake-aws", required=True, type=os.path.abspath)
    parser.add_argument("--rolekeeper", required=True, type=os.path.abspath)
    parser.add_argument("--sdk-consumer", required=True, type=os.path.abspath)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    try:
        import boto3
        import botocore.session
    except ImportError:
        print("skipped: boto3 is not installed", file=sys.stderr)
        return 77
    if os.geteuid() != 0:
        print("skipped: a network namespace needs root", file=sys.stderr)
        return 77
    enter_namespace()
    begin = time.monotonic()
    counts = dict.fromkeys(("cases", "all", "boto3", "rust", "either", "wrong"), 0)
    with tempfile.TemporaryDirectory(prefix="rolekeeper-agreement-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o711)
        hosts = [*(("127.0.0.1", host) for host in ("localhost", *NAMES)), *CONTAINERS]
        bind(directory, "hosts", "".join(f"{address} {host}\n" for address, host in hosts))
        bind(directory, "resolv.conf", "")
        (directory / "fake").mkdir()
        (directory / "fake").chmod(0o755)
        # The user of rolekeeper may not be able to reach where it was built.
        program = directory / "rolekeeper"
        shutil.copy(arguments.rolekeeper, program)
        fake = Fake(arguments.fake_aws, directory / "fake")
        readers = Readers(program, arguments.sdk_consumer)
        try:
            for table in sorted(TABLES.glob("*.txt")):
                run_table(table, directory, fake, readers, arguments, counts)
        finally:
            fake.end()
    print(
        f"{counts['cases']} profile files: all three readers agree on {counts['all']}, rolekeeper with boto3 on "
        f"{counts['boto3']}, with the Rust SDK on {counts['rust']}, with at least one of them on {counts['either']}; "
        f"{counts['wrong']} not as written (boto3 {boto3.__version__}, {time.monotonic() - begin:.0f} s)"
    )
    too_few = counts["cases"] < MINIMUM_CASES and not arguments.words
    return 1 if counts["wrong"] or too_few else 0


def run_table(table, directory, fake, readers, arguments, counts):
    head, found_cases = cases(table)
    text = head.lstrip("\n")
    for case in found_cases:
        if arguments.words and not any(word in case.title for word in arguments.words):
            continue
        counts["cases"] += 1
        found = examine(case, directory / f"case-{counts['cases']}", fake, readers)
        with_boto3, with_rust = (found[reader] == found["rolekeeper"] for reader in ("boto3", "rust"))
        counts["boto3"] += with_boto3
        counts["rust"] += with_rust
        counts["all"] += with_boto3 and with_rust
        counts["either"] += with_boto3 or with_rust
        complaints = list(case.complaints(found))
        counts["wrong"] += bool(complaints)
        text += "\n" + case.text(found)
        if not arguments.write:
            for what, expected, actual in complaints:
                print(f"{table.name}: {case.title}: {what}", *(f"  table: {line}" for line in expected), sep="\n")
                print(*(f"  found: {line}" for line in actual), sep="\n")
    if arguments.write and not arguments.words:
        table.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
