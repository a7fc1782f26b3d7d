"""A connection that speaks frames with the host, shared by threads.

How frames and payloads are encoded is in gx._frames and gx._payload, whose
names are names of this module too; how they are read in gx._receiver.
"""

from __future__ import annotations

import os
from _struct import Struct
from _thread import allocate_lock, get_ident
from time import monotonic

import _socket

from gx._frames import (
    ALL_INPUTS, ANSWER, ASK, BATCH, BYE, CANCEL, END, ERROR, FAIL, FAILED, FLAG_FD, FLAG_LOGGED, FLAG_MORE, HEADER, HEADER_SIZE,
    HELLO, INLINE_MAX, INPUT, ITEM, MAX_BODY, MAX_PAYLOAD, OPEN, OPENED, PROTOCOL, READY, REPLY, REQUEST, RESULT, RUNNER_CALL,
    STAGE, STAGED, START, STOP, SWAP, U64, WEB_CONN, WEB_CREDIT, WEB_DATA, WEB_END, WEB_GONE, WEB_MESSAGE, WEB_REQUEST,
    WEB_RESPONSE, WITHIN, ProtocolError, TooLarge, decode, decode_message, encode, encode_message, error_body, from_json,
    read_error_body, to_json,
)  # fmt: skip
from gx._payload import Files, Parts, dumps, loads, whole
from gx._receiver import Receiver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence, Union

    from gx._frames import Buffer as Buffer
    from gx._frames import Frame as Frame
    from gx._payload import Payload as Payload

__all__ = [
    "ALL_INPUTS", "ANSWER", "ASK", "BATCH", "BYE", "CANCEL", "END", "ERROR", "FAIL", "FAILED", "FLAG_FD", "FLAG_LOGGED",
    "FLAG_MORE", "HEADER", "HEADER_SIZE", "HELLO", "INLINE_MAX", "INPUT", "ITEM", "MAX_BODY", "MAX_PAYLOAD", "OPEN", "OPENED",
    "PROTOCOL", "READY", "REPLY", "REQUEST", "RESULT", "RUNNER_CALL", "STAGE", "STAGED", "START", "STOP", "SWAP", "U64",
    "WEB_CONN", "WEB_CREDIT", "WEB_DATA", "WEB_END", "WEB_GONE", "WEB_MESSAGE", "WEB_REQUEST", "WEB_RESPONSE", "WITHIN",
    "Closed", "Connection", "Parts", "ProtocolError", "TooLarge", "connect", "decode", "decode_message", "dumps", "encode",
    "encode_message", "error_body", "from_json", "loads", "read_error_body", "to_json", "whole",
]  # fmt: skip

_I = Struct("i")
_pack = HEADER.pack


class Closed(ConnectionError):
    """The connection has ended."""


