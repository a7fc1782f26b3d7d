"""Frames over a socket, as package wire of the host reads and writes them.

wire/wire.go says what the frames mean. This module knows how they are encoded
and what their limits are; wire/testdata/frames.json holds both sides to the
same bytes. It is on the way to the first line of a user's code, so it imports
only what the interpreter has in C and what has been loaded anyway.

A frame that was received is a tuple::

    (type, call, index, body, attempt, logged)

``body`` is any object with the buffer interface: bytes for most frames, a
writable private mapping for a payload that came as a descriptor. ``logged`` is
the sequence number of the last log line, 0 where there is none.
"""

from __future__ import annotations

import _socket
from _pickle import Pickler, PickleBuffer
from _pickle import loads as _unpickle
from _struct import Struct
from _thread import allocate_lock, get_ident
from time import monotonic

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, List, Optional, Sequence, Tuple, Union

    Frame = Tuple[int, int, int, Any, int, int]
    Buffer = Union[bytes, bytearray, memoryview]
    Payload = Union[bytes, "Parts"]

PROTOCOL = 1

# Limits; MAX_* in bytes.
HEADER_SIZE = 16
MAX_BODY = 64 << 20
INLINE_MAX = 256 << 10
MAX_PAYLOAD = 4 << 30
MAX_FILES = 64

# Types of frames.
HELLO, READY, OPEN, INPUT, END, RESULT, ERROR, ITEM, FAIL = 1, 2, 3, 4, 5, 6, 7, 8, 9
CANCEL, REQUEST, REPLY, START, STOP, BYE, FAILED, OPENED = 10, 11, 12, 13, 14, 15, 16, 17
_PAYLOADS = (INPUT, RESULT, ERROR, ITEM, FAILED)

ALL_INPUTS = 0xFFFFFFFF
RUNNER_CALL = 0x80000000  # set in the numbers of calls that a runner opens

# Flags.
FLAG_FD, FLAG_MORE, FLAG_LOGGED = 1, 2, 4

_HEADER = Struct("<IBBHII")
_U32 = Struct("<I")
_U64 = Struct("<Q")
_I = Struct("i")
_CHUNK = 128 << 10  # bytes asked of the kernel at a time
_pack = _HEADER.pack
_unpack_from = _HEADER.unpack_from


class ProtocolError(Exception):
    """The other side broke the rules; the connection cannot be used any more."""


class TooLarge(ValueError):
    """A payload or body is larger than its limit."""


class Closed(ConnectionError):
    """The connection has ended."""


# --- pure functions -------------------------------------------------------


def encode(
    type: int,
    call: int = 0,
    index: int = 0,
    body: Buffer = b"",
    attempt: int = 0,
    flags: int = 0,
    logged: int = 0,
) -> bytes:
    """One frame as bytes. With FLAG_LOGGED ``logged`` is put before the body."""
    if flags & FLAG_LOGGED:
        body = _U64.pack(logged) + bytes(body)
    if len(body) > MAX_BODY:
        raise TooLarge(f"a frame's body of {len(body)} bytes; at most {MAX_BODY} are allowed")
    return _pack(len(body), type, flags, attempt, call, index) + body


def decode(data: Buffer) -> Tuple[List[Frame], int]:
    """The whole frames at the beginning of ``data``, and how many bytes they are.

    For tests and tools: pieces are not joined and descriptors are not looked
    for; the body of a frame with FLAG_FD is the payload's size, an int.
    Raises ProtocolError.
    """
    frames: List[Frame] = []
    at, end = 0, len(data)
    while end - at >= HEADER_SIZE:
        size, type, flags, attempt, call, index = _unpack_from(data, at)
        _check(size, type, flags)
        stop = at + HEADER_SIZE + size
        if stop > end:
            break
        body, logged = _split(bytes(data[at + HEADER_SIZE : stop]), flags)
        frames.append((type, call, index, body, attempt, logged))
        at = stop
    return frames, at


