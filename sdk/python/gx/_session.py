"""One run of an app: it is started through gx, used over a connection, and stopped."""

from __future__ import annotations

import os
import sys

from gx import _notices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    from gx._client import Client
    from gx._control import Control
    from gx.app import App

_inherited: Optional[Control] = None  # from `gx run`, which started this program
_running: List[Session] = []
_output = False  # enable_output()


class Session:
    """A running app."""

    def __init__(self, app: App, control: Control, client: Client, process: Any, sources: Dict[str, str]) -> None:
        self.app = app
        self.sources = sources  # files of containers, and the local ones that they are
        self.control = control
        self.client = client
        self._process = process  # gx, if this program has started it
        self._pid = os.getpid()
        _running.append(self)

    def stop(self) -> None:
        """Ends the app, or lets go of it if it is detached. A second time it does nothing."""
        if self not in _running:
            return
        _running.remove(self)
        self.app._attach(None, None, None, {})
        if os.getpid() != self._pid:
            return  # a forked child: the app is its parent's
        from gx.exception import ConnectionError

        _flush()
        try:
            self.control.ask(("stopped",), stop={})
        except ConnectionError:
            pass  # gx has ended, and with it the app
        self.client.close()
        self._end_process()

    def _end_process(self) -> None:
        if self._process is not None:
            self.control.close()
            self._process.wait()


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


def use_inherited() -> Optional[Control]:
    """The control socket that `gx run` has given to this program, if it has."""
    global _inherited
    if _inherited is None:
        from gx._control import inherited

        _inherited = inherited()
        if _inherited is not None:
            _notices.deliver(lambda text: _say(_inherited, text))
    return _inherited


def start(
    app: App,
    *,
    name: Optional[str] = None,
    environment: Optional[str] = None,
    detach: bool = False,
    output: Optional[bool] = None,
    raw: bool = False,
) -> Session:
    """Starts an app and connects with it. ``raw`` raises StartError instead of what the user is to see."""
    from gx import _client
    from gx._control import Control
    from gx._manifest import manifest
    from gx._runner import state
    from gx.exception import InvalidError

    if state.runner is not None:
        raise InvalidError("app.run() was called in a container, where the app runs already")
    if app._session is not None:
        raise InvalidError(f"{app!r} runs already")
    show = bool(_output if output is None else output)
    control, process = use_inherited(), None
    if any([session.control is control for session in _running]):
        control = None  # it is for one app at a time
    made = manifest(app, name, environment)
    asked = {"start": {"manifest": made, "output": show, "detach": detach}}
    _name_main(app)
    if control is None:
        control, process = _start_gx()
    try:
        _flush()
        which, value, fd = control.ask(("started", "failed"), **asked)
        if which == "failed":
            raise StartError(value)
        if fd is None:
            from gx.exception import InternalError

            raise InternalError("gx has started the app without giving a connection to it")
        client = _client.connected(fd, control.sync if show else lambda line: None)
    except BaseException as error:
        if process is not None:
            control.close()
            process.wait()
        if isinstance(error, StartError) and not raw:
            raise error.error() from None
        raise
    assert isinstance(control, Control)
    sources = {str(file["remote"]): str(file["local"]) for mount in made["mounts"] for file in mount["files"] if file["remote"].endswith(".py")}
    session = Session(app, control, client, process, sources)
    app._attach(session, client, str(value.get("app")), dict(value.get("functions") or {}))
    return session


def deploy(app: App, name: Optional[str], tag: str, strategy: str, environment: Optional[str]) -> Dict[str, Any]:
    """Makes the app a version of a deployed one: {"app": its id, "version", "functions": ids by name}."""
    from gx._manifest import manifest
    from gx._runner import state
    from gx.exception import InvalidError

    if state.runner is not None:
        raise InvalidError("app.deploy() was called in a container: an app is deployed from the program that declares it")
    made = manifest(app, name, environment)
    _name_main(app)
    control, process = use_inherited(), None
    if control is None or any([session.control is control for session in _running]):
        control, process = _start_gx()
    assert control is not None
    try:
        _flush()
        asked = {"deploy": {"manifest": made, "output": _output, "tag": tag, "strategy": strategy}}
        which, value, _ = control.ask(("deployed", "failed"), **asked)
        if which == "failed":
            raise StartError(value).error()
    finally:
        if process is not None:
            control.close()
            process.wait()
    return dict(value)


def any_client() -> Client:
    """The connection of an app that runs in this program, or of the container, or one of its own to the host."""
    if _running:
        return _running[-1].client
    from gx._client import in_container

    return in_container() or _Alone.client()


def running_app() -> str:
    """The id of the app that was started last in this program; "" if none runs."""
    return str(_running[-1].app.app_id) if _running else ""


class _Alone:
    """The connection of a program that runs no app, and calls functions of others. It lasts until the program ends."""

    _one: Optional[_Alone] = None

    def __init__(self) -> None:
        from gx import _client
        from gx.exception import InternalError

        self.pid = os.getpid()
        control, process = (use_inherited(), None) if _Alone._one is None else (None, None)
        if control is None:
            control, process = _start_gx()
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


def _start_gx() -> Any:
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


def _name_main(app: App) -> None:
    """Gives a program that runs as ``__main__`` the name that it has in containers.

    What is pickled there is found here under that name, and not imported anew.
    """
    from gx._sources import module_place

    if any([function._raw.__module__ == "__main__" for function in app._declared()]):
        name, file = module_place("__main__")
        if file:
            sys.modules.setdefault(name, sys.modules["__main__"])


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


def _flush() -> None:
    """What this program has printed comes before what gx prints next."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # closed, or something of the user's own


class enable_output:
    """A block in which running apps show their progress and their functions' output."""

    def __init__(self, show_progress: bool = True) -> None:
        self._show = bool(show_progress)
        self._before = False

    def __enter__(self) -> None:
        global _output
        self._before, _output = _output, self._show

    def __exit__(self, *_: object) -> None:
        global _output
        _output = self._before
