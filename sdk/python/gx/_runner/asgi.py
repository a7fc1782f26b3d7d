"""ASGI: HTTP, WebSockets and lifespan, for an application of the user.

https://asgi.readthedocs.io/en/latest/specs/ has the messages.
"""

from __future__ import annotations

import asyncio
import sys
from _struct import Struct

from gx import _wire
from gx._runner import errors
from gx._runner.exchange import PIECE, WINDOW, Exchange, addresses, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Awaitable, Callable, Dict, Optional

    from gx._runner.web import Web

_VERSION = {"version": "3.0", "spec_version": "2.3"}
_U16 = Struct("<H")
_TEXT, _BINARY, _CLOSE = 1, 2, 8  # kinds of WEB_MESSAGE


class Asgi:
    """Runs an application that ``make`` returns."""

    def __init__(self, web: Web, make: Callable[[], Any]) -> None:
        self.web = web
        self.make = make
        self.app: Any = None
        self.state: Dict[str, Any] = {}
        self._lifespan: Optional[Lifespan] = None

    async def startup(self) -> None:
        """Makes the application and runs what it does at its start."""
        made = self.make()
        if hasattr(made, "__await__"):
            made = await made
        if not callable(made):
            raise errors.make(
                "InvalidError",
                f"the function of an asgi_app returns an ASGI application, such as FastAPI(), and not a {type(made).__name__}",
            )
        self.app = made
        if "fastapi" in sys.modules:
            from gx._runner.docs import keep_local

            keep_local()
        self._lifespan = Lifespan(self)
        await self._lifespan.startup()

    async def shutdown(self) -> None:
        """Runs what the application does at its end."""
        if self._lifespan is not None:
            await self._lifespan.shutdown()

    def serve(self, exchange: Exchange) -> Awaitable[None]:
        """Answers one request. Raises what the application lets through."""
        _, method, path, query, version, scheme, root, client, server, *_ = exchange.head
        scope: Dict[str, Any] = {
            "type": "http",
            "asgi": _VERSION,
            "http_version": words[version],
            "method": words[method],
            "scheme": words[scheme],
            "path": _unquote(path) if b"%" in path else path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "root_path": words[root],
            "headers": exchange.headers,
            "client": addresses[client],
            "server": addresses[server],
            "state": self.state.copy(),
            "extensions": {},
        }
        if scheme != b"ws" and scheme != b"wss":
            return Http(exchange).run(self.app, scope)
        scope["type"] = "websocket"
        del scope["method"]
        scope["subprotocols"] = _subprotocols(exchange)
        scope["extensions"]["websocket.http.response"] = {}
        return WebSocket(exchange).run(self.app, scope)


def _unquote(path: bytes) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("utf-8", "replace")


def _subprotocols(exchange: Exchange) -> list:
    return [
        one.strip().decode("latin-1")
        for name, value in exchange.headers
        if name == b"sec-websocket-protocol"
        for one in value.split(b",")
    ]


class _Waiting:
    """Waits until something comes for an exchange. Several coroutines may."""

    _waiters: Any = ()

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def something(self) -> None:
        """Returns once something has come."""
        exchange = self.exchange
        waiter = exchange.web.loop.create_future()
        self._waiters = (*self._waiters, waiter)
        exchange.heard = self._wake
        exchange.web.flush_soon()
        await waiter

    async def credit(self) -> bool:
        """Returns once more may be sent; False = nobody is there to read it."""
        exchange = self.exchange
        while exchange.credit <= 0 and not exchange.gone:
            await self.something()
        return not exchange.gone