class Connection:
    """A connection that threads share: any may send, one of them at a time receives.

    A thread that needs an answer calls ``wait``: it receives for all, handing
    each frame to ``handler``, until its own condition is true; then a waiting
    thread takes over. So there is no reader thread, and no hand-over between
    threads where only one is waiting.

    ``descriptors`` says whether the other side takes payloads as descriptors
    (a unix socket on one machine).
    """

    def __init__(self, sock: _socket.socket, handler: Optional[Callable[[Frame], None]] = None, descriptors: bool = False) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.handler: Callable[[Frame], None] = handler or (lambda frame: None)
        self.descriptors = descriptors and hasattr(os, "memfd_create")
        self.error: Optional[BaseException] = None  # why it has ended
        self._pid = os.getpid()
        self._files = Files()
        # sending
        self._sending = allocate_lock()
        self._sender = 0  # the thread that is writing
        self._unsent: Buffer = b""
        # receiving: only the thread that holds _reading touches _receiver
        self._reading = allocate_lock()
        self._reader = 0  # the thread that has bytes in its hands
        self._receiver = Receiver(sock)
        # waiting
        self._poller: Any = None  # for reading
        self._waiters: list = []  # of (lock that its thread sleeps on, done)

    def guarded(self, thread: int) -> bool:
        """Whether an exception raised now in ``thread``, by a signal handler, would tear a frame."""
        return thread in (self._sender, self._reader)

    # -- sending --

    def send(self, data: Buffer) -> None:
        """Sends encoded frames; returns when the kernel has them. Raises Closed."""
        with self._sending:
            self._sender = get_ident()
            try:
                if self._unsent:
                    data = b"".join((self._unsent, data))
                self._send(data, ())
            finally:
                self._sender = 0

    def _send(self, data: Buffer, ancillary: Sequence) -> None:
        """Sends with _sending held. What an exception leaves unsent is sent next time."""
        if os.getpid() != self._pid:
            raise Closed("this process was forked from the one that has the connection")
        if self.error is not None:
            raise Closed(str(self.error)) from self.error
        self._unsent = data
        sock = self.sock
        try:
            if ancillary:
                n = sock.sendmsg([data], ancillary)
            else:
                n = sock.send(data)
            if n != len(data):
                view = memoryview(data)
                while n < len(view):
                    self._unsent = view[n:]
                    try:
                        n += sock.send(view[n:])
                    except BlockingIOError:
                        self._poll(4, None)
            self._unsent = b""
        except BlockingIOError:
            self._poll(4, None)
            self._send(data, ancillary)
        except OSError as error:
            self._unsent = b""
            if self.error is None:
                self.error = Closed(f"the connection with the host has ended: {error}")
            raise self.error from error

    def send_payload(
        self, type: int, call: int, index: int, payload: Union[Payload, Buffer], attempt: int = 0, before: bytes = b"", after: bytes = b""
    ) -> None:
        """Sends a frame with a payload of any size, between encoded frames."""
        if not isinstance(payload, Parts) and len(payload) <= INLINE_MAX:
            head = _pack(len(payload), type, 0, attempt, call, index)
            self.send(b"".join((before, head, payload, after)))
            return
        buffers = payload.buffers if isinstance(payload, Parts) else (payload,)
        size = len(payload)
        if size > MAX_PAYLOAD:
            raise TooLarge(f"a payload of {size} bytes; at most {MAX_PAYLOAD} are allowed")
        if self.descriptors:
            fd = self._files.write(buffers, size)
            try:
                head = _pack(8, type, FLAG_FD, attempt, call, index) + U64.pack(size)
                self._send_descriptor(before + head + after, fd)
            finally:
                os.close(fd)
            return
        # Pieces: other threads' frames of other inputs may come between them.
        if before:
            self.send(before)
        left = size
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            for at in range(0, len(view), 1 << 20):
                piece = view[at : at + (1 << 20)]
                left -= len(piece)
                flags = FLAG_MORE if left else 0
                self.send(b"".join((_pack(len(piece), type, flags, attempt, call, index), piece)))
        if after:
            self.send(after)

    def send_descriptor(self, type: int, call: int, index: int, attempt: int, fd: int) -> None:
        """Sends a frame whose body is a descriptor, which stays the caller's."""
        self._send_descriptor(_pack(8, type, FLAG_FD, attempt, call, index) + U64.pack(0), fd)

    def _send_descriptor(self, data: bytes, fd: int) -> None:
        """Sends encoded frames with a descriptor for the one among them that has FLAG_FD."""
        with self._sending:
            self._sender = get_ident()
            try:
                if self._unsent:
                    self._send(self._unsent, ())
                self._send(data, [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _I.pack(fd))])
            finally:
                self._sender = 0

    # -- receiving --

    def receive(self, flags: int = 0) -> List[Frame]:
        """Waits for bytes, once, and returns the frames that are whole: perhaps none.

        Only the thread that holds the reading side may call it (see ``wait``).
        ``flags`` are the system call's, e.g. MSG_DONTWAIT: BlockingIOError if
        there is nothing. Raises Closed at the end, ProtocolError.
        """
        try:
            return self._receiver.receive(flags)
        except (BlockingIOError, InterruptedError):
            raise
        except (EOFError, ConnectionError) as error:
            self.error = Closed(f"the host has closed the connection: {error}")
            raise self.error from None
        except (ProtocolError, OSError) as error:
            self.error = error
            raise

    # -- waiting --

    def wait(self, done: Callable[[], Any], timeout: Optional[float] = None) -> bool:
        """Handles frames, in this thread or another, until ``done()`` is true.

        ``done`` may be called in any thread that waits; it must be quick and
        must not block. Returns False if ``timeout`` (seconds) is over first.
        Raises Closed or ProtocolError when the connection ends before. An
        exception of a signal handler goes through without harm to the frames.
        """
        end = None if timeout is None else monotonic() + timeout
        while not done():
            if self.error is not None:
                raise self.error
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                return False
            if self._reading.acquire(False):
                try:
                    self._lead(done, end)
                finally:
                    self._reading.release()
                    if self._waiters:
                        self._wake(True)
            else:
                self._follow(done, left)
        return True

    def _lead(self, done: Callable[[], Any], end: Optional[float]) -> None:
        while not done():
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0 or not self._readable(left):
                return
            self._reader = get_ident()  # from here to the handlers nothing may be lost
            try:
                try:
                    frames = self.receive(_socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                for frame in frames:
                    self.handler(frame)
            finally:
                self._reader = 0
            if self._waiters:
                self._wake(False)

    def _follow(self, done: Callable[[], Any], left: Optional[float]) -> None:
        """Sleeps until ``done`` is true or the leader has gone."""
        lock = allocate_lock()
        lock.acquire()
        waiter = (lock, done)
        self._waiters.append(waiter)
        try:
            # The leader may have gone, or done become true, before we were in the list.
            if not done() and self.error is None and self._reading.locked():
                lock.acquire(True, -1 if left is None else left)
        finally:
            self._waiters.remove(waiter)

    def _wake(self, next_leader: bool) -> None:
        """Wakes the threads whose condition is true and, if asked, one more to lead."""
        for lock, done in list(self._waiters):
            if not lock.locked():
                continue
            if self.error is not None or done():
                self._unlock(lock)
            elif next_leader:
                self._unlock(lock)
                next_leader = False

    @staticmethod
    def _unlock(lock: Any) -> None:
        try:
            lock.release()
        except RuntimeError:
            pass  # another thread was faster

    def pump(self, done: Callable[[], Any]) -> None:
        """Handles the next frames, for a thread that has nothing else to do.

        One system call where no other thread is reading, else as ``wait``. It
        may return before ``done()`` is true. An exception of a signal handler
        may cost the frames that were just read.
        """
        if not self._reading.acquire(False):
            self.wait(done)
            return
        try:
            if done():  # by a thread that read just before, or by a signal
                return
            handler = self.handler
            for frame in self.receive():
                handler(frame)
        finally:
            self._reading.release()
            if self._waiters:
                self._wake(True)

    def serve(self) -> bool:
        """Handles what has come, without waiting, unless another thread is at it.

        Returns whether it looked. For a thread that looks after the connection
        while nobody waits, and for an event loop.
        """
        if not self._reading.acquire(False):
            return False
        self._reader = get_ident()
        try:
            while True:
                try:
                    frames = self.receive(_socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return True
                for frame in frames:
                    self.handler(frame)
        finally:
            self._reader = 0
            self._reading.release()
            self._wake(True)

    def serve_once(self) -> None:
        """As serve, with one system call: for a loop that calls again while there is something to read."""
        if not self._reading.acquire(False):
            return
        self._reader = get_ident()
        try:
            handler = self.handler
            try:
                frames = self.receive(_socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            for frame in frames:
                handler(frame)
        finally:
            self._reader = 0
            self._reading.release()
            if self._waiters:
                self._wake(True)

    def readable(self, timeout: float) -> bool:
        """Waits until there is something to read, for at most ``timeout`` seconds, without reading it."""
        return self._poll(1, timeout)

    def _readable(self, timeout: Optional[float]) -> bool:
        """The same, as often as it likes, for the thread that has the reading side."""
        if self._poller is None:
            from select import poll

            self._poller = poll()
            self._poller.register(self.fd, 1)
        return bool(self._poller.poll(None if timeout is None else max(0, int(timeout * 1000) + 1)))

    def _poll(self, events: int, timeout: Optional[float]) -> bool:
        """Waits until the socket is readable (1) or writable (4)."""
        from select import poll

        poller = poll()
        poller.register(self.fd, events)
        return bool(poller.poll(None if timeout is None else max(0, int(timeout * 1000) + 1)))

    def close(self) -> None:
        """Ends the connection. A thread that waits for it gets Closed."""
        if self.error is None:
            self.error = Closed("the connection was closed")
        try:
            self.sock.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass
        if self._reading.acquire(False):
            self._receiver.drop()
            self._reading.release()
        self._wake(True)
        self.sock.close()
        self._files.close()

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's connection without a word."""
        self.error = Closed("this process was forked from the one that has the connection")
        self._receiver.drop()
        self._unsent = b""
        self._sending = allocate_lock()
        self._reading = allocate_lock()
        self._sender = self._reader = 0
        self._waiters = []
        self.sock.close()
        self._files = Files()


def connect(path: str, handler: Optional[Callable[[Frame], None]] = None) -> Connection:
    """A connection to the unix socket at ``path``. Raises OSError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | getattr(_socket, "SOCK_CLOEXEC", 0))
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return Connection(sock, handler, descriptors=True)
