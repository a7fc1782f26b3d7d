"""The reading side of a connection: bytes and descriptors become frames."""

from __future__ import annotations

import os
from _struct import Struct

import _socket

from gx._frames import (
    FLAG_FD,
    FLAG_MORE,
    HEADER,
    MAX_BODY,
    MAX_PAYLOAD,
    ProtocolError,
    check_header,
    split_body,
)
from gx._payload import map_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, List, Optional

    from gx._frames import Frame

MAX_FILES = 64  # descriptors that may have come before the frames that claim them

_I = Struct("i")
# Bytes asked of the kernel at a time. Less than what malloc takes from the kernel and gives
# back each time (128 KiB), which would cost three system calls and a page fault a call.
_CHUNK = 64 << 10


class Receiver:
    """Reads frames from a socket: many with one system call. One thread at a time uses it."""

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock
        self._rest = b""  # less than a header
        self._head: Optional[tuple] = None  # of a frame whose body is not whole
        self._body = bytearray()
        self._have = 0  # bytes of _body that are there
        self._fds: List[int] = []  # came, and not yet claimed by a frame
        self._pieces: dict = {}  # by call and index: the type, and the pieces of the payload that have come
        self._pieces_size = 0
        self._ancillary = _socket.CMSG_SPACE(253 * _I.size)
        self._flags = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)

    def receive(self, flags: int) -> List[Frame]:
        """One system call, and the frames that are whole by it: perhaps none.

        Raises EOFError at the end of the stream, OSError as the system call
        does, ProtocolError; after any but BlockingIOError it is of no more use.
        """
        if self._head is not None:
            return self._receive_body(flags)
        data, ancillary, message_flags, _ = self._sock.recvmsg(_CHUNK, self._ancillary, self._flags | flags)
        if ancillary or message_flags & _socket.MSG_CTRUNC:
            self._take_descriptors(ancillary, message_flags)
        if not data:
            raise EOFError("in the middle of a frame" if self._rest else "between frames")
        if self._rest:
            data = self._rest + data
            self._rest = b""
        return self._parse(data)

    def _parse(self, data: bytes) -> List[Frame]:
        frames: List[Frame] = []
        append, unpack = frames.append, HEADER.unpack_from
        at, end = 0, len(data)
        while end - at >= 16:
            size, type, flags, attempt, call, index = unpack(data, at)
            start = at + 16
            at = start + size
            if flags or size > MAX_BODY or not 0 < type < 38:
                check_header(size, type, flags)
            if at > end:
                # The body goes into a buffer of its size, so that a large one
                # is never copied again and again as it grows.
                self._head = (size, type, flags, attempt, call, index)
                self._body = bytearray(size)
                self._have = end - start
                self._body[: self._have] = data[start:]
                return frames
            if flags:
                frame = self._special(data[start:at], type, flags, attempt, call, index)
                if frame is not None:
                    append(frame)
            elif self._pieces and (call, index) in self._pieces:
                append(self._last_piece(data[start:at], type, attempt, call, index, 0))
            else:
                append((type, call, index, data[start:at], attempt, 0))
        if at < end:
            self._rest = data[at:]
        return frames

    def _receive_body(self, flags: int) -> List[Frame]:
        """Goes on with a body that is not whole."""
        with memoryview(self._body) as view, view[self._have :] as room:
            n, ancillary, message_flags, _ = self._sock.recvmsg_into(
                [room], self._ancillary, self._flags | flags
            )
        if ancillary or message_flags & _socket.MSG_CTRUNC:
            self._take_descriptors(ancillary, message_flags)
        if n == 0:
            raise EOFError("in the middle of a frame")
        self._have += n
        if self._have < len(self._body):
            return []
        assert self._head is not None
        _, type, frame_flags, attempt, call, index = self._head
        body: Any = self._body
        self._head, self._body = None, bytearray()
        if frame_flags:
            frame = self._special(body, type, frame_flags, attempt, call, index)
            return [] if frame is None else [frame]
        if (call, index) in self._pieces:
            return [self._last_piece(body, type, attempt, call, index, 0)]
        return [(type, call, index, body, attempt, 0)]

    def _special(
        self, body: Any, type: int, flags: int, attempt: int, call: int, index: int
    ) -> Optional[Frame]:
        """A frame with flags: None if it is a piece and not the last."""
        body, logged = split_body(body, flags)
        if flags & FLAG_FD:
            if not self._fds:
                raise ProtocolError("a frame announces a descriptor that did not come")
            fd = self._fds.pop(0)
            try:
                body = map_file(fd, body)
            finally:
                os.close(fd)
        if (call, index) in self._pieces or flags & FLAG_MORE:
            if not flags & FLAG_MORE:
                return self._last_piece(body, type, attempt, call, index, logged)
            pieces = self._pieces.setdefault((call, index), [type])
            self._pieces_size += len(body)
            if pieces[0] != type or self._pieces_size > MAX_PAYLOAD:
                raise ProtocolError("the pieces of a payload are mixed with others or too large")
            pieces.append(body)
            return None
        return (type, call, index, body, attempt, logged)

    def _last_piece(self, body: Any, type: int, attempt: int, call: int, index: int, logged: int) -> Frame:
        pieces = self._pieces.pop((call, index))
        if pieces[0] != type:
            raise ProtocolError("the pieces of a payload are mixed with other frames of the same input")
        pieces.append(body)
        joined = bytearray().join(pieces[1:])
        self._pieces_size -= len(joined) - len(body)
        return (type, call, index, joined, attempt, logged)

    def _take_descriptors(self, ancillary: Iterable, message_flags: int) -> None:
        for level, kind, data in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                for at in range(0, len(data) - len(data) % _I.size, _I.size):
                    fd = _I.unpack_from(data, at)[0]
                    if not self._flags:
                        os.set_inheritable(fd, False)
                    self._fds.append(fd)
        if message_flags & _socket.MSG_CTRUNC:
            raise ProtocolError(
                "a descriptor was lost on its way: this process has too many open files (see ulimit -n)"
            )
        if len(self._fds) > MAX_FILES:
            raise ProtocolError(f"{len(self._fds)} descriptors came that no frame announces")

    def drop(self) -> None:
        """Closes descriptors that came and were never claimed, and forgets unfinished payloads."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []
        self._pieces = {}
