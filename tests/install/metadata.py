"""The metadata service as cloud-init sees it, before that of the fake AWS: metadata.py USER_DATA PORT. Listens at
169.254.169.254:80. User data and the instance's description are answered here, with a token or without, because
cloud-init asks without one where it cannot tell that it is on EC2, which a container cannot; everything else is the
fake's, at 127.0.0.1:PORT, which insists on tokens."""

import http.client
import http.server
import json
import sys

user_data, port = sys.argv[1:]
DESCRIPTION = {
    "ami-id": "ami-00000000000000001",
    "hostname": "ip-10-0-0-5.ec2.internal",
    "instance-id": "i-0123456789abcdef0",
    "instance-type": "t3.micro",
    "local-hostname": "ip-10-0-0-5.ec2.internal",
    "local-ipv4": "10.0.0.5",
    "placement/": ["availability-zone", "region"],
    "placement/availability-zone": "us-east-1a",
    "placement/region": "us-east-1",
}
IDENTITY = {
    "accountId": "111111111111",
    "instanceId": DESCRIPTION["instance-id"],
    "instanceType": DESCRIPTION["instance-type"],
    "region": "us-east-1",
}


def answer(path):
    _, _version, kind, *rest = path.rstrip("/").split("/") + [""]
    key = "/".join(rest).strip("/")
    if kind == "user-data":
        with open(user_data, "rb") as file:
            return file.read()
    if kind == "dynamic":
        return {"": "instance-identity/", "instance-identity": "document"}.get(key, json.dumps(IDENTITY)).encode()
    if kind == "meta-data" and not key.startswith("iam"):
        if key == "":
            return "\n".join(name for name in DESCRIPTION if name.count("/") == name.endswith("/")).encode()
        found = DESCRIPTION.get(key, DESCRIPTION.get(key + "/"))
        return ("\n".join(found) if isinstance(found, list) else found or "").encode() or None
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, headers, body):
        self.log_request(status)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def forward(self):
        fake = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
        fake.request(self.command, self.path, headers=dict(self.headers))
        answered = fake.getresponse()
        self.reply(answered.status, answered.getheaders(), answered.read())
        fake.close()

    def do_GET(self):
        body = answer(self.path)
        if body is None:
            self.forward()
        else:
            self.reply(200, [], body)

    do_PUT = forward


http.server.ThreadingHTTPServer(("169.254.169.254", 80), Handler).serve_forever()
