"""One web request and its response, as frames. wire/web.go says what they mean."""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]
from _struct import Struct

from gx import _wire
from gx._frames import U32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, List, Optional, Tuple

    from gx._runner.web import Web
    from gx._wire import Frame

WINDOW = 1 << 20  # wire.WebWindow
PIECE = 256 << 10  # bytes of a body in one frame

_MORE = 0x80000000
_RESPONSE = _wire.WEB_RESPONSE
_pack = _wire.HEADER.pack
_head = Struct(_wire.HEADER.format + "I").pack  # of a frame, and the length of a response's head


class Exchange:
    """Frames of a request in, frames of its response out.

    It belongs to the loop's thread, but for ``put``, which any may call. What
    has come and was not taken is in ``pieces``; ``heard`` is called when
    something comes.
    """

    head: List[bytes]
    body: bytes
    more = False  # the body goes on
    pieces: Any = ()
    ended = True  # the last piece of the body has come
    gone = False  # the client has left
    credit = WINDOW  # bytes that may be sent
    heard: Optional[Callable[[], None]] = None
    begun = False  # the response's head was sent
    done = False  # all of the response was sent

    def __init__(self, web: Web, frame: Frame) -> None:
        self.web = web
        self.frame = frame
        data = frame[3]
        (size,) = U32.unpack_from(data)
        end = 4 + (size & 0x7FFFFFFF)
        self.head = bytes(data[4:end]).split(b"\n")  # then the headers' names and values
        self.body = data[end:]
        if size >= _MORE:
            self.more, self.ended, self.pieces = True, False, deque()

    @property
    def headers(self) -> List[Tuple[bytes, bytes]]:
        """The request's headers, in their order; a new list."""
        fields = iter(self.head[9:])
        return list(zip(fields, fields))

    def take(self, frame: Frame) -> None:
        """A frame of the host has come."""
        type = frame[0]
        if type == _wire.WEB_CREDIT:
            self.credit += U32.unpack(frame[3])[0]
        elif type == _wire.WEB_GONE:
            self.gone = True
        else:
            if not isinstance(self.pieces, deque):
                self.pieces = deque()
            self.pieces.append(frame)
            if type == _wire.WEB_END:
                self.ended = True
        if self.heard is not None:
            self.heard()

    def put(self, type: int, body: Any) -> None:
        """Sends a frame, at the end of the loop's turn."""
        _, call, index, _, attempt, _ = self.frame
        self.web.waiting.append(_pack(len(body), type, 0, attempt, call, index) + body)

    def grant(self, size: int) -> None:
        """Lets the client send so many bytes more."""
        self.put(_wire.WEB_CREDIT, U32.pack(size))

    def begin(self, status: int, headers: Iterable[Tuple[bytes, bytes]], body: Any, more: bool) -> None:
        """Sends the head of the response with the first bytes, at most PIECE, of its body. Raises ValueError for headers that are none."""
        texts = [b"%d" % status]
        for name, value in headers:
            texts.append(name)
            texts.append(value)
        head = b"\n".join(texts)
        if head.count(b"\n") != len(texts) - 1 or b"\r" in head or b"\0" in head:
            raise ValueError("a header of the response has a line break or a NUL in it")
        self.begun = True
        size = len(body)
        self.credit -= size
        length = len(head)
        _, call, index, _, attempt, _ = self.frame
        self.web.waiting.append(
            b"".join(
                (
                    _head(4 + length + size, _RESPONSE, 0, attempt, call, index, length | _MORE if more else length),
                    head,
                    body,
                )
            )
        )
        if not more:
            self.done = True

    def write(self, body: Any, more: bool) -> None:
        """Sends the next piece, at most PIECE bytes, of the response's body."""
        self.credit -= len(body)
        self.put(_wire.WEB_DATA if more else _wire.WEB_END, bytes(body))
        if not more:
            self.done = True

    def connection(self, fd: int) -> None:
        """Sends a descriptor of a connection, after all that was put."""
        runner = self.web.runner
        runner.answers.flush()
        _, call, index, _, attempt, _ = self.frame
        runner.connection.send_descriptor(_wire.WEB_CONN, call, index, attempt, fd)

    def fail(self) -> None:
        """Answers for code that raised, if nothing was answered yet."""
        if not self.begun:
            self.begin(500, ((b"content-type", b"text/plain; charset=utf-8"),), b"Internal Server Error", False)


class Memory(dict):
    """What was made of a few short texts, which come again and again."""

    def __init__(self, make: Callable[[bytes], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: bytes) -> Any:
        value = self._make(text)
        if len(text) <= 100:
            if len(self) >= 4096:
                self.clear()
            self[text] = value
        return value


def _address(text: bytes) -> Optional[Tuple[str, int]]:
    """(host, port) of "127.0.0.1:80" or "[::1]:80"; None if it says nothing."""
    host, _, port = text.decode("latin-1").rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


addresses = Memory(_address)
words = Memory(lambda text: text.decode("latin-1"))
