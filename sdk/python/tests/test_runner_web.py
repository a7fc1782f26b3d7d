"""Web requests in the runner: ASGI applications that behave, and those that do not."""

from __future__ import annotations

import struct
import sys
import unittest
from pathlib import Path
from typing import Any, Dict, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from host import Host, pythons  # noqa: E402

from gx import _wire  # noqa: E402

MORE = 0x80000000
ENDS = (_wire.RESULT, _wire.ERROR)

APP = """
import asyncio, contextvars

seen = contextvars.ContextVar("seen", default="nothing")
events = []


async def answer(send, text, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["made"] = "at start"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("it ends")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        return await socket(scope, receive, send)
    await globals()[scope["path"].strip("/").split("/")[0]](scope, receive, send)


async def socket(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/refuses":
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print("closed by", message["code"])
            return
        if message.get("text") == "raise":
            raise ValueError("as it was told")
        await send({"type": "websocket.send", "text": "you said " + (message.get("text") or repr(message["bytes"]))})


async def shows(scope, receive, send):
    assert asyncio.current_task() is not None
    del scope["extensions"]
    await answer(send, repr(scope))


async def remembers(scope, receive, send):
    before = seen.get()
    seen.set("something")
    await answer(send, before)


async def raises(scope, receive, send):
    raise ValueError("before anything")


async def breaks(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("in the middle")


async def forgets(scope, receive, send):
    pass


async def begins(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})


async def twice(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.start", "status": 200})


async def bodyfirst(scope, receive, send):
    await send({"type": "http.response.body", "body": b"x"})


async def bodylast(scope, receive, send):
    await answer(send, "all")
    await send({"type": "http.response.body", "body": b"more"})


async def injects(scope, receive, send):
    await answer(send, "", headers=[(b"x", b"a\\r\\nset-cookie: b")])


async def streams(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    for piece in (b"1", b"2", b"3"):
        await send({"type": "http.response.body", "body": piece, "more_body": piece != b"3"})
        await asyncio.sleep(0)


async def large(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"x" * (3 << 20)})


async def uploads(scope, receive, send):
    total = pieces = 0
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        total += len(message["body"])
        pieces += 1
        more = message["more_body"]
    await answer(send, f"{total} in {pieces}")


async def ignores(scope, receive, send):
    await answer(send, "too large", 413)


async def waits(scope, receive, send):
    await receive()
    print("it waits")
    assert (await receive())["type"] == "http.disconnect"
    print("it left")
    await answer(send, "to nobody")


async def works(scope, receive, send):
    await answer(send, "done")
    while not events:
        await asyncio.sleep(0.001)
    print("and the rest")


async def signals(scope, receive, send):
    events.append(1)
    await answer(send, "signalled")


def f():
    return application
"""


class Case(unittest.TestCase):
    python = sys.executable
    calls = 0

    def host(self, app: str = APP, **options: Any) -> Host:
        options.setdefault("concurrency", 10)
        host = Host(app, python=self.python, web={"": {"kind": "asgi"}}, **options)
        self.addCleanup(host.__exit__)
        return host

    def request(self, path: str, body: bytes = b"", more: bool = False, scheme: str = "http", query: str = "", headers: Tuple[str, ...] = (), method: str = "GET") -> bytes:
        """A frame of a request, of a call of its own: self.calls."""
        self.calls += 1
        parts = ["", method, path, query, "1.1", scheme, "/label", "127.0.0.1:4000", "[::1]:7272", *headers]
        head = "\n".join(parts).encode()
        return _wire.encode(_wire.WEB_REQUEST, self.calls, 0, struct.pack("<I", len(head) | (MORE if more else 0)) + head + body, 1)

    def frames(self, host: Host, call: int = 0, until: Tuple[int, ...] = ENDS) -> List[tuple]:
        """The frames of a request, once one of these types has come."""
        call = call or self.calls
        own = lambda: [f for f in host.frames if f[1] == call and f[0] >= _wire.RESULT]  # noqa: E731
        if not host.connection.wait(lambda: any(f[0] in until for f in own()), 60):
            raise AssertionError(f"only {own()} came; stderr {bytes(host.stderr.raw)!r}")
        return own()

    def whole(self, host: Host, call: int = 0) -> Tuple[int, Dict[bytes, bytes], bytes]:
        """A request's response; it must have ended well."""
        frames = self.frames(host, call)
        assert frames[-1][0] == _wire.RESULT, _wire.read_error_body(frames[-1][3])
        response = next(f for f in frames if f[0] == _wire.WEB_RESPONSE)
        status, headers, body, _ = parse(response)
        return status, headers, body + b"".join(bytes(f[3]) for f in frames if f[0] in (_wire.WEB_DATA, _wire.WEB_END))

    def ask(self, host: Host, path: str, **more: Any) -> bytes:
        host.connection.send(self.request(path, **more))
        return self.whole(host)[2]


