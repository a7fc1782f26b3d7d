# both
# limit: 300
"""Web endpoints: ASGI, WSGI and FastAPI applications, streams, uploads, disconnects, errors, lifespan."""

import asyncio
import http.client
import json
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import gx

NAME = "web-" + gx.__name__  # of two runs of one app the newer would get all requests
app = gx.App(NAME)
fastapi_image = gx.Image.debian_slim().pip_install("fastapi", "flask")


@app.function(image=fastapi_image)
@gx.fastapi_endpoint(docs=True)
def square(x: int):
    print("squaring", x)
    return {"square": x * x}


@app.function(image=fastapi_image)
@gx.web_endpoint(method="POST", label=f"{NAME}-greeting")
def greet(body: dict):
    return {"hello": body["name"]}


events = []  # what the application below has seen, in its one container
seen = []  # a name for each line of a stream that its client has


@app.function(timeout=1)
@gx.asgi_app()
def limited():
    async def application(scope, receive, send):
        if scope["type"] == "http":
            await asyncio.sleep(60)

    return application


@app.function(max_containers=1)
@gx.concurrent(max_inputs=50)
@gx.asgi_app()
def plain():
    async def respond(send, status, body, *headers, more=False):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def lifespan(scope, receive, send):
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["made"] = "at the start"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        print("lifespan is over", file=sys.stderr)
        await send({"type": "lifespan.shutdown.complete"})

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            return await lifespan(scope, receive, send)
        path = scope["path"]
        if path == "/scope":
            shown = {k: scope[k] for k in ("method", "path", "root_path", "http_version", "scheme")}
            shown["query"] = scope["query_string"].decode()
            shown["raw"] = scope["raw_path"].decode()
            shown["state"] = scope["state"]["made"]
            shown["headers"] = sorted([k.decode(), v.decode()] for k, v in scope["headers"])
            await respond(send, 200, json.dumps(shown).encode(), (b"content-type", b"application/json"), (b"x-two", b"1"), (b"x-two", b"2"))
        elif path == "/echo":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            more = True
            while more:
                message = await receive()
                more = message["more_body"]
                await send({"type": "http.response.body", "body": message["body"], "more_body": more})
        elif path == "/count":
            size, more, most = 0, True, 0
            while more:
                message = await receive()
                assert message["type"] == "http.request", message
                size += len(message["body"])
                more = message["more_body"]
            with open("/proc/self/status") as status:
                most = [line for line in status if line.startswith("VmHWM")][0].split()[1]
            await respond(send, 200, f"{size} {most}".encode())
        elif path == "/ticks":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
            for i in range(3):
                await send({"type": "http.response.body", "body": b"data: %d\n\n" % i, "more_body": True})
                while len(seen) <= i:  # its client has it
                    await asyncio.sleep(0.01)
            await send({"type": "http.response.body", "body": b""})
        elif path == "/seen":
            seen.append(path)
            await respond(send, 200, b"")
        elif path == "/flood":  # until the client leaves
            await send({"type": "http.response.start", "status": 200, "headers": []})
            gone = asyncio.ensure_future(receive_until_gone(receive))
            sent = 0
            while not gone.done():
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                sent += 65536
                await asyncio.sleep(0)
            events.append(f"left after {sent >> 20 < 64}")
        elif path == "/wait":
            await receive()
            events.append("waits")
            message = await receive()
            events.append(message["type"])
        elif path == "/events":
            await respond(send, 200, json.dumps(events).encode())
        elif path == "/late":
            await respond(send, 200, b"early")
            await asyncio.sleep(0.3)
            events.append("background")
        elif path == "/raise":
            raise ValueError("on purpose")
        elif path == "/raise-late":
            await respond(send, 200, b"half", (b"content-length", b"8"), more=True)
            raise ValueError("in the middle")
        elif path == "/silent":
            return
        elif path == "/header":
            await respond(send, 200, b"", (b"x-bad", b"a\r\nset-cookie: b"))
        elif path == "/big":
            await respond(send, 200, b"b" * (20 << 20))
        elif path == "/status":
            await respond(send, 204, b"")
        else:
            await respond(send, 404, b"no such path")

    async def receive_until_gone(receive):
        while (await receive())["type"] != "http.disconnect":
            pass

    return application