def _check(size: int, type: int, flags: int) -> None:
    """Holds a header to the limits; raises ProtocolError."""
    if not HELLO <= type <= OPENED:
        raise ProtocolError(f"unknown type of frame {type}")
    if size > MAX_BODY:
        raise ProtocolError(f"a frame announces a body of {size} bytes; at most {MAX_BODY} are allowed")
    if flags:
        extra = 8 if flags & FLAG_LOGGED else 0
        if flags > 7 or type not in _PAYLOADS:
            raise ProtocolError(f"a frame of type {type} has flags {flags:#x}")
        if flags & FLAG_FD and (flags & FLAG_MORE or size != 8 + extra) or size < extra:
            raise ProtocolError(f"a frame with flags {flags:#x} has a body of {size} bytes")


def _split(body: Any, flags: int) -> Tuple[Any, int]:
    """Takes off what the flags put before a body: (body or size of the payload, logged)."""
    logged = 0
    if flags & FLAG_LOGGED:
        (logged,) = _U64.unpack_from(body)
        body = body[8:]
    if flags & FLAG_FD:
        (body,) = _U64.unpack(body)
        if body > MAX_PAYLOAD:
            raise ProtocolError(f"a payload of {body} bytes; at most {MAX_PAYLOAD} are allowed")
    return body, logged


# --- JSON bodies ----------------------------------------------------------