def parse(frame: tuple) -> Tuple[int, Dict[bytes, bytes], bytes, bool]:
    """(status, headers, first bytes, more) of a WEB_RESPONSE."""
    (size,) = struct.unpack_from("<I", frame[3])
    end = 4 + (size & ~MORE)
    status, *fields = bytes(frame[3][4:end]).split(b"\n")
    return int(status), dict(zip(fields[::2], fields[1::2])), bytes(frame[3][end:]), bool(size & MORE)


class TestHttp(Case):
    def test_what_the_application_sees(self) -> None:
        host = self.host().ready()
        scope = eval(
            self.ask(host, "/shows/caf%C3%A9", query="a=%20b", method="POST", headers=("host", "x", "a", "1", "a", "2"))
        )
        self.assertEqual(
            scope,
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": "/shows/café",
                "raw_path": b"/shows/caf%C3%A9",
                "query_string": b"a=%20b",
                "root_path": "/label",
                "headers": [(b"host", b"x"), (b"a", b"1"), (b"a", b"2")],
                "client": ("127.0.0.1", 4000),
                "server": ("::1", 7272),
                "state": {"made": "at start"},
            },
        )

    def test_requests_share_nothing(self) -> None:
        host = self.host().ready()
        for _ in range(3):
            self.assertEqual(self.ask(host, "/remembers"), b"nothing")

    def test_many_at_once(self) -> None:
        host = self.host().ready()
        first = self.calls + 1
        host.connection.send(b"".join(self.request("/remembers") for _ in range(300)))
        for call in range(first, first + 300):
            self.assertEqual(self.whole(host, call)[2], b"nothing")

    def test_applications_that_raise(self) -> None:
        host = self.host().ready()
        for path, status, says in (
            ("/raises", 500, "before anything"),
            ("/forgets", 500, "ended without its response"),
            ("/begins", 500, "ended without its response"),
            ("/twice", 500, "sent twice"),
            ("/bodyfirst", 500, "before http.response.start"),
            ("/injects", 500, "line break"),
            ("/bodylast", 200, "after the response was complete"),
            ("/breaks", 200, "in the middle"),
        ):
            with self.subTest(path):
                host.connection.send(self.request(path))
                first, *_, last = self.frames(host)
                self.assertEqual((first[0], parse(first)[0]), (_wire.WEB_RESPONSE, status))
                self.assertEqual(parse(first)[3], path == "/breaks", "a response that broke off is not whole")
                host.stderr.wait(says.encode())
                if "without" not in says:
                    self.assertEqual(last[0], _wire.ERROR)
                    self.assertIn(says, _wire.read_error_body(last[3])[0]["traceback"])
        self.assertEqual(self.ask(host, "/remembers"), b"nothing")

    def test_streaming(self) -> None:
        host = self.host().ready()
        self.assertEqual(self.ask(host, "/streams"), b"123")
        kinds = [f[0] for f in self.frames(host)]
        self.assertEqual(kinds, [_wire.WEB_RESPONSE, _wire.WEB_DATA, _wire.WEB_END, _wire.RESULT])

    def test_a_large_response_waits_for_its_client(self) -> None:
        host = self.host().ready()
        host.connection.send(self.request("/large"))
        call = self.calls
        self.assertEqual(self.ask(host, "/remembers"), b"nothing")  # it holds up no other
        sent = lambda: sum(len(parse(f)[2]) if f[0] == _wire.WEB_RESPONSE else len(f[3]) for f in host.frames if f[1] == call)  # noqa: E731
        self.assertEqual(sent(), 1 << 20)
        for _ in range(2):
            host.connection.send(_wire.encode(_wire.WEB_CREDIT, call, 0, struct.pack("<I", 1 << 20), 1))
        self.assertEqual(len(self.whole(host, call)[2]), 3 << 20)

    def test_uploads(self) -> None:
        host = self.host().ready()
        self.assertEqual(self.ask(host, "/uploads", body=b"small"), b"5 in 1")
        host.connection.send(self.request("/uploads", more=True))
        (credit,) = self.frames(host, until=(_wire.WEB_CREDIT,))
        self.assertEqual(struct.unpack("<I", credit[3]), (1 << 20,))
        for _ in range(3):
            host.connection.send(_wire.encode(_wire.WEB_DATA, self.calls, 0, b"x" * 200_000, 1))
        host.connection.send(_wire.encode(_wire.WEB_END, self.calls, 0, b"end", 1))
        self.assertEqual(self.whole(host)[2], b"600003 in 4")
        granted = sum(struct.unpack("<I", f[3])[0] for f in self.frames(host) if f[0] == _wire.WEB_CREDIT)
        self.assertGreater(granted, 1 << 20)

    def test_an_upload_that_nobody_reads(self) -> None:
        host = self.host().ready()
        host.connection.send(self.request("/ignores", more=True))
        self.assertEqual(self.whole(host)[0], 413)
        self.assertNotIn(_wire.WEB_CREDIT, [f[0] for f in self.frames(host)], "nothing of it was asked for")
        host.connection.send(_wire.encode(_wire.WEB_DATA, self.calls, 0, b"late", 1))
        self.assertEqual(self.ask(host, "/remembers"), b"nothing")

    def test_a_client_that_leaves(self) -> None:
        host = self.host().ready()
        host.connection.send(self.request("/waits"))
        host.stdout.wait(b"it waits")
        host.connection.send(_wire.encode(_wire.WEB_GONE, self.calls, 0, b"", 1))
        self.assertEqual([f[0] for f in self.frames(host)], [_wire.RESULT])
        host.stdout.wait(b"it left")

    def test_background_work(self) -> None:
        host = self.host().ready()
        host.connection.send(self.request("/works"))
        call = self.calls
        self.frames(host, until=(_wire.WEB_RESPONSE,))
        self.assertEqual(self.ask(host, "/remembers"), b"nothing")
        self.assertEqual([f[0] for f in self.frames(host, call, (_wire.WEB_RESPONSE,))], [_wire.WEB_RESPONSE], "it is not over yet")
        self.assertEqual(self.ask(host, "/signals"), b"signalled")
        self.assertEqual(self.whole(host, call)[2], b"done")
        host.stdout.wait(b"and the rest")

    def test_one_at_a_time(self) -> None:
        host = self.host(concurrency=1).ready()
        host.connection.send(self.request("/streams") + self.request("/remembers"))
        self.assertEqual(self.whole(host)[2], b"nothing")
        order = [f[1] for f in host.frames if f[0] == _wire.RESULT]
        self.assertEqual(order, sorted(order))


