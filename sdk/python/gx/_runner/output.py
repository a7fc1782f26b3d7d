"""sys.stdout and sys.stderr in a container.

Text goes line by line to file descriptors 1 and 2, which are pipes to the host,
so that the order with subprocesses' output is kept and nothing is lost when
the process dies. Before text of another input than the last, a marker says
whose it is, in the same write::

    00 'g' 'x'  8 bytes of Start.marker  call (u32)  index (u32)

with call 0xffffffff when an input that had written has ended. Lines are put
together for each input and thread, so that lines of inputs that run at the
same time do not mix.
"""

from __future__ import annotations

import os
from _struct import Struct
from _thread import RLock, get_ident
from io import BufferedIOBase, TextIOBase, UnsupportedOperation

from gx._runner import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from gx._wire import Frame

_ID = Struct("<II")
_NO_CALL = _ID.pack(0xFFFFFFFF, 0)
_ATOMIC = 4096  # bytes that a pipe takes at once, whoever else writes to it
_SLICE = 256 << 10  # bytes or characters that are handled at once
_PARTIAL = 64 << 10  # bytes of a line without an end that are kept back


class Output:
    """One of the two descriptors, with the lines that are not finished."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._mark = b""  # how markers begin; empty: no markers
        self._tagged: Optional[Frame] = None  # whose marker is in force
        self._partial: Dict[Tuple[int, int], List[bytes]] = {}  # by id of the input's frame, and thread
        self._lock = RLock()

    def tag(self, marker: str) -> None:
        """Begins to write markers; ``marker`` is StartBody.Marker."""
        self._mark = b"\0gx" + bytes.fromhex(marker) if marker else b""

    def feed(self, data: bytes) -> None:
        """Writes the whole lines in ``data`` and keeps the rest until its line is whole."""
        frame = state.input_frame.get() or state.running
        key = (id(frame), get_ident())
        end = data.rfind(b"\n") + 1
        kept = self._partial.get(key)
        if end == 0 and len(data) < _PARTIAL:
            if kept is None:
                self._partial[key] = [data]
                return
            kept.append(data)
            if len(kept) < 1000 or sum([len(p) for p in kept]) < _PARTIAL:
                return
            data, end = b"", 0
        if kept is not None:
            del self._partial[key]
            data = b"".join(kept) + data
            end = data.rfind(b"\n") + 1
        if 0 < end < len(data) and len(data) - end < _PARTIAL:
            self._partial[key] = [data[end:]]
            data = data[:end]
        if data:
            self._emit(frame, data)

    def flush(self) -> None:
        """Writes what this thread's input has begun."""
        if self._partial:
            frame = state.input_frame.get() or state.running
            kept = self._partial.pop((id(frame), get_ident()), None)
            if kept:
                self._emit(frame, b"".join(kept))

    def finish(self, frame: Optional[Frame]) -> None:
        """At the end of an input: writes what it has begun, in any thread, and ends its marker."""
        if self._partial:
            for key in [k for k in list(self._partial) if k[0] == id(frame)]:
                kept = self._partial.pop(key, None)
                if kept:
                    self._emit(frame, b"".join(kept))
        if frame is not None and self._tagged is frame:
            with self._lock:
                if self._tagged is frame:
                    self._write(self._mark + _NO_CALL)
                    self._tagged = None

    def claim(self) -> None:
        """Writes the marker of the current input now, if it is not in force: a child may write next."""
        frame = state.current()
        if frame is not None:
            self._emit(frame, b"")

    def _emit(self, frame: Optional[Frame], data: bytes) -> None:
        # A cancellation may raise anywhere in here: then a line is cut off, and
        # at worst a marker is written twice.
        with self._lock:
            if self._tagged is not frame and self._mark:
                name = _NO_CALL if frame is None else _ID.pack(frame[1], frame[2])
                room = _ATOMIC - len(self._mark) - len(name)
                self._write(self._mark + name + data[:room])
                self._tagged = frame
                data = data[room:]
            if data:
                self._write(data)

    def _write(self, data: bytes) -> None:
        view: Any = data
        while True:
            try:
                n = os.write(self.fd, view)
            except BlockingIOError:  # a child that shares the pipe made it non-blocking
                from select import POLLOUT, poll

                poller = poll()
                poller.register(self.fd, POLLOUT)
                poller.poll()
                continue
            except BrokenPipeError:  # the host is gone: nobody can read it
                return
            if n == len(view):
                return
            view = memoryview(view)[n:]

    def forked(self) -> None:
        """In a forked child: begins anew, without markers. What it writes belongs to
        the input whose marker its parent wrote before the fork."""
        self._lock = RLock()
        self._partial = {}
        self._mark = b""
        self._tagged = None


class Binary(BufferedIOBase):
    """sys.stdout.buffer: takes bytes, whatever they are."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self.name = name
        self.mode = "wb"

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for at in range(0, len(view), _SLICE):
            self._output.feed(bytes(view[at : at + _SLICE]))
        return len(view)

    def flush(self) -> None:
        self._output.flush()

    def fileno(self) -> int:
        return self._output.fd

    def writable(self) -> bool:
        return True

    @property
    def raw(self) -> Binary:
        return self

    def detach(self) -> Any:
        raise UnsupportedOperation("the standard streams of a container cannot be detached")

    def close(self) -> None:
        """Writes what is there. The stream stays open: others use it too."""
        self.flush()


class Text(TextIOBase):
    """sys.stdout and sys.stderr."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    write_through = False

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self.name = name
        self.mode = "w"
        self.buffer = Binary(output, name)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        size = len(text)
        if size <= _SLICE:
            if size:
                self._output.feed(text.encode("utf-8", self.errors))
            return size
        with self._output._lock:  # the slices of one text stay together
            for at in range(0, size, _SLICE):
                self._output.feed(text[at : at + _SLICE].encode("utf-8", self.errors))
        return size

    def flush(self) -> None:
        self._output.flush()

    def fileno(self) -> int:
        return self._output.fd

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def reconfigure(self, **options: Any) -> None:
        """Takes ``errors``; the rest is as it is, whatever is asked: UTF-8, line by line."""
        if options.get("errors"):
            import codecs

            codecs.lookup_error(options["errors"])
            self.errors = options["errors"]
        self.flush()

    def detach(self) -> Any:
        raise UnsupportedOperation("the standard streams of a container cannot be detached")

    def close(self) -> None:
        """Writes what is there. The stream stays open: others use it too."""
        self.flush()


def capture() -> Tuple[Output, Output]:
    """Replaces sys.stdout and sys.stderr, also under their dunder names."""
    import sys

    outputs = Output(1), Output(2)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    sys.stdout = sys.__stdout__ = Text(outputs[0], "<stdout>")  # type: ignore[assignment,misc]
    sys.stderr = sys.__stderr__ = Text(outputs[1], "<stderr>")  # type: ignore[assignment,misc]
    return outputs