class _Context:
    """What the C scanner of the json module asks its decoder for."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict = {}


def from_json(body: Buffer) -> Any:
    """Decodes a JSON body; an empty one is {}. Raises ProtocolError.

    The json module takes longer to import than a container takes to start its
    Python, so its scanner, which is in C, is used without it.
    """
    if not len(body):
        return {}
    try:
        text = str(body, "utf-8").strip()
        try:
            from _json import make_scanner
        except ImportError:
            import json

            return json.loads(text)
        value, end = make_scanner(_Context)(text, 0)
    except (ValueError, StopIteration, RecursionError) as error:
        raise ProtocolError(f"a JSON body is not JSON: {error!r}") from None
    if end != len(text):
        raise ProtocolError("a JSON body goes on after its end")
    return value


def to_json(value: Any) -> bytes:
    """Encodes str, int, float, bool, None, bytes (as base64), lists and dicts with str keys."""
    return _json_text(value).encode()


def _json_text(value: Any) -> str:
    if isinstance(value, str):
        from _json import encode_basestring_ascii

        return encode_basestring_ascii(value)
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{value!r} has no JSON form")
        return float.__repr__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        from binascii import b2a_base64

        return '"' + b2a_base64(value, newline=False).decode() + '"'
    if isinstance(value, dict):
        return "{" + ",".join(_json_text(str(k)) + ":" + _json_text(v) for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([_json_text(v) for v in value]) + "]"
    raise TypeError(f"{type(value).__name__} has no JSON form")


def error_body(head: dict, pickled: Buffer = b"") -> bytes:
    """The body of ERROR and FAILED; ``head`` has the fields of wire.ErrorBody."""
    text = to_json(head)
    return _U32.pack(len(text)) + text + pickled


def read_error_body(body: Buffer) -> Tuple[dict, Buffer]:
    """Takes the body of ERROR and FAILED apart: (head, pickled exception or b"")."""
    view = memoryview(body)
    if len(view) < 4 or _U32.unpack_from(view)[0] > len(view) - 4:
        raise ProtocolError("the head of an error is cut off")
    end = 4 + _U32.unpack_from(view)[0]
    head = from_json(view[4:end])
    if not isinstance(head, dict):
        raise ProtocolError("the head of an error is not an object")
    return head, view[end:]


# --- payloads -------------------------------------------------------------

# A payload is a pickle of protocol 5, or, where large buffers lie beside their
# pickle so that nobody copies them: this mark (no pickle begins with 0), the
# number of buffers, the sizes of the pickle and of each buffer, and then these,
# each at a multiple of 64 bytes.
_MARK = b"\0gxb"


class Parts:
    """A payload that is larger than INLINE_MAX, as buffers that lie one after the other."""

    __slots__ = ("buffers", "size")

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers = buffers
        self.size = sum([len(b) for b in buffers])

    def __len__(self) -> int:
        return self.size


class _Pickling:
    """A pickler that is used again and again: as fast as pickle.dumps, without copying large parts."""

    __slots__ = ("pickler", "written", "outside", "write")

    def __init__(self) -> None:
        self.written: list = []
        self.outside: list = []
        self.write = self.written.append
        self.pickler = Pickler(self, 5, buffer_callback=self.buffer)

    def buffer(self, buffer: PickleBuffer) -> bool:
        """Called for each buffer that need not be in the pickle. True puts it there."""
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if view.nbytes < INLINE_MAX:
            return True
        self.outside.append(view)
        return False

    def dump(self, value: Any) -> Payload:
        pickler, written = self.pickler, self.written
        try:
            pickler.dump(value)
            if len(written) == 1 and not self.outside and len(written[0]) <= INLINE_MAX:
                return written[0]
            # Large parts are written as the objects that have them.
            written[:] = [b.raw() if type(b) is PickleBuffer else b for b in written]
            if not self.outside:
                parts = Parts(list(written))
                return b"".join(parts.buffers) if parts.size <= INLINE_MAX else parts
            return self.beside()
        finally:
            pickler.clear_memo()
            written.clear()
            self.outside.clear()

    def beside(self) -> Parts:
        """The payload with its large buffers beside the pickle."""
        sizes = [sum([len(b) for b in self.written])] + [b.nbytes for b in self.outside]
        head = _MARK + _U32.pack(len(self.outside)) + b"".join([_U64.pack(n) for n in sizes])
        buffers: List[Buffer] = [head]
        at = len(head)
        for group, size in zip([list(self.written)] + [[b] for b in self.outside], sizes):
            buffers.append(bytes(-at % 64))
            buffers.extend(group)
            at += -at % 64 + size
        return Parts(buffers)


_picklings: List[_Pickling] = []  # not in use


def dumps(value: Any) -> Payload:
    """Pickles a value. Whatever its pickling raises goes through."""
    try:
        pickling = _picklings.pop()
    except IndexError:  # all are in use: by other threads, or by an object that is just being pickled
        pickling = _Pickling()
    try:
        payload = pickling.dump(value)
    except BaseException:
        raise  # a pickler that was interrupted is not used again
    _picklings.append(pickling)
    if len(payload) > MAX_PAYLOAD:
        raise TooLarge(f"a value of {len(payload)} bytes when pickled; at most {MAX_PAYLOAD} are allowed")
    return payload


def whole(payload: Union[Payload, Buffer]) -> Buffer:
    """A payload as one buffer."""
    return b"".join(payload.buffers) if isinstance(payload, Parts) else payload


def loads(payload: Buffer) -> Any:
    """Unpickles a payload. Arrays in a large one are not copied: they refer to ``payload``."""
    if len(payload) < 8 or payload[0] != 0:
        return _unpickle(payload)
    view = memoryview(payload)
    if view[:4] != _MARK:
        raise ProtocolError("a payload is no pickle")
    (count,) = _U32.unpack_from(view, 4)
    at = 8 + 8 * (count + 1)
    if at > len(view):
        raise ProtocolError("a payload's head is cut off")
    parts = []
    for i in range(count + 1):
        (size,) = _U64.unpack_from(view, 8 + 8 * i)
        at += -at % 64
        if at + size > len(view):
            raise ProtocolError("a payload's buffer is cut off")
        parts.append(view[at : at + size])
        at += size
    return _unpickle(parts[0], buffers=parts[1:])


# --- memory files ---------------------------------------------------------

_F_ADD_SEALS, _F_GET_SEALS, _F_SEAL_SHRINK = 1033, 1034, 2


def _write_file(fd: int, buffers: Sequence[Buffer]) -> None:
    """Writes buffers to the beginning of a file, with few system calls."""
    at = 0
    pending = [memoryview(b).cast("B") for b in buffers if len(b)]
    while pending:
        n = os.pwritev(fd, pending[:512], at)
        at += n
        while pending and n >= len(pending[0]):
            n -= len(pending.pop(0))
        if n:
            pending[0] = pending[0][n:]


def _map_file(fd: int, size: int) -> Buffer:
    """The first ``size`` bytes of a payload's file: mapped, so that they are not copied.

    Writing to the mapping changes it for this process only. A file that
    somebody could cut short under the mapping is read instead.
    """
    if size == 0:
        return b""
    info = os.fstat(fd)
    if info.st_size < size or (info.st_mode & 0o170000) != 0o100000:
        raise ProtocolError(f"a payload of {size} bytes is announced, its descriptor has {info.st_size}")
    try:
        from fcntl import fcntl

        sealed = fcntl(fd, _F_GET_SEALS) & _F_SEAL_SHRINK
    except (ImportError, OSError):
        sealed = 0
    if sealed:
        import mmap

        return memoryview(mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE))
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        n = os.preadv(fd, [view[at:]], at)
        if n == 0:
            raise ProtocolError("a payload's file was cut short")
        at += n
    return data


class _Files:
    """Memory files for payloads, used again when nobody else has them open any more.

    Fresh pages are what a large payload costs; a file that is used again has
    its pages. Whether the receiver, and arrays that refer to its mapping, are
    done with a file is asked of the kernel: a write lease is granted only if
    no other description of the file is open or mapped anywhere.
    """

    KEEP = 2  # files
    KEEP_BYTES = 128 << 20  # in all files that are kept

    def __init__(self) -> None:
        self.kept: List[Tuple[int, int]] = []  # (descriptor, size); given out, perhaps free again
        self.lock = allocate_lock()

    def write(self, buffers: Sequence[Buffer], size: int) -> int:
        """A new descriptor of a file with these bytes. The caller closes it."""
        fd = self._take(size)
        try:
            _write_file(fd, buffers)
            passed = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return fd  # without /proc: give the only descriptor away
        self._keep(fd, size)
        return passed

    def _take(self, size: int) -> int:
        with self.lock:
            for i, (fd, had) in enumerate(self.kept):
                # A file that is much too large is left for a payload of its size.
                if size // 4 <= had and self._free(fd):
                    del self.kept[i]
                    return fd
        fd = os.memfd_create("gx-payload", os.MFD_CLOEXEC | 2)  # MFD_ALLOW_SEALING, no name for it in 3.9
        try:
            from fcntl import fcntl

            fcntl(fd, _F_ADD_SEALS, _F_SEAL_SHRINK)
            # Only a description that was opened counts as a writer for the lease.
            again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        except (ImportError, OSError):
            return fd
        os.close(fd)
        return again

    @staticmethod
    def _free(fd: int) -> bool:
        try:
            import fcntl

            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
        return True

    def _keep(self, fd: int, size: int) -> None:
        size = max(size, os.fstat(fd).st_size)
        with self.lock:
            self.kept.append((fd, size))
            while len(self.kept) > self.KEEP or sum([s for _, s in self.kept]) > self.KEEP_BYTES and self.kept:
                os.close(self.kept.pop(0)[0])

    def close(self) -> None:
        with self.lock:
            for fd, _ in self.kept:
                os.close(fd)
            self.kept.clear()


# --- connection -----------------------------------------------------------


class Connection:
    """A connection that threads share: any may send, one of them at a time receives.

    A thread that needs an answer calls ``wait``: it receives for all, handing
    each frame to ``handler``, until its own condition is true; then a waiting
    thread takes over. So there is no reader thread, and no hand-over between
    threads where only one is waiting.

    ``descriptors`` says whether the other side takes payloads as descriptors
    (a unix socket on one machine).
    """

    def __init__(
        self,
        sock: _socket.socket,
        handler: Optional[Callable[[Frame], None]] = None,
        descriptors: bool = False,
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.handler: Callable[[Frame], None] = handler or (lambda frame: None)
        self.descriptors = descriptors and hasattr(os, "memfd_create")
        self.error: Optional[BaseException] = None  # why it has ended
        self._pid = os.getpid()
        self._files = _Files()
        # sending
        self._sending = allocate_lock()
        self._sender = 0  # the thread that is writing
        self._unsent: Buffer = b""
        # receiving: only the thread that holds _reading touches these
        self._reading = allocate_lock()
        self._reader = 0  # the thread that has bytes in its hands
        self._rest = b""  # less than a header
        self._head: Optional[tuple] = None  # of a frame whose body is not whole
        self._body = bytearray()
        self._have = 0
        self._fds: List[int] = []
        self._pieces: dict = {}
        self._pieces_size = 0
        self._ancillary = _socket.CMSG_SPACE(253 * _I.size)
        self._flags = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
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
        self,
        type: int,
        call: int,
        index: int,
        payload: Union[Payload, Buffer],
        attempt: int = 0,
        before: Buffer = b"",
    ) -> None:
        """Sends a frame with a payload of any size, after the encoded frames ``before``."""
        if not isinstance(payload, Parts) and len(payload) <= INLINE_MAX:
            self.send(b"".join((before, _pack(len(payload), type, 0, attempt, call, index), payload)))
            return
        buffers = payload.buffers if isinstance(payload, Parts) else (payload,)
        size = len(payload)
        if size > MAX_PAYLOAD:
            raise TooLarge(f"a payload of {size} bytes; at most {MAX_PAYLOAD} are allowed")
        if before:
            self.send(before)
        if self.descriptors:
            fd = self._files.write(buffers, size)
            try:
                with self._sending:
                    self._sender = get_ident()
                    try:
                        if self._unsent:
                            self._send(self._unsent, ())
                        frame = _pack(8, type, FLAG_FD, attempt, call, index) + _U64.pack(size)
                        self._send(frame, [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _I.pack(fd))])
                    finally:
                        self._sender = 0
            finally:
                os.close(fd)
            return
        # Pieces: other threads' frames of other inputs may come between them.
        left = size
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            for at in range(0, len(view), 1 << 20):
                piece = view[at : at + (1 << 20)]
                left -= len(piece)
                flags = FLAG_MORE if left else 0
                self.send(b"".join((_pack(len(piece), type, flags, attempt, call, index), piece)))

    # -- receiving --

    def receive(self, flags: int = 0) -> List[Frame]:
        """Waits for bytes, once, and returns the frames that are whole: perhaps none.

        Only the thread that holds the reading side may call it (see ``wait``).
        ``flags`` are the system call's, e.g. MSG_DONTWAIT: BlockingIOError if
        there is nothing. Raises Closed at the end, ProtocolError.
        """
        try:
            if self._head is not None:
                return self._receive_body(flags)
            data, ancillary, message_flags, _ = self.sock.recvmsg(_CHUNK, self._ancillary, self._flags | flags)
            if ancillary or message_flags & _socket.MSG_CTRUNC:
                self._take_descriptors(ancillary, message_flags)
            if not data:
                raise Closed("the host has closed the connection")
            if self._rest:
                data = self._rest + data
                self._rest = b""
            return self._parse(data)
        except (BlockingIOError, InterruptedError):
            raise
        except ConnectionError as error:
            self.error = error if isinstance(error, Closed) else Closed(f"the connection with the host has ended: {error}")
            raise self.error from None
        except (ProtocolError, OSError) as error:
            self.error = error
            raise

    def _parse(self, data: bytes) -> List[Frame]:
        frames: List[Frame] = []
        append, unpack = frames.append, _unpack_from
        at, end = 0, len(data)
        while end - at >= 16:
            size, type, flags, attempt, call, index = unpack(data, at)
            start = at + 16
            at = start + size
            if flags or size > MAX_BODY or not 0 < type < 18:
                _check(size, type, flags)
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
            n, ancillary, message_flags, _ = self.sock.recvmsg_into([room], self._ancillary, self._flags | flags)
        if ancillary or message_flags & _socket.MSG_CTRUNC:
            self._take_descriptors(ancillary, message_flags)
        if n == 0:
            raise Closed("the host has closed the connection in the middle of a frame")
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

    def _special(self, body: Any, type: int, flags: int, attempt: int, call: int, index: int) -> Optional[Frame]:
        """A frame with flags: None if it is a piece and not the last."""
        body, logged = _split(body, flags)
        if flags & FLAG_FD:
            if not self._fds:
                raise ProtocolError("a frame announces a descriptor that did not come")
            fd = self._fds.pop(0)
            try:
                body = _map_file(fd, body)
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
            raise ProtocolError("a descriptor was lost on its way: this process has too many open files (see ulimit -n)")
        if len(self._fds) > MAX_FILES:
            raise ProtocolError(f"{len(self._fds)} descriptors came that no frame announces")

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
            self._drop()
            self._reading.release()
        self._wake(True)
        self.sock.close()
        self._files.close()

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's connection without a word."""
        self.error = Closed("this process was forked from the one that has the connection")
        self._drop()
        self._unsent = b""
        self._sending = allocate_lock()
        self._reading = allocate_lock()
        self._sender = self._reader = 0
        self._waiters = []
        self.sock.close()
        self._files = _Files()

    def _drop(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = []
        self._pieces = {}


def connect(path: str, handler: Optional[Callable[[Frame], None]] = None) -> Connection:
    """A connection to the unix socket at ``path``. Raises OSError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | getattr(_socket, "SOCK_CLOEXEC", 0))
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return Connection(sock, handler, descriptors=True)