@app.function(image=fastapi_image, max_containers=1)
@gx.concurrent(max_inputs=10)
@gx.wsgi_app()
def flask():
    from flask import Flask, Response, request

    web = Flask(__name__)

    @web.get("/hello/<name>")
    def hello(name):
        return {"hello": name, "query": request.args.get("q"), "root": request.script_root, "thread": threading.current_thread().name}

    @web.post("/size")
    def size():
        count = 0
        while True:
            data = request.stream.read(1 << 20)
            if not data:
                return {"size": count}
            count += len(data)

    @web.get("/stream")
    def stream():
        return Response((b"%d\n" % i for i in range(5)), mimetype="text/plain")

    all_are_here = threading.Barrier(8)

    @web.get("/meet")
    def meet():
        all_are_here.wait(30)
        return "met"

    return web


@app.cls(image=fastapi_image)
class Model:
    @gx.enter()
    def load(self):
        self.weights = 3

    @gx.fastapi_endpoint()
    def predict(self, x: int):
        return {"y": x * self.weights}

    @gx.asgi_app(label=f"{NAME}-second")
    def second(self):
        async def application(scope, receive, send):
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"%d" % self.weights})

        return application

    @gx.method()
    def plain(self, x):
        return x + self.weights


@app.function()
@gx.asgi_app()
def dying():
    import os

    async def application(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError("no lifespan")
        if scope["path"] == "/now":
            os._exit(3)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(0.2)
        os._exit(3)

    return application


@app.function()
@gx.asgi_app()
def broken():
    raise RuntimeError("it cannot be made")


# -- the client --


def ask(url, method="GET", data=None, headers=None):
    """(status, headers, body)"""
    request = urllib.request.Request(url, method=method, data=data, headers=headers or {})
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def connect(url):
    parts = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection("localhost", parts.port, timeout=60), parts.path


def raw(url, text, wait=10):
    """Sends bytes and returns all that comes."""
    with socket.create_connection(("localhost", urllib.parse.urlsplit(url).port), timeout=wait) as s:
        s.sendall(text)
        data = b""
        while True:
            try:
                more = s.recv(65536)
            except (ConnectionResetError, socket.timeout):
                return data
            if not more:
                return data
            data += more


def eventually(check):
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.05)


@app.local_entrypoint()
def main():
    url = square.get_web_url()
    assert json.loads(ask(url + "/?x=7")[2]) == {"square": 49}
    assert ask(url + "/?x=seven")[0] == 422
    assert ask(url + "/docs")[0] == 200
    assert ask(url + "/", "POST", b"{}")[0] == 405
    assert square.local(3) == {"square": 9}
    try:
        square.remote(3)
        raise AssertionError("it was called")
    except gx.exception.InvalidError as error:
        assert "web endpoint" in str(error)

    url = greet.get_web_url()
    assert f"{NAME}-greeting" in url
    assert json.loads(ask(url, "POST", b'{"name": "you"}', {"content-type": "application/json"})[2]) == {"hello": "you"}
    assert sorted(app.registered_web_endpoints) == sorted(
        ["square", "greet", "limited", "plain", "flask", "dying", "broken", "Model.predict", "Model.second"]
    )

    asgi(plain.get_web_url())
    streams(plain.get_web_url())
    uploads(plain.get_web_url())
    leaving(plain.get_web_url())
    malformed(plain.get_web_url())
    wsgi(flask.get_web_url())

    status, _, body = ask(limited.get_web_url())
    assert status == 504 and b"timeout of 1s" in body, (status, body)

    assert json.loads(ask(Model().predict.get_web_url() + "/?x=5")[2]) == {"y": 15}
    assert ask(Model().second.get_web_url())[2] == b"3"
    assert Model().plain.remote(1) == 4

    status, _, body = ask(dying.get_web_url() + "/now", "POST", b"")
    assert status == 502 and b"ended before it had answered" in body, (status, body)
    try:
        ask(dying.get_web_url())
        raise AssertionError("half a response was taken for a whole")
    except (http.client.IncompleteRead, ConnectionError):
        pass
    status, _, body = ask(broken.get_web_url())
    assert status == 500 and b"cannot be made" not in body, (status, body)
    print("ok")


