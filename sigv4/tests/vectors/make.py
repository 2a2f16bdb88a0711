#!/usr/bin/env python3
"""Computes the expected values of the signer's vectors with botocore, and writes one JSON file per case.

    pip install botocore==1.44.5 cryptography
    make.py            write cases/*.json
    make.py --check    compare with what is there; exit 1 on any difference

The inputs are ours. The canonical request, the string to sign and the signature come from botocore's own signers,
recorded while they sign; nothing here computes a signature. Where botocore and the services differ (the list is in the
sources, at the rule in question), no case is made.

A case gives its query twice: as it stands in the URL that our signer reads, and as decoded pairs for botocore, which
encodes pairs and leaves the query of a URL alone.

The cases under x509/ are signed with the key of a certificate. `cryptography` makes the certificates and the RSA
signatures, botocore the canonical request; an ECDSA signature differs each time, so those cases end at the string to
sign. The keys are those of tests/x509, which nobody uses for anything else.
"""

import base64
import datetime
import hashlib
import json
import pathlib
import sys

import botocore
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import normalize_url_path
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

BOTOCORE = "1.44.5"
CASES = pathlib.Path(__file__).parent / "cases"
X509_CASES = pathlib.Path(__file__).parent / "x509"
KEYS = pathlib.Path(__file__).parents[3] / "tests" / "x509"
KEY = "ASIAVECTORKEY0000001"
SECRET = "a secret of forty characters, not a key!"
TOKEN = "FwoGZXIvYXdzEJr//////////wEaDEXAMPLE+token/with=all==its+letters//" * 3
EMPTY = hashlib.sha256(b"").hexdigest()


def case(name, method="GET", url="https://example.amazonaws.com/", headers=(), body=None, pairs=None, at=None,
         region="us-east-1", service="service", token=None, path="on", encoding="double", session_token="signed",
         content_sha256="omitted", payload="bytes", expires=None, key=KEY, secret=SECRET):
    return dict(name=name, method=method, url=url, headers=[list(pair) for pair in headers], body=body, pairs=pairs,
                at=at or "2026-03-04T05:06:07Z", region=region, service=service, token=token, path=path,
                encoding=encoding, session_token=session_token, content_sha256=content_sha256, payload=payload,
                expires=expires, key=key, secret=secret)


S3 = dict(path="off", encoding="single", content_sha256="added", service="s3")
FORM = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
STS_BODY = ("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A222222222222%3Arole%2Fefgh"
            "&RoleSessionName=rolekeeper-i-0123456789abcdef0&DurationSeconds=3600")


def path_cases():
    host = "https://example.amazonaws.com"
    paths = {
        "empty": "", "root": "/", "plain": "/one/two", "trailing-slash": "/one/two/", "double-slash": "//one///two//",
        "dot": "/./one/./two", "dot-dot": "/one/two/../three", "above-root": "/../../one", "dot-dot-slash": "/one/../",
        "dotted-names": "/.one/..two/three./...", "encoded-colon": "/arn%3Aaws%3Aiam", "at-sign": "/user@host",
        "encoded-space": "/one%20two", "encoded-slash": "/one%2Ftwo", "utf8": "/stra\u00dfe/\u1234",
        "encoded-utf8": "/stra%C3%9Fe", "encoded-dots": "/one/%2E%2E/two", "unreserved": "/-._~aZ09",
        "sub-delimiters": "/!$&'()*+,;=:@", "percent": "/100%25",
    }
    for name, path in paths.items():
        yield case(f"path-{name}", url=host + path)
    strict = ["empty", "plain", "double-slash", "dot", "dot-dot", "above-root", "encoded-colon", "encoded-space",
              "encoded-slash", "encoded-utf8", "unreserved", "percent"]
    for name in strict:
        if name != "empty":
            yield case(f"path-{name}-s3", url=host + paths[name], **S3)
            yield case(f"path-{name}-off-double", url=host + paths[name], path="off")
        yield case(f"path-{name}-on-single", url=host + paths[name], encoding="single")
    yield case("path-object-name-s3", method="PUT", url=host + "/bucket/a%20b/../c%2B%3D%26//d", body="content", **S3)
    yield case("path-many-segments", url=host + "/x" * 40 + "/.." * 7 + "/end")


