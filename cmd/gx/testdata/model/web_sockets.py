# limit: 300
"""WebSockets, and servers that a function starts by itself."""

import base64
import hashlib
import http.client
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import gx

app = gx.App("web-sockets")


@app.function(max_containers=1, timeout=60)
@gx.concurrent(max_inputs=500)
@gx.asgi_app()
def talk():
    closed = []

    async def application(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": ",".join(closed).encode()})
            return
        if scope["type"] != "websocket":
            raise NotImplementedError
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/refused":
            await send({"type": "websocket.close"})
            return
        if scope["path"] == "/raise":
            raise ValueError("on purpose")
        await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[-1], "headers": [(b"x-hello", b"you")]})
        if scope["path"] == "/raise-late":
            raise ValueError("on purpose")
        if scope["path"] == "/bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
            return
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                closed.append(str(message["code"]))
                return
            if message.get("text") is not None:
                await send({"type": "websocket.send", "text": message["text"].upper()})
            else:
                await send({"type": "websocket.send", "bytes": message["bytes"][::-1]})

    return application


@app.function()
@gx.concurrent(max_inputs=20)
@gx.web_server(8765, startup_timeout=20)
def files():
    os.makedirs("/srv/files", exist_ok=True)
    with open("/srv/files/hello.txt", "w") as f:
        f.write("hello from a server of its own")
    subprocess.Popen([sys.executable, "-m", "http.server", "8765", "--bind", "127.0.0.1", "--directory", "/srv/files"])


@app.function(startup_timeout=60)
@gx.web_server(8000, startup_timeout=0.5)
def elsewhere():
    s = socket.socket()
    s.bind(("127.0.0.1", 8111))
    s.listen()
    globals()["kept"] = s


class Socket:
    """A WebSocket, of a client."""

    def __init__(self, url, path, *headers):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection(("localhost", parts.port), timeout=30)
        self.file = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {parts.path}{path} HTTP/1.1", f"Host: {parts.hostname}:{parts.port}", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *headers]  # fmt: skip
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.status = int(self.file.readline().split()[1])
        self.headers = http.client.parse_headers(self.file)
        if self.status == 101:
            accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
            assert self.headers["Sec-WebSocket-Accept"] == accept

    def send(self, data, kind=None):
        kind = kind or (1 if isinstance(data, str) else 2)
        data = data.encode() if isinstance(data, str) else data
        size = len(data)
        head = bytes([0x80 | kind])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        self.socket.sendall(head + bytes(4) + data)  # a mask of zeros

    def receive(self):
        """(kind, data); control frames too"""
        first, size = self.file.read(2)
        if size == 126:
            (size,) = struct.unpack(">H", self.file.read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.file.read(8))
        data = self.file.read(size)
        return first & 15, data.decode() if first & 15 == 1 else data

    def close(self):
        self.file.close()
        self.socket.close()


opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url, data=None):
    try:
        with opener.open(urllib.request.Request(url, data=data), timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@app.local_entrypoint()
def main():
    url = talk.get_web_url()
    s = Socket(url, "/", "Sec-WebSocket-Protocol: one, two")
    assert s.status == 101 and s.headers["x-hello"] == "you" and s.headers["Sec-WebSocket-Protocol"] == "two", s.headers
    for text in ("a", "ä" * 100, "b" * 70_000, "c" * (5 << 20)):
        s.send(text)
        assert s.receive() == (1, text.upper())
    data = os.urandom(3 << 20)
    s.send(data)
    assert s.receive() == (2, data[::-1])
    s.send(b"ping", 9)
    assert s.receive() == (10, b"ping")
    s.send(struct.pack(">H", 4321) + b"done", 8)
    assert s.receive() == (8, struct.pack(">H", 4321))
    s.close()
    gone = Socket(url, "/")
    gone.close()  # without a word
    end = time.monotonic() + 60
    while sorted(ask(url)[1].split(b",")) != [b"1006", b"4321"]:
        assert time.monotonic() < end, ask(url)
        time.sleep(0.05)
    assert Socket(url, "/refused").status == 403
    assert Socket(url, "/raise").status == 500
    s = Socket(url, "/raise-late")
    assert s.receive() == (8, struct.pack(">H", 1011))
    s = Socket(url, "/bye")
    assert s.receive() == (8, struct.pack(">H", 4001) + b"enough")
    s.close()
    too_large = Socket(url, "/")
    threading.Thread(target=lambda: quietly(too_large.send, b"x" * (17 << 20)), daemon=True).start()
    assert too_large.receive() == (8, struct.pack(">H", 1009))

    many = [Socket(url, "/") for _ in range(200)]
    for i, one in enumerate(many):
        one.send(f"hello {i}")
    for i, one in enumerate(many):
        assert one.receive() == (1, f"HELLO {i}")
        one.close()

    url = files.get_web_url()
    assert ask(url + "/hello.txt") == (200, b"hello from a server of its own")
    assert ask(url + "/none")[0] == 404
    assert ask(url + "/hello.txt", b"data")[0] == 501
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(url + "/hello.txt"))) for _ in range(40)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert set(answers) == {(200, b"hello from a server of its own")}, answers
    status, body = ask(elsewhere.get_web_url())
    assert status == 500, (status, body)
    print("ok")


def quietly(do, *args):
    try:
        do(*args)
    except OSError:
        pass