class Http(_Waiting):
    """One HTTP request."""

    _status = 0
    _headers: Any = ()
    _read = False  # the application has all of the body
    _taken = 0  # bytes that the application has, and the client was not granted anew

    async def run(self, app: Any, scope: Dict[str, Any]) -> None:
        exchange = self.exchange
        try:
            await app(scope, self.receive, self.send)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                print(errors.head(error)["traceback"], file=sys.stderr, end="")
                exchange.fail()
            raise
        if not exchange.done and not exchange.gone:
            what = "without completing" if exchange.begun else "without"
            print(f"gx: the application ended {what} its response to {scope['method']} {scope['path']}", file=sys.stderr)
            exchange.fail()
            if not exchange.done:
                raise errors.make("ExecutionError", "the application ended without completing its response")

    async def receive(self) -> Dict[str, Any]:
        """The application asks for the next part of the request."""
        exchange = self.exchange
        if not self._read:
            if not exchange.more:
                self._read = True
                return {"type": "http.request", "body": exchange.body, "more_body": False}
            return await self._piece()
        while not exchange.done and not exchange.gone:
            await self.something()
        return {"type": "http.disconnect"}

    async def _piece(self) -> Dict[str, Any]:
        exchange = self.exchange
        if not self._taken and not exchange.pieces and not exchange.ended:
            self._taken = 1  # once: what is sent ahead
            exchange.grant(WINDOW)
        while not exchange.pieces:
            if exchange.gone:
                return {"type": "http.disconnect"}
            await self.something()
        piece = exchange.pieces.popleft()
        self._taken += len(piece[3])
        if self._taken > WINDOW // 4 and not exchange.ended:
            exchange.grant(self._taken - 1)
            self._taken = 1
            exchange.web.flush_soon()
        self._read = piece[0] == _wire.WEB_END
        return {"type": "http.request", "body": bytes(piece[3]), "more_body": not self._read}

    async def send(self, message: Dict[str, Any]) -> None:
        """The application answers."""
        exchange, type = self.exchange, message["type"]
        if type == "http.response.body":
            if not self._status:
                raise RuntimeError("http.response.body was sent before http.response.start")
            if exchange.done:
                raise RuntimeError("http.response.body was sent after the response was complete")
            body, more = message.get("body", b""), message.get("more_body", False)
            if exchange.gone:
                return
            if not exchange.begun and len(body) <= PIECE:
                exchange.begin(self._status, self._headers, body, more)
            else:
                await self._write(body, more)
            if exchange.done or more:
                exchange.web.flush_soon()
                if exchange.done and self._waiters:
                    self._wake()  # who waits for the end of the connection
        elif type == "http.response.start":
            if self._status:
                raise RuntimeError("http.response.start was sent twice")
            self._status, self._headers = int(message["status"]), message.get("headers") or ()
            if not 200 <= self._status <= 999:
                raise RuntimeError(f"a response of status {self._status}")
        elif type not in ("http.response.debug", "http.response.trailers"):
            raise RuntimeError(f"a message of type {type!r}, which is not one of an HTTP response")

    async def _write(self, body: Any, more: bool) -> None:
        exchange = self.exchange
        view = memoryview(body)
        at = 0
        while True:
            if exchange.credit <= 0 and not await self.credit():
                return
            piece = view[at : at + PIECE]
            at += len(piece)
            goes_on = more or at < len(view)
            if exchange.begun:
                exchange.write(piece, goes_on)
            else:
                exchange.begin(self._status, self._headers, piece, goes_on)
            if at >= len(view):
                return
            exchange.web.flush_soon()