class TestWebSocket(Case):
    def test_messages_both_ways(self) -> None:
        host = self.host().ready()
        host.connection.send(self.request("/", scheme="ws", headers=("sec-websocket-protocol", "a, b")))
        self.frames(host, until=(_wire.WEB_RESPONSE,))
        for kind, text in ((1, b"hi"), (2, b"\xff")):
            host.connection.send(_wire.encode(_wire.WEB_MESSAGE, self.calls, 0, bytes([kind]) + text, 1))
        host.connection.send(_wire.encode(_wire.WEB_MESSAGE, self.calls, 0, b"\x08" + struct.pack("<H", 1001), 1))
        frames = self.frames(host)
        status, headers, _, more = parse(frames[0])
        self.assertEqual((status, headers, more), (101, {b"sec-websocket-protocol": b"a"}, True))
        said = [bytes(f[3]) for f in frames if f[0] == _wire.WEB_MESSAGE]
        self.assertEqual(said, [b"\x01you said hi", b"\x01you said b'\\xff'"])
        host.stdout.wait(b"closed by 1001")

    def test_one_that_is_refused(self) -> None:
        host = self.host().ready()
        host.connection.send(self.request("/refuses", scheme="ws"))
        self.assertEqual(self.whole(host)[0], 403)

    def test_one_that_raises(self) -> None:
        host = self.host().ready()
        host.connection.send(self.request("/", scheme="ws", headers=("sec-websocket-protocol", "a")))
        self.frames(host, until=(_wire.WEB_RESPONSE,))
        host.connection.send(_wire.encode(_wire.WEB_MESSAGE, self.calls, 0, b"\x01raise", 1))
        self.assertEqual(self.frames(host)[-1][0], _wire.ERROR)


class TestLifespan(Case):
    def test_its_end(self) -> None:
        host = self.host().ready()
        self.assertEqual(host.stop(), 0)
        self.assertIn(b"it ends", host.stdout.raw)

    def test_a_start_that_fails(self) -> None:
        host = self.host(
            "async def f():\n async def g(scope, receive, send):\n"
            "  await receive()\n  await send({'type': 'lifespan.startup.failed', 'message': 'no model'})\n return g"
        )
        failed = host.expect(_wire.FAILED)
        self.assertIn("the application did not start: no model", _wire.read_error_body(failed[3])[0]["traceback"])

    def test_an_application_without(self) -> None:
        host = self.host(
            "async def f():\n async def g(scope, receive, send):\n"
            "  assert scope['type'] == 'http'\n"
            "  await send({'type': 'http.response.start', 'status': 200})\n"
            "  await send({'type': 'http.response.body', 'body': b'fine'})\n return g"
        ).ready()
        self.assertEqual(self.ask(host, "/"), b"fine")
        self.assertEqual(host.stop(), 0)

    def test_what_is_no_application(self) -> None:
        failed = self.host("def f(): return 3").expect(_wire.FAILED)
        self.assertIn("returns an ASGI application", _wire.read_error_body(failed[3])[0]["traceback"])


class OldestPython(TestHttp):
    """The same with the oldest Python that there is."""

    python = list(pythons().values())[min(1, len(pythons()) - 1)]


class NewestPython(TestHttp):
    """The same with the newest Python that there is, whose tasks begin by themselves."""

    python = list(pythons().values())[-1]


if __name__ == "__main__":
    unittest.main()
