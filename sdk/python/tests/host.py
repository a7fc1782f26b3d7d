"""A host for tests of the runner: a real socket, a real process, real pipes."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

SDK = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SDK))

from gx import _wire  # noqa: E402

MARKER = "0123456789abcdef"


def pythons() -> Dict[str, str]:
    """The Pythons to run the runner with, by version: this one, and the oldest and newest that pyenv has."""
    found = {"%d.%d" % sys.version_info[:2]: sys.executable}
    for version in ("3.9", "3.13"):
        for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
            found.setdefault(version, str(path))
    return found


class Pipe:
    """Reads one of the runner's output descriptors and takes it apart by its markers."""

    def __init__(self, fd: int) -> None:
        self.raw = bytearray()
        self.size = 0
        self.keep = True
        self._fd = fd
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            data = os.read(self._fd, 1 << 16)
            with self._changed:
                if not data:
                    self._fd = -1
                self.size += len(data)
                if self.keep:
                    self.raw += data
                self._changed.notify_all()
            if not data:
                return

    def wait(self, text: bytes, timeout: float = 60) -> None:
        """Waits until the text has come."""
        with self._changed:
            if not self._changed.wait_for(lambda: text in self.raw, timeout):
                raise AssertionError(f"{text!r} did not come: {bytes(self.raw)!r}")

    def end(self) -> None:
        """Waits for the end of the pipe."""
        self._thread.join(60)

    def parts(self) -> List[Tuple[Optional[Tuple[int, int]], bytes]]:
        """(whose, text), in order; whose is (call, index), or None without a marker in force."""
        mark = b"\0gx" + bytes.fromhex(MARKER)
        out: list = []
        first, *rest = bytes(self.raw).split(mark)
        if first:
            out.append((None, first))
        for part in rest:
            call, index = int.from_bytes(part[:4], "little"), int.from_bytes(part[4:8], "little")
            whose = None if call == 0xFFFFFFFF else (call, index)
            if part[8:]:
                out.append((whose, part[8:]))
        return out

    def of(self, call: int, index: int) -> bytes:
        """All text of one input."""
        return b"".join(text for whose, text in self.parts() if whose == (call, index))


class Host:
    """One runner, and what it answered.

    ``app`` is the text of the module app that the runner imports; ``start``
    overrides fields of StartBody.
    """

    def __init__(
        self,
        app: str = "",
        python: str = sys.executable,
        env: Optional[Dict[str, str]] = None,
        flags: Tuple[str, ...] = (),
        files: Optional[Dict[str, str]] = None,
        **start: Any,
    ) -> None:
        self.dir = tempfile.TemporaryDirectory(prefix="gx-runner-test-")
        root = Path(self.dir.name, "root")
        root.mkdir()
        for name, text in {"app.py": app, **(files or {})}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"{self.dir.name}/host.sock")
        listener.listen()
        listener.settimeout(60)
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [python, *flags, str(SDK / "gx" / "_runner" / "main.py")],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "GX_RUNNER_SOCKET": f"{self.dir.name}/host.sock",
                "GX_TOKEN": "secret",
                "GX_ROOT": str(root),
                "HOME": self.dir.name,
                **(env or {}),
            },
        )
        self.stdout, self.stderr = Pipe(self.process.stdout.fileno()), Pipe(self.process.stderr.fileno())
        try:
            raw, _ = listener.accept()
        except socket.timeout:
            self.process.kill()
            raise AssertionError(f"no connection: {bytes(self.stderr.raw)!r}")
        finally:
            listener.close()
        self.frames: list = []
        self.on_frame: Callable[[tuple], None] = lambda frame: None
        self.connection = _wire.Connection(
            socket.SocketType(fileno=raw.detach()), self._handle, descriptors=True
        )
        self.expect(_wire.HELLO)
        self.hello = _wire.from_json(self.frames.pop(0)[3])
        body = {
            "app": "ap-1",
            "app_name": "test",
            "container": "ta-1",
            "function": "fu-1",
            "name": "f",
            "module": "app",
            "qualname": "f",
            "concurrency": 1,
            "generators": [""],
            "marker": MARKER,
            "functions": {},
            **start,
        }
        self.connection.send(_wire.encode(_wire.START, body=_wire.to_json(body)))

    def _handle(self, frame: tuple) -> None:
        self.frames.append(frame)
        self.on_frame(frame)

    def expect(self, *types: int, timeout: float = 60) -> tuple:
        """Waits for a frame of one of these types."""
        found: list = []
        try:
            came = self.connection.wait(
                lambda: found.extend(f for f in self.frames if f[0] in types) or found, timeout
            )
        except _wire.Closed:
            came = False
            self.process.wait(60), self.stderr.end()
        if not came:
            raise AssertionError(
                f"no frame of type {types} came, but {self.frames}; stderr {bytes(self.stderr.raw)!r}"
            )
        return found[0]

    def ready(self) -> "Host":
        """Waits for Ready."""
        frame = self.expect(_wire.READY, _wire.FAILED)
        if frame[0] == _wire.FAILED:
            raise AssertionError(_wire.read_error_body(frame[3])[0]["traceback"])
        return self

    def go(self, name: str = "go") -> None:
        """Makes a file where the code runs, which it may wait for."""
        Path(self.dir.name, "root", name).touch()

    def input(self, *args: Any, call: int = 7, index: int = 0, attempt: int = 1, **kwargs: Any) -> None:
        """Sends one input."""
        self.connection.send_payload(_wire.INPUT, call, index, _wire.dumps((args, kwargs)), attempt)

    def answer(self, index: int = 0, call: int = 7, timeout: float = 60) -> tuple:
        """Waits for the last answer of an input."""
        found: list = []

        def look() -> list:
            found.extend(
                f for f in self.frames if f[1:3] == (call, index) and f[0] in (_wire.RESULT, _wire.ERROR)
            )
            return found

        if not self.connection.wait(look, timeout):
            raise AssertionError(
                f"no answer for {call}, {index}; stdout {bytes(self.stdout.raw[-2000:])!r} stderr {bytes(self.stderr.raw[-2000:])!r}"
            )
        return found[0]

    def value(self, index: int = 0, call: int = 7, timeout: float = 60) -> Any:
        """An input's value; an error raises AssertionError with its traceback."""
        frame = self.answer(index, call, timeout)
        if frame[0] == _wire.ERROR:
            raise AssertionError(_wire.read_error_body(frame[3])[0]["traceback"])
        return _wire.loads(frame[3])

    def error(self, index: int = 0, call: int = 7, timeout: float = 60) -> Tuple[dict, Any]:
        """An input's error: (head, the exception or None)."""
        frame = self.answer(index, call, timeout)
        assert frame[0] == _wire.ERROR, _wire.loads(frame[3])
        head, pickled = _wire.read_error_body(frame[3])
        try:
            return head, pickle.loads(pickled) if len(pickled) else None
        except Exception as error:
            return head, error

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """One input, and its value."""
        self.frames = [f for f in self.frames if f[0] not in (_wire.RESULT, _wire.ERROR)]
        self.input(*args, **kwargs)
        return self.value()

    def stop(self, timeout: float = 60) -> int:
        """Stop, Bye, exit code."""
        self.connection.send(_wire.encode(_wire.STOP, body=b'{"grace":10}'))
        self.expect(_wire.BYE, timeout=timeout)
        return self.ended(timeout)

    def ended(self, timeout: float = 60) -> int:
        """Waits for the process to end; its exit code."""
        code = self.process.wait(timeout)
        self.stdout.end()
        self.stderr.end()
        return code

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.stdout.end()
        self.stderr.end()
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        self.dir.cleanup()
