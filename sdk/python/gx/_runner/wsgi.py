"""WSGI (PEP 3333): an application of the user, each request on a thread."""

from __future__ import annotations

import sys
from _queue import SimpleQueue
from _thread import allocate_lock
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from io import BufferedReader, BytesIO, RawIOBase

from gx import _wire
from gx._runner import errors
from gx._runner.exchange import PIECE, WINDOW, Exchange, addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

    from gx._runner.web import Web


class Wsgi:
    """Runs an application that ``make`` returns."""

    def __init__(self, web: Web, make: Callable[[], Any]) -> None:
        self.web = web
        self.make = make
        self.app: Any = None
        self._threads = ThreadPoolExecutor(web.concurrency, "gx-wsgi")

    async def startup(self) -> None:
        """Makes the application."""
        made = self.make()
        if hasattr(made, "__await__"):
            made = await made
        if not callable(made):
            raise errors.make(
                "InvalidError",
                f"the function of a wsgi_app returns a WSGI application, such as Flask(__name__), and not a {type(made).__name__}",
            )
        self.app = made

    async def shutdown(self) -> None:
        """Nothing: requests have ended."""
        self._threads.shutdown(wait=False)

    async def serve(self, exchange: Exchange) -> None:
        """Answers one request. Raises what the application lets through."""
        call = Call(self, exchange)
        exchange.heard = call.heard
        call.heard()  # what has come already
        await self.web.loop.run_in_executor(self._threads, copy_context().run, call.run)


class Call:
    """One request on its thread."""

    def __init__(self, driver: Wsgi, exchange: Exchange) -> None:
        self.driver = driver
        self.exchange = exchange
        self._pieces: Any = SimpleQueue()  # of the body; None = it has ended, or the client is gone
        self._room = allocate_lock()  # released when credit may have come
        self._room.acquire()
        self._head: Optional[Tuple[int, List[Tuple[bytes, bytes]]]] = None
        self._left = -1  # bytes of the response that are to come; -1 = nobody knows

    def heard(self) -> None:
        """Something has come; in the loop's thread."""
        exchange = self.exchange
        while exchange.pieces:
            self._pieces.put(exchange.pieces.popleft())
        if exchange.gone:
            self._pieces.put(None)
        if self._room.locked():
            self._room.release()

    def run(self) -> None:
        """Calls the application and sends what it answers. Raises what it lets through."""
        exchange = self.exchange
        result: Any = None
        try:
            environ = self._environ()
            result = self.driver.app(environ, self._start_response)
            if isinstance(result, (list, tuple)) and len(result) == 1 and not exchange.begun:
                self._send(result[0], False)
            else:
                for part in result:
                    if part:
                        self._send(part, True)
                if not exchange.done:
                    self._send(b"", False)
        except Gone:
            pass
        except BaseException as error:
            print(errors.head(error)["traceback"], file=sys.stderr, end="")
            exchange.fail()
            raise
        finally:
            self._flush()
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _environ(self) -> Dict[str, Any]:
        exchange = self.exchange
        _, method, path, query, http, scheme, root, client, server, *_ = exchange.head
        host, port = addresses[server] or ("localhost", 80)
        peer = addresses[client] or ("", 0)
        environ: Dict[str, Any] = {
            "REQUEST_METHOD": method.decode(),
            "SCRIPT_NAME": root.decode("latin-1"),
            "PATH_INFO": _unquote(path),
            "RAW_URI": path.decode("latin-1") + ("?" + query.decode("latin-1") if query else ""),
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": "HTTP/" + http.decode(),
            "SERVER_SOFTWARE": "gx",
            "REMOTE_ADDR": peer[0],
            "REMOTE_PORT": str(peer[1]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme.decode(),
            "wsgi.input": BufferedReader(Body(self), 64 << 10) if exchange.more else BytesIO(exchange.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": self.driver.web.concurrency > 1,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in exchange.headers:
            key = name.decode("latin-1").upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                if b"_" in name:
                    continue  # it could be taken for another header
                key = "HTTP_" + key
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]},{text}" if key in environ else text
        return environ

    def _start_response(self, status: str, headers: Iterable[Tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info:
            try:
                if self.exchange.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise RuntimeError("start_response was called twice")
        code = int(status.split(" ", 1)[0])
        if not 200 <= code <= 999:
            raise RuntimeError(f"a response of status {status!r}")
        for name, value in headers:
            if name.lower() == "content-length" and value.strip().isdigit():
                self._left = int(value)
        self._head = code, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return lambda data: self._send(data, True)

    def _send(self, data: bytes, more: bool) -> None:
        """Sends a part of the response's body, and waits while the client takes none."""
        exchange = self.exchange
        if self._head is None:
            raise RuntimeError("the application answered before it called start_response")
        if exchange.done:  # it said that it would be shorter
            return
        view, at = memoryview(data), 0
        if self._left >= 0:
            self._left = max(0, self._left - len(view))
            more = more and self._left > 0
        while True:
            while exchange.credit <= 0 and not exchange.gone:
                self._flush()
                self._room.acquire(True, 5)
            if exchange.gone:
                raise Gone
            piece = view[at : at + PIECE]
            at += len(piece)
            goes_on = more or at < len(view)
            if exchange.begun:
                exchange.write(piece, goes_on)
            else:
                exchange.begin(*self._head, piece, goes_on)
            if goes_on:
                self._flush()
            if at >= len(view):
                return

    def _flush(self) -> None:
        self.driver.web.runner.answers.flush()

    def next_piece(self, granted: int) -> Optional[Any]:
        """The next part of the request's body, None at its end; lets the client send so many bytes more."""
        if granted:
            self.exchange.grant(granted)
            self._flush()
        return self._pieces.get()


class Gone(Exception):
    """The client has left."""


class Body(RawIOBase):
    """The body of a request, as a file."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._piece: Any = b""
        self._grant = WINDOW  # bytes to be granted when more is asked for
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not len(self._piece) and not self._ended:
            frame = self._call.next_piece(self._grant)
            self._grant = 0
            if frame is None:
                self._ended = True
                raise OSError("the client has left before its request's body had come")
            self._piece = memoryview(frame[3])
            self._ended = frame[0] == _wire.WEB_END
            if not self._ended:
                self._grant = len(self._piece)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count


def _unquote(path: bytes) -> str:
    """As WSGI has it: bytes, decoded, in a str of Latin-1."""
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")
