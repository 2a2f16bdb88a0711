"""A proxy for HTTPS: proxy.py PORT LOG. Leads every CONNECT to port 443 of loopback, wherever it was meant to go, and
notes where that was."""

import contextlib
import socket
import sys
import threading

port, log = int(sys.argv[1]), sys.argv[2]


def pump(source, sink):
    # Either side may go first.
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def serve(client):
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    method, target = head.split()[:2]
    if method != b"CONNECT":
        client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
        return client.close()
    with open(log, "a") as out:
        print(target.decode(), file=out)
    upstream = socket.create_connection(("127.0.0.1", 443))
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
    pump(upstream, client)


with socket.create_server(("127.0.0.1", port)) as server:
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
