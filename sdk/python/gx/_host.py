"""How this program reaches the host: through the gx that has started it, or one that it starts.

Whoever asks the host something need not know whether an app runs here, whether
this is a container, or neither: ``any_client`` is a connection in each case.
"""

from __future__ import annotations

import os
import sys

from gx import _notices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

    from gx._client import Client
    from gx._control import Control
    from gx._session import Session

sessions: List[Session] = []
"""The apps that run in this program, the one that was started last at the end."""
_inherited: Optional[Control] = None  # from `gx run`, which started this program


def use_inherited() -> Optional[Control]:
    """The control socket that `gx run` has given to this program, if it has."""
    global _inherited
    if _inherited is None:
        from gx._control import inherited

        _inherited = inherited()
        if _inherited is not None:
            _notices.deliver(lambda text: _say(_inherited, text))
    return _inherited


def start_gx() -> Any:
    """Starts gx for a program that is run as `python app.py`: (control socket, process)."""
    import socket
    import subprocess

    from gx._control import ENV, Control
    from gx.exception import ConnectionError

    gx = find_gx()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        environment = {**os.environ, ENV: str(theirs.fileno())}
        process = subprocess.Popen([gx, "session"], env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    except OSError as error:
        ours.close()
        raise ConnectionError(f"{gx} can't be started: {error}") from None
    finally:
        theirs.close()
    control = Control(ours)
    if _inherited is None:
        _notices.deliver(lambda text: _say(control, text))
    return control, process


def find_gx() -> str:
    """The gx binary: GX_BIN, or what started this Python, or gx on PATH. Raises NotFoundError."""
    from shutil import which

    from gx.exception import NotFoundError

    for name in ("GX_BIN", "GX_EXE"):
        if os.environ.get(name):
            return os.environ[name]
    found = which("gx")
    if found is None:
        raise NotFoundError(
            "there is no gx on PATH, which runs apps: install it, set GX_BIN to where it is, or start this file by `gx run FILE`"
        )
    return found


def _say(control: Optional[Control], text: str) -> None:
    from gx.exception import ConnectionError

    try:
        if control is not None:
            control.tell(warning=text)
    except (ConnectionError, OSError):
        print(f"gx: {text}", file=sys.stderr)


def flush() -> None:
    """What this program has printed comes before what gx prints next."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # closed, or something of the user's own


class StartError(Exception):
    """What came of an app that could not be started; gx may have told the user already."""

    def __init__(self, failure: dict) -> None:
        super().__init__(str(failure.get("message")))
        self.kind = str(failure.get("kind"))
        self.shown = bool(failure.get("shown"))
        self.exit = int(failure.get("exit") or 0)

    def error(self) -> BaseException:
        """The exception for a program that asked for it."""
        from gx import exception

        if self.exit == 130:
            return KeyboardInterrupt()
        kind = getattr(exception, self.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            kind = exception.RemoteError
        return kind(str(self))


def any_client() -> Client:
    """The connection of an app that runs in this program, or of the container, or one of its own to the host."""
    if sessions:
        return sessions[-1].client
    from gx._client import in_container

    return in_container() or _Alone.client()


def running_app() -> str:
    """The id of the app that was started last in this program; "" if none runs."""
    return str(sessions[-1].app.app_id) if sessions else ""


class _Alone:
    """The connection of a program that runs no app, and calls functions of others. It lasts until the program ends."""

    _one: Optional[_Alone] = None

    def __init__(self) -> None:
        from gx import _client
        from gx.exception import InternalError

        self.pid = os.getpid()
        control, process = (use_inherited(), None) if _Alone._one is None else (None, None)
        if control is None:
            control, process = start_gx()
        self.control, self.process = control, process
        which, value, fd = control.ask(("started", "failed"), connect={})
        if which == "failed":
            self.close()
            raise StartError(value).error()
        if fd is None:
            raise InternalError("gx has answered without giving a connection")
        self.frames = _client.connected(fd, lambda line: None)

    @classmethod
    def client(cls) -> Client:
        """The connection, made if need be. One that has ended, or is a parent's, is made anew."""
        one = cls._one
        if one is None or one.pid != os.getpid() or one.frames.connection.error is not None:
            if one is None:
                import atexit

                atexit.register(cls.end)
            else:
                cls.end()
            cls._one = cls()
        assert cls._one is not None
        return cls._one.frames

    @classmethod
    def end(cls) -> None:
        """At the program's end."""
        if cls._one is not None and cls._one.pid == os.getpid():
            cls._one.frames.close()
            cls._one.close()

    def close(self) -> None:
        """Ends gx, if it was started for this."""
        if self.process is not None:
            self.control.close()
            self.process.wait()