class WebSocket(_Waiting):
    """One WebSocket."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._told = False  # the application knows that there is a client
        self._open = False
        self._closed = False
        self._taken = 0
        self._refusal: Any = None

    async def run(self, app: Any, scope: Dict[str, Any]) -> None:
        exchange = self.exchange
        try:
            await app(scope, self.receive, self.send)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                print(errors.head(error)["traceback"], file=sys.stderr, end="")
                exchange.fail()
            raise
        if not exchange.begun:
            exchange.begin(403, (), b"", False)
        elif self._open and not self._closed and not exchange.gone:
            self._close(1000, "")

    async def receive(self) -> Dict[str, Any]:
        """The application asks for the next message."""
        exchange = self.exchange
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        while not exchange.pieces:
            if exchange.gone or self._closed:
                self._closed = True
                return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
            await self.something()
        data = exchange.pieces.popleft()[3]
        kind, body = data[0], data[1:]
        if kind == _CLOSE:
            self._closed = True
            code = _U16.unpack_from(body)[0] if len(body) >= 2 else 1005
            return {"type": "websocket.disconnect", "code": code, "reason": bytes(body[2:]).decode("utf-8", "replace")}
        self._taken += len(data)
        if self._taken > WINDOW // 4:
            exchange.grant(self._taken)
            exchange.web.flush_soon()
            self._taken = 0
        if kind == _TEXT:
            return {"type": "websocket.receive", "text": bytes(body).decode("utf-8", "replace")}
        return {"type": "websocket.receive", "bytes": bytes(body)}

    async def send(self, message: Dict[str, Any]) -> None:
        """The application answers."""
        exchange, type = self.exchange, message["type"]
        if type == "websocket.send":
            if not self._open or self._closed:
                raise RuntimeError("websocket.send was sent " + ("after it was closed" if self._open else "before websocket.accept"))
            if exchange.credit <= 0 and not await self.credit():
                return
            if message.get("bytes") is not None:
                body = b"\2" + message["bytes"]
            else:
                body = b"\1" + message["text"].encode("utf-8", "surrogatepass")
            exchange.credit -= len(body)
            exchange.put(_wire.WEB_MESSAGE, body)
        elif type == "websocket.accept":
            if exchange.begun:
                raise RuntimeError("websocket.accept was sent twice")
            headers = list(message.get("headers") or ())
            if message.get("subprotocol"):
                headers.append((b"sec-websocket-protocol", message["subprotocol"].encode("latin-1")))
            exchange.begin(101, headers, b"", True)
            exchange.grant(WINDOW)
            self._open = True
        elif type == "websocket.close":
            if self._open:
                if not self._closed:
                    self._close(int(message.get("code") or 1000), message.get("reason") or "")
            elif not exchange.begun:
                exchange.begin(403, (), b"", False)
        elif type == "websocket.http.response.start":
            self._refusal = int(message["status"]), message.get("headers") or (), b""
        elif type == "websocket.http.response.body":
            status, headers, body = self._refusal
            body += message.get("body", b"")
            self._refusal = status, headers, body
            if not message.get("more_body", False):
                exchange.begin(status, headers, body[:PIECE], False)
        else:
            raise RuntimeError(f"a message of type {type!r}, which is not one of a WebSocket")
        exchange.web.flush_soon()

    def _close(self, code: int, reason: str) -> None:
        self._closed = True
        self.exchange.put(_wire.WEB_MESSAGE, b"\x08" + _U16.pack(code) + reason.encode())
        self.exchange.web.flush_soon()
        self._wake()


class Lifespan:
    """What an application does at its start and at its end.

    One that does not know of it raises, or ignores it, and runs all the same.
    """

    def __init__(self, driver: Asgi) -> None:
        self._driver = driver
        self._started: Any = driver.web.loop.create_future()
        self._ended: Any = driver.web.loop.create_future()
        self._end: Any = asyncio.Event()
        self._told = False
        self._task: Any = None

    async def startup(self) -> None:
        """Returns when the application is ready. Raises what it raises, if it knows of lifespan."""
        self._task = self._driver.web.loop.create_task(self._run())
        failure = await self._started
        if failure is not None:
            raise failure

    async def shutdown(self) -> None:
        """Returns when the application is done."""
        self._end.set()
        if not self._task.done():
            await self._ended
        if not self._task.done():
            await asyncio.wait([self._task], timeout=1)
            self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._driver.state}
        try:
            await self._driver.app(scope, self._receive, self._send)
        except BaseException as error:
            if not self._started.done():
                self._started.set_result(None)  # it does not know of lifespan
            elif not self._ended.done() and self._end.is_set():
                print(f"gx: the application failed at its end:\n{errors.head(error)['traceback']}", file=sys.stderr, end="")
        finally:
            for future in (self._started, self._ended):
                if not future.done():
                    future.set_result(None)

    async def _receive(self) -> Dict[str, Any]:
        if not self._told:
            self._told = True
            return {"type": "lifespan.startup"}
        await self._end.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Dict[str, Any]) -> None:
        type = message["type"]
        if type == "lifespan.startup.complete":
            self._settle(self._started, None)
        elif type == "lifespan.startup.failed":
            text = message.get("message") or "it said that it failed"
            self._settle(self._started, errors.make("ExecutionError", f"the application did not start: {text}"))
        elif type in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            if type.endswith("failed") and message.get("message"):
                print(f"gx: the application failed at its end: {message['message']}", file=sys.stderr)
            self._settle(self._ended, None)

    @staticmethod
    def _settle(future: Any, value: Any) -> None:
        if not future.done():
            future.set_result(value)
