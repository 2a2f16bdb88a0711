#!/usr/bin/env python3
"""Holds the fake AWS's SAML verifier against signxml, which knows nothing of it.

What the fake's identity provider signs, signxml has to find well signed; and a response that signxml signs, with
prefixes, line breaks and an order of its own, has to bring rolekeeper a session, but not when it was signed with another
key, for another time or place, or changed afterwards.

Usage: saml_signxml.py --fake-aws PROGRAM --rolekeeper PROGRAM --key FILE

FILE is the key of the fake's identity provider, in PEM.

Prints one line for each check, then `N passed, N failed`. Exits 0 where all passed, 1 where any failed, 77 (skipped)
where signxml is not installed.
"""

import argparse
import base64
import datetime
import pathlib
import subprocess
import sys
import tempfile

ROLE = "arn:aws:iam::222222222222:role/pod"
PROVIDER = "arn:aws:iam::222222222222:saml-provider/idp"
AUDIENCE = "urn:amazon:webservices"
RECIPIENT = "https://signin.aws.amazon.com/saml"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
SECONDS = 60
RESPONSE = """<saml2p:Response xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol"
    xmlns:unused="urn:unused" Version="2.0" ID="_r">
  <saml2p:Status><saml2p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></saml2p:Status>
</saml2p:Response>"""
ASSERTION = f"""<saml2:Assertion xmlns:saml2="{SAML}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" Version="2.0" ID="_a1" IssueInstant="{{now}}">
  <saml2:Issuer>https://other.example/idp</saml2:Issuer>
  <saml2:Subject>
    <saml2:NameID>bj\u00f6rn &amp; co</saml2:NameID>
    <saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
      <saml2:SubjectConfirmationData Recipient="{{recipient}}" NotOnOrAfter="{{end}}"/>
    </saml2:SubjectConfirmation>
  </saml2:Subject>
  <saml2:Conditions NotOnOrAfter="{{end}}" NotBefore="{{begin}}">
    <saml2:AudienceRestriction><saml2:Audience>{{audience}}</saml2:Audience></saml2:AudienceRestriction>
  </saml2:Conditions>
  <saml2:AttributeStatement>
    <saml2:Attribute Name="https://aws.amazon.com/SAML/Attributes/RoleSessionName">
      <saml2:AttributeValue xsi:type="xs:string">bjorn</saml2:AttributeValue>
    </saml2:Attribute>
    <saml2:Attribute Name="https://aws.amazon.com/SAML/Attributes/Role">
      <saml2:AttributeValue xsi:type="xs:string">{ROLE},{PROVIDER}</saml2:AttributeValue>
    </saml2:Attribute>
  </saml2:AttributeStatement>
</saml2:Assertion>"""

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from lxml import etree
    from signxml import DigestAlgorithm, SignatureMethod, XMLSigner, XMLVerifier, methods
    from signxml.exceptions import InvalidSignature
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def certificate(key):
    """A certificate of the identity provider, which signs it itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
    return builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())


def response(key, begin=-60, end=300, audience=AUDIENCE, recipient=RECIPIENT, **algorithms):
    """A response that signxml has signed, in XML."""

    def at(seconds):
        moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    text = ASSERTION.format(now=at(0), begin=at(begin), end=at(end), audience=audience, recipient=recipient)
    signer = XMLSigner(method=methods.enveloped, c14n_algorithm=EXCLUSIVE, **algorithms)
    signed = signer.sign(etree.fromstring(text), key=key, cert=[certificate(key)], reference_uri="_a1")
    whole = etree.fromstring(RESPONSE)
    whole.append(signed)
    return etree.tostring(whole, encoding="utf-8").decode()


class World:
    """A fake AWS and a profile that a SAML response is for."""

    def __init__(self, options, directory):
        self.directory, self.program = directory, options.rolekeeper
        command = [options.fake_aws, "--dir", str(directory / "fake")]
        self.fake = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.fake.stdout.readline().strip() != "READY":
            raise RuntimeError("the fake AWS has not started")
        lines = (directory / "fake" / "env").read_text(encoding="utf-8").splitlines()
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        self.variables = {name: value.strip("'") for name, value in pairs}
        (directory / "config").write_text(
            f"[profile a]\nrole_arn = {ROLE}\nregion = us-east-1\nrolekeeper_saml_principal_arn = {PROVIDER}\n"
            f"rolekeeper_saml_assertion_file = {directory}/assertion\n",
            encoding="utf-8",
        )
        self.passed = self.failed = 0

    def tell(self, line):
        self.fake.stdin.write(line + "\n")
        self.fake.stdin.flush()
        return self.fake.stdout.readline().strip().removeprefix("OK").strip()

    def check(self, name, fine, details=""):
        self.passed, self.failed = self.passed + bool(fine), self.failed + (not fine)
        print(f"{'ok    ' if fine else 'FAILED'}  {name}{'' if fine else ': ' + str(details)}", flush=True)

    def refresh(self, text):
        """Whether a session comes of the response `text`, and what is said where none does."""
        encoded = base64.encodebytes(text.encode()).decode()
        (self.directory / "assertion").write_text(encoded, encoding="ascii")
        command = [self.program, "refresh", "--force", "--config", str(self.directory / "config"), "--output-dir"]
        command.append(str(self.directory / "out"))
        run = subprocess.run(
            command, env=self.variables, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return run.returncode == 0 and not run.stderr, run.stderr

    def accepts(self, name, text):
        fine, said = self.refresh(text)
        self.check(name, fine, said)

    def refuses(self, name, text, word):
        # What was published before would make a failure a quiet one.
        if (self.directory / "out").exists():
            subprocess.run(["rm", "-r", str(self.directory / "out")], check=True)
        fine, said = self.refresh(text)
        self.check(name, not fine and word in said, said or "a session")


def run(world, key):
    minted = base64.b64decode(world.tell(f"sts assertion {ROLE} {PROVIDER} alice"))
    found = XMLVerifier().verify(minted, x509_cert=certificate(key), id_attribute="ID")
    signed = found.signed_xml
    world.check("signxml believes the fake's provider", signed.tag == f"{{{SAML}}}Assertion", signed.tag)
    try:
        XMLVerifier().verify(minted.replace(b"alice", b"mallory"), x509_cert=certificate(key), id_attribute="ID")
        world.check("signxml notices a change", False, "it does not")
    except InvalidSignature:
        world.check("signxml notices a change", True)
    world.accepts("the fake believes itself", minted.decode())

    good = response(key)
    world.accepts("the fake believes signxml", good)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    weak = {"signature_algorithm": SignatureMethod.RSA_SHA512, "digest_algorithm": DigestAlgorithm.SHA512}
    for name, text, word in (
        ("another key", response(other), "signature invalid"),
        ("another algorithm", response(key, **weak), "signature invalid"),
        ("another session name", good.replace(">bjorn<", ">root<"), "signature invalid"),
        ("another role", good.replace("role/pod", "role/efgh"), "signature invalid"),
        ("a comment taken for text", good.replace(">bjorn<", ">ro<!-- -->ot<"), "signature invalid"),
        ("a signature on nothing", good.replace("#_a1", ""), "signature invalid"),
        ("an expired one", response(key, begin=-600, end=-300), "ExpiredToken"),
        ("an early one", response(key, begin=120), "not valid yet"),
        ("one for somebody else", response(key, audience="https://sp.example"), "Audience"),
        ("one for another place", response(key, recipient="https://sp.example"), "recipient"),
    ):
        world.refuses(f"refused: {name}", text, word)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name in ("fake-aws", "rolekeeper", "key"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    key = serialization.load_pem_private_key(pathlib.Path(options.key).read_bytes(), password=None)
    with tempfile.TemporaryDirectory() as directory:
        world = World(options, pathlib.Path(directory))
        try:
            run(world, key)
        finally:
            world.fake.stdin.close()
            world.fake.wait(timeout=SECONDS)
    print(f"{world.passed} passed, {world.failed} failed")
    return 1 if world.failed else 0


if __name__ == "__main__":
    sys.exit(main())