def query_cases():
    queries = {
        "order": ("Param-3=c&Param=b&b&a=1&a=0", [("Param-3", "c"), ("Param", "b"), ("b", ""), ("a", "1"), ("a", "0")]),
        "case-order": ("b=1&B=2&a=3&A=4", [("b", "1"), ("B", "2"), ("a", "3"), ("A", "4")]),
        "encoded-order": ("P=1&%E1%88%B4=2&~=3&-=4", [("P", "1"), ("\u1234", "2"), ("~", "3"), ("-", "4")]),
        "value-order": ("k=~&k=-&k=%2F&k=a&k=Z&k=", [("k", v) for v in ["~", "-", "/", "a", "Z", ""]]),
        "no-value": ("a&b=", [("a", ""), ("b", "")]),
        "equals-in-value": ("a=b=c&d==", [("a", "b=c"), ("d", "=")]),
        "spaces": ("a%20b=c%20d", [("a b", "c d")]),
        "encoded-plus": ("a=b%2Bc", [("a", "b+c")]),
        "lower-hex": ("a=%c3%a9%2f", [("a", "\u00e9/")]),
        "raw-utf8": ("a=\u00e9&\u1234=x", [("a", "\u00e9"), ("\u1234", "x")]),
        "reserved": ("r=!'()*:/?@$,;[]%25%26%3D%23", [("r", "!'()*:/?@$,;[]%&=#")]),
        "needless-encoding": ("%61=%62%7E", [("a", "b~")]),
        "encoded-ampersand": ("a=1%26b%3D2", [("a", "1&b=2")]),
        "prefix-keys": ("ab=1&a=2&a1=3&a-=4&a.=5", [("ab", "1"), ("a", "2"), ("a1", "3"), ("a-", "4"), ("a.", "5")]),
        "empty-key": ("=v&a=1", [("", "v"), ("a", "1")]),
    }
    for name, (wire, pairs) in queries.items():
        yield case(f"query-{name}", url=f"https://example.amazonaws.com/?{wire}", pairs=pairs)
    many = [(f"k{n * 37 % 64:02}", str(n)) for n in range(64)]
    wire = "&".join(f"{k}={v}" for k, v in many)
    yield case("query-many", url=f"https://example.amazonaws.com/list?{wire}", pairs=many)
    yield case("query-bare-mark", url="https://example.amazonaws.com/?")
    yield case("query-s3", url="https://b.s3.amazonaws.com/?list-type=2&prefix=a%2Fb&delimiter=%2F",
               pairs=[("list-type", "2"), ("prefix", "a/b"), ("delimiter", "/")], **S3)