def asgi(url):
    status, headers, body = ask(url + "/scope?a=b&c=%20", headers={"X-One": "1"})
    seen = json.loads(body)
    assert status == 200 and headers.get_all("x-two") == ["1", "2"], (status, headers)
    assert seen["state"] == "at the start" and seen["query"] == "a=b&c=%20" and seen["path"] == "/scope", seen
    assert ["x-one", "1"] in seen["headers"] and seen["method"] == "GET" and seen["scheme"] == "http", seen
    # by name, and by path
    port = urllib.parse.urlsplit(url).port
    seen = json.loads(raw(url, f"GET /scope HTTP/1.1\r\nHost: {NAME}-plain-dev.localhost:{port}\r\nConnection: close\r\n\r\n".encode()).partition(b"\r\n\r\n")[2])
    assert seen["root_path"] == "" and seen["path"] == "/scope", seen
    seen = json.loads(ask(f"http://127.0.0.1:{port}/{NAME}-plain-dev/scope")[2])
    assert seen["root_path"] == f"/{NAME}-plain-dev" and seen["path"] == "/scope", seen
    assert ask(url + "/nowhere%20else") [0] == 404
    assert ask(url + "/status")[0] == 204
    assert ask(url + "/raise")[::2] == (500, b"Internal Server Error")
    assert ask(url + "/silent")[0] == 500
    assert ask(url + "/header")[0] == 500
    try:
        ask(url + "/raise-late")
        raise AssertionError("half a response was taken for a whole")
    except (http.client.IncompleteRead, ConnectionError):
        pass
    assert ask(url + "/late")[2] == b"early"
    eventually(lambda: "background" in json.loads(ask(url + "/events")[2]))
    # HEAD
    connection, path = connect(url)
    connection.request("HEAD", path + "/scope")
    response = connection.getresponse()
    assert response.status == 200 and response.read() == b""
    connection.request("GET", path + "/nowhere")  # the connection goes on
    assert connection.getresponse().read() == b"no such path"
    connection.close()


def streams(url):
    connection, path = connect(url)
    connection.request("GET", path + "/ticks")
    response = connection.getresponse()
    assert response.headers["content-type"] == "text/event-stream"
    for i in range(3):  # each comes before there is another
        assert response.fp.readline().strip() or True  # the size of a chunk
        line = response.fp.readline()
        assert line == b"data: %d\n" % i, line
        response.fp.readline(), response.fp.readline()
        assert ask(url + "/seen")[0] == 200
    connection.close()
    assert ask(url + "/big")[2] == b"b" * (20 << 20)


class Zeros:
    """A file of so many bytes."""

    def __init__(self, size):
        self.left = size

    def read(self, size=-1):
        count = min(self.left, 1 << 20)
        self.left -= count
        return bytes(count)


def uploads(url):
    for size in (0, 1, 65536, 65537, 3 << 20):
        data = b"u" * size
        assert ask(url + "/echo", "POST", data)[2] == data, size
    size = 1 << 30
    connection, path = connect(url)
    began = time.monotonic()
    connection.request("POST", path + "/count", body=Zeros(size), headers={"Content-Length": str(size)})
    counted, memory = connection.getresponse().read().split()
    assert int(counted) == size and int(memory) < 150 << 10, (counted, memory)
    print(f"1 GB in {time.monotonic() - began:.2f} s, and {int(memory) >> 10} MB in the container")
    # in chunks
    connection.request("POST", path + "/echo", body=iter([b"a" * 1000, b"b" * 100_000]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().read() == b"a" * 1000 + b"b" * 100_000
    connection.close()


def leaving(url):
    for path, event in (("/wait", "http.disconnect"), ("/flood", "left after True")):
        connection, prefix = connect(url)
        connection.request("GET", prefix + path)
        if path == "/wait":
            eventually(lambda: "waits" in json.loads(ask(url + "/events")[2]))
        else:
            connection.getresponse()
            time.sleep(0.3)  # a flood comes to a stand
        connection.close()
        if path == "/flood":
            connection.sock = None
        eventually(lambda: event in json.loads(ask(url + "/events")[2]))


def malformed(url):
    def status(text):
        return raw(url, text).split(b"\r\n")[0].split(b" ")[1:2]

    assert status(b"HELLO\r\n\r\n") == [b"400"]
    assert status(b"GET / HTTP/1.1\r\nHost: somewhere.example\r\nConnection: close\r\n\r\n") == [b"421"]
    assert status(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\nConnection: close\r\n\r\n") == [b"404"]
    assert status(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n") == [b"431"]
    assert status(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n") == [b"400"]
    path = urllib.parse.urlsplit(url).path or "/"
    assert status(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\nConnection: close\r\n\r\n" % (path + "/echo").encode()) == [b"413"]


def wsgi(url):
    seen = json.loads(ask(url + "/hello/you%20there?q=1")[2])
    assert seen["hello"] == "you there" and seen["query"] == "1", seen
    assert ask(url + "/nowhere")[0] == 404
    assert ask(url + "/stream")[2] == b"0\n1\n2\n3\n4\n"
    size = 50 << 20
    connection, path = connect(url)
    connection.request("POST", path + "/size", body=Zeros(size), headers={"Content-Length": str(size)})
    assert json.loads(connection.getresponse().read()) == {"size": size}
    connection.close()
    met = []
    threads = [threading.Thread(target=lambda: met.append(ask(url + "/meet")[2])) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert met == [b"met"] * 8, "requests did not run beside each other"
