"""ECS as the one call of the AWS CLI sees it: ecs.py PORT FILE. Listens on 127.0.0.1, creates FILE then, writes the task
definition that it is told to register there, and answers with it."""

import http.server
import json
import pathlib
import sys

port, file = int(sys.argv[1]), pathlib.Path(sys.argv[2])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_known = self.headers["X-Amz-Target"].endswith(".RegisterTaskDefinition")
        if is_known:
            file.write_bytes(body)
        answer = json.dumps({"taskDefinition": json.loads(body)} if is_known else {}).encode()
        self.send_response(200 if is_known else 400)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", port), Handler)
file.touch()
server.serve_forever()