def header_cases():
    headers = {
        "case": [("MY-Header", "Value"), ("aNother", "B")],
        "trim": [("My-Header1", "   value1  "), ("My-Header2", "\tvalue2\t")],
        "collapse": [("My-Header", "a   b    c")],
        "collapse-in-quotes": [("My-Header", '"a   b   c"')],
        "tabs": [("My-Header", "a\t\tb \t c")],
        "folded": [("My-Header", "one\r\n   two\r\n\tthree")],
        "folded-bare-newline": [("My-Header", "one\n   two\n three")],
        "duplicates": [("My-Header", "value2"), ("My-Header", "value2"), ("My-Header", "value1")],
        "duplicates-of-other-case": [("my-header", "z"), ("X-Other", "m"), ("MY-HEADER", "a")],
        "empty-value": [("My-Header", ""), ("My-Other", "   ")],
        "duplicates-with-empty": [("My-Header", ""), ("My-Header", "b"), ("My-Header", "")],
        "order": [("z", "1"), ("a-b", "2"), ("a", "3"), ("a_b", "4"), ("a1", "5")],
        "utf8": [("My-Header", "stra\u00dfe")],
        "commas": [("My-Header", "a, b,c"), ("My-Header", "d")],
        "never-signed": [("User-Agent", "x/1"), ("Connection", "close"), ("Expect", "100-continue"), ("TE", "trailers"),
                         ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"), ("Trailer", "x"), ("Keep-Alive", "5"),
                         ("Proxy-Authorization", "x"), ("Proxy-Authenticate", "x"), ("X-Amzn-Trace-Id", "Root=1"),
                         ("traceparent", "00-1"), ("tracestate", "a=b"), ("baggage", "a=b"), ("Kept", "yes")],
        "left-over": [("Authorization", "AWS4-HMAC-SHA256 old"), ("X-Amz-Date", "20200101T000000Z"), ("Kept", "yes")],
        "amz": [("X-Amz-Target", "Service.Action"), ("x-amz-meta-b", "2"), ("X-Amz-Meta-A", "1")],
        "content": [("Content-Length", "0"), ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="), ("Range", "bytes=0-9")],
    }
    for name, lines in headers.items():
        yield case(f"header-{name}", headers=lines)
    yield case("header-left-over-token", headers=[("X-Amz-Security-Token", "stale")], token=TOKEN)
    yield case("header-content-sha256-given", method="PUT", body="other content",
               headers=[("x-amz-content-sha256", hashlib.sha256(b"streamed").hexdigest())])
    yield case("header-many", headers=[(f"h-{n * 29 % 50:02}", f"v {n}") for n in range(50)])


def host_cases():
    for name, url in {
        "upper-case": "https://EXAMPLE.amazonaws.COM/", "default-port": "https://h:443/",
        "default-port-http": "http://h:80/", "https-port-on-http": "http://h:443/", "other-port": "https://h:8443/x",
        "loopback": "http://127.0.0.1:5000/", "ipv6": "http://[FD00:ec2::254]/", "ipv6-port": "http://[::1]:8080/",
        "ipv6-default-port": "https://[::1]:443/", "user-information": "https://user:pass@h/",
    }.items():
        yield case(f"host-{name}", url=url)
    yield case("host-given", url="https://127.0.0.1:8443/", headers=[("Host", "sts.eu-west-1.amazonaws.com")])


def body_and_token_cases():
    sts = dict(method="POST", url="https://sts.eu-central-1.amazonaws.com/", headers=FORM, body=STS_BODY,
               region="eu-central-1", service="sts")
    yield case("sts-long-term", **sts)
    yield case("sts-session", token=TOKEN, **sts)
    yield case("sts-session-added-after", token=TOKEN, session_token="added-after", **sts)
    yield case("sts-empty-token", token="", **sts)
    yield case("body-utf8", method="POST", body="gr\u00fc\u00dfe")
    yield case("body-hashed-elsewhere", method="POST", body="grosser K\u00f6rper", payload="sha256")
    yield case("body-with-content-sha256", method="POST", body="x", content_sha256="added")
    yield case("body-unsigned", method="PUT", body="x", payload="unsigned")
    yield case("body-unsigned-s3", method="PUT", body="x", payload="unsigned", **S3)
    yield case("body-empty-s3", token=TOKEN, **S3)
    yield case("method-delete", method="DELETE")
    yield case("method-patch", method="PATCH", body="{}", headers=[("content-type", "application/json")])
    yield case("scope-other", region="us-gov-west-1", service="execute-api")
    yield case("secret-of-60", secret="s" * 60)
    yield case("secret-of-61", secret="s" * 61)
    yield case("secret-of-200", secret="s\u00e9" * 100)
    yield case("secret-empty", secret="")


def instant_cases():
    for name, at in {
        "before-midnight": "2026-12-31T23:59:59.999999Z", "midnight": "2027-01-01T00:00:00Z",
        "offset-next-day": "2026-03-04T01:30:00+02:00", "offset-previous-day": "2026-03-04T23:30:00-01:00",
        "leap-day": "2028-02-29T12:00:00Z", "epoch": "1970-01-01T00:00:00Z", "far": "9999-12-31T23:59:59Z",
        "year-1000": "1000-01-02T03:04:05Z",
    }.items():
        yield case(f"instant-{name}", at=at)


def presigned_cases():
    url = "https://example.amazonaws.com/one"
    yield case("presigned-plain", url=url, expires=3600)
    yield case("presigned-shortest", url=url, expires=1)
    yield case("presigned-longest", url=url, expires=604800)
    yield case("presigned-session", url=url, token=TOKEN, expires=60)
    yield case("presigned-session-added-after", url=url, token=TOKEN, session_token="added-after", expires=60)
    yield case("presigned-query", url=url + "?Param-3=%c3%a9&X-a=2&Zz&X-Amz-Zz=1", expires=900,
               pairs=[("Param-3", "\u00e9"), ("X-a", "2"), ("Zz", ""), ("X-Amz-Zz", "1")])
    yield case("presigned-headers", url=url, expires=900,
               headers=[("X-Amz-Meta-A", " a  b "), ("Range", "bytes=0-9"), ("User-Agent", "x/1")])
    yield case("presigned-port", url="http://127.0.0.1:5000/", expires=900, method="PUT")
    yield case("presigned-normalised", url="https://h/a/./b/../c%20d/", expires=900)
    yield case("presigned-s3", url="https://b.s3.amazonaws.com//a/../b%20c", expires=900, token=TOKEN,
               payload="unsigned", path="off", encoding="single", service="s3")
    yield case("presigned-caller-identity", service="sts", expires=60, region="eu-west-3",
               url="https://sts.eu-west-3.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
               pairs=[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")],
               headers=[("x-k8s-aws-id", "cluster")])


def signer(case):
    """A botocore signer for the case's settings. Its rules are botocore's; only their combination is chosen here."""
    base = botocore.auth.SigV4QueryAuth if case["expires"] else botocore.auth.SigV4Auth
    s3 = case["path"] == "off" and case["encoding"] == "single"
    if s3:
        base = botocore.auth.S3SigV4QueryAuth if case["expires"] else botocore.auth.S3SigV4Auth

    class Recorder(base):
        def _normalize_url_path(self, path):
            if (case["path"], case["encoding"]) == ("on", "single"):
                return normalize_url_path(path)
            if (case["path"], case["encoding"]) == ("off", "double"):
                return botocore.auth.quote(path, safe="/~")
            return super()._normalize_url_path(path)

        def payload(self, request):
            return botocore.auth.UNSIGNED_PAYLOAD if case["payload"] == "unsigned" else super().payload(request)

        def string_to_sign(self, request, canonical_request):
            self.canonical = canonical_request
            self.to_sign = super().string_to_sign(request, canonical_request)
            return self.to_sign

        def signature(self, string_to_sign, request):
            self.signed = super().signature(string_to_sign, request)
            return self.signed

    token = case["token"] if case["session_token"] == "signed" else None
    arguments = [Credentials(case["key"], case["secret"], token), case["service"], case["region"]]
    return Recorder(*arguments, **({"expires": case["expires"]} if case["expires"] else {}))


def expected(case):
    url = case["url"].split("?")[0] if case["pairs"] is not None else case["url"]
    body = None if case["body"] is None else case["body"].encode()
    request = AWSRequest(method=case["method"], url=url, data=body, params=dict(case["pairs"] or {}))
    if not case["expires"]:
        request.params = case["pairs"] or {}
    for name, value in case["headers"]:
        request.headers[name] = value
    if case["content_sha256"] == "added" and case["service"] != "s3":
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body or b"").hexdigest()
    # botocore reads the clock through this one name, and formats what it gets as if it were UTC.
    at = datetime.datetime.fromisoformat(case["at"]).astimezone(datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda: at
    auth = signer(case)
    auth.add_auth(request)
    result = {"canonical_request": auth.canonical, "string_to_sign": auth.to_sign, "signature": auth.signed}
    if not case["expires"]:
        result["authorization"] = request.headers["Authorization"]
    return result


def render(case):
    given = {key: value for key, value in case.items() if key != "pairs"}
    return json.dumps({**given, "expected": expected(case)}, indent=2, ensure_ascii=True) + "\n"


def certificate(name, serial, issuer):
    """A certificate for the key called `name`, in DER; RSA signs it, so that it is the same each time."""
    key = load_pem_private_key((KEYS / f"{name}.pkcs8.pem").read_bytes(), None)
    signer = load_pem_private_key((KEYS / "rsa-2048.pkcs8.pem").read_bytes(), None)
    name = lambda text: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
    builder = x509.CertificateBuilder(name(issuer), name("device"), key.public_key(), serial,
                                      datetime.datetime(2026, 1, 1), datetime.datetime(2036, 1, 1))
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def x509_cases():
    for name, key, serial, chain in [
        ("rsa", "rsa-2048", 66, 0), ("rsa-chain-of-one", "rsa-2048", 2**120 + 7, 1),
        ("rsa-chain-of-two", "rsa-2048", 2**159 - 1, 2), ("p256", "p256", 2**64, 0), ("p384-chain", "p384", 128, 1),
    ]:
        ders = [certificate(key, serial, "issuer")] + [certificate("p256", n + 1, "root") for n in range(chain)]
        yield dict(name=name, key=key, serial=str(serial), certificates=[base64.b64encode(der).decode() for der in ders])


def x509_expected(case):
    url = ("https://rolesanywhere.eu-west-1.amazonaws.com/sessions?profileArn=arn%3Aaws%3Arolesanywhere%3Aeu-west-1"
           "%3A111111111111%3Aprofile%2F1&roleArn=arn%3Aaws%3Aiam%3A%3A111111111111%3Arole%2Fedge")
    body = '{"durationSeconds":3600}'
    request = AWSRequest(method="POST", url=url, data=body.encode())
    at = "20260304T050607Z"
    request.headers["Content-Type"] = "application/json"
    request.headers["X-Amz-Date"] = at
    request.headers["X-Amz-X509"] = case["certificates"][0]
    if len(case["certificates"]) > 1:
        request.headers["X-Amz-X509-Chain"] = ",".join(case["certificates"][1:])
    canonical = botocore.auth.SigV4Auth(Credentials(KEY, SECRET), "rolesanywhere", "eu-west-1").canonical_request(request)
    names = canonical.split("\n")[-2]
    algorithm = f"AWS4-X509-{'RSA' if case['key'].startswith('rsa') else 'ECDSA'}-SHA256"
    scope = "20260304/eu-west-1/rolesanywhere/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join([algorithm, at, scope, digest])
    start = f"{algorithm} Credential={case['serial']}/{scope}, SignedHeaders={names}, Signature="
    result = {"canonical_request": canonical, "string_to_sign": to_sign, "authorization": start}
    if case["key"].startswith("rsa"):
        key = load_pem_private_key((KEYS / f"{case['key']}.pkcs8.pem").read_bytes(), None)
        result["authorization"] += key.sign(to_sign.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
    return {"url": url, "body": body, "at": "2026-03-04T05:06:07Z", **case, "expected": result}


def main():
    if botocore.__version__ != BOTOCORE:
        sys.exit(f"needs botocore {BOTOCORE}, found {botocore.__version__}")
    sources = [path_cases, query_cases, header_cases, host_cases, body_and_token_cases, instant_cases, presigned_cases]
    cases = [case for source in sources for case in source()]
    files = {f"{case['name']}.json": render(case) for case in cases}
    assert len(files) == len(cases), "two cases have one name"
    signed = {f"{case['name']}.json": json.dumps(x509_expected(case), indent=2) + "\n" for case in x509_cases()}
    for directory, texts in [(CASES, files), (X509_CASES, signed)]:
        if "--check" in sys.argv[1:]:
            present = {path.name: path.read_text() for path in directory.glob("*.json")}
            differing = sorted(name for name in texts.keys() | present.keys() if texts.get(name) != present.get(name))
            if differing:
                sys.exit("not what botocore computes: " + ", ".join(differing))
        else:
            directory.mkdir(exist_ok=True)
            for old in directory.glob("*.json"):
                old.unlink()
            for name, text in texts.items():
                (directory / name).write_text(text)
        print(f"{len(texts)} cases in {directory.name}")


if __name__ == "__main__":
    main()
