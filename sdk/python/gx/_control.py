"""The control socket to gx: one JSON object per line, see sdk/control.go."""

from __future__ import annotations

import os
from _thread import allocate_lock

import _socket

from gx._frames import from_json, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

ENV = "GX_CONTROL_FD"
_CHUNK = 64 << 10  # bytes


class Control:
    """This program's end of the control socket. Threads may share it."""

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.synced = 0  # the highest log line that gx has printed
        self._lock = allocate_lock()  # of a line and its answer
        self._rest = b""
        self._fds: List[int] = []

    def tell(self, **line: Any) -> None:
        """Says something that is not answered. Raises gx.exception.ConnectionError."""
        with self._lock:
            self._send(line)

    def ask(self, answers: Tuple[str, ...], **line: Any) -> Tuple[str, Any, Optional[int]]:
        """Says a line and waits for one of its answers: (which, its value, a descriptor)."""
        with self._lock:
            self._send(line)
            return self._answer(answers)

    def receive(self) -> dict:
        """Waits for a line that gx says of its own accord. Raises gx.exception.ConnectionError when it has ended."""
        with self._lock:
            return self._line()

    def sync(self, line: int) -> None:
        """Waits until gx has printed the log lines up to this one."""
        if line <= self.synced:
            return
        with self._lock:
            while line > self.synced:
                self._send({"sync": line})
                self.synced = max(self.synced, int(self._answer(("synced",))[1]))

    def close(self) -> None:
        """Ends the conversation, and the app with it."""
        self.sock.close()

    def _send(self, line: dict) -> None:
        view = memoryview(to_json(line) + b"\n")
        try:
            while view:
                view = view[self.sock.send(view) :]
        except OSError as error:
            raise _gone(error) from None

    def _answer(self, answers: Tuple[str, ...]) -> Tuple[str, Any, Optional[int]]:
        while True:
            line = self._line()
            for name in answers:
                if name in line:
                    fd = self._fds.pop(0) if name == "started" and self._fds else None
                    return name, line[name], fd

    def _line(self) -> dict:
        while b"\n" not in self._rest:
            try:
                data, ancillary, _, _ = self.sock.recvmsg(_CHUNK, _socket.CMSG_SPACE(16 * 4))
            except OSError as error:
                raise _gone(error) from None
            for level, kind, rights in ancillary:
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    self._take(rights)
            if not data:
                raise _gone(None)
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        value = from_json(line)
        return value if isinstance(value, dict) else {}

    def _take(self, rights: bytes) -> None:
        from _struct import iter_unpack

        for (fd,) in iter_unpack("i", rights[: len(rights) - len(rights) % 4]):
            os.set_inheritable(fd, False)
            self._fds.append(fd)


def inherited() -> Optional[Control]:
    """The control socket that gx has started this program with, or None.

    It is taken out of the environment: it is not for programs that this one
    starts.
    """
    number = os.environ.pop(ENV, "")
    if not number.isdigit():
        return None
    fd = int(number)
    os.set_inheritable(fd, False)
    return Control(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd))


def _gone(error: Optional[OSError]) -> Exception:
    from gx.exception import ConnectionError

    return ConnectionError("gx has ended" + (f": {error}" if error else ""))
