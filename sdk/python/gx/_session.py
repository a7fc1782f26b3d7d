"""One run of an app: it is started through gx, used over a connection, and stopped."""

from __future__ import annotations

import os
import sys

from gx import _host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from gx._client import Client
    from gx._control import Control
    from gx.app import App

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
        _host.sessions.append(self)

    def stop(self) -> None:
        """Ends the app, or lets go of it if it is detached. A second time it does nothing."""
        if self not in _host.sessions:
            return
        _host.sessions.remove(self)
        self.app._attach(None, None, None, {})
        if os.getpid() != self._pid:
            return  # a forked child: the app is its parent's
        from gx.exception import ConnectionError

        _host.flush()
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


def start(
    app: App,
    *,
    name: Optional[str] = None,
    environment: Optional[str] = None,
    detach: bool = False,
    output: Optional[bool] = None,
    raw: bool = False,
) -> Session:
    """Starts an app and connects with it. ``raw`` raises _host.StartError instead of what the user is to see."""
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
    control, process = _host.use_inherited(), None
    if any([session.control is control for session in _host.sessions]):
        control = None  # it is for one app at a time
    made = manifest(app, name, environment)
    asked = {"start": {"manifest": made, "output": show, "detach": detach}}
    _name_main(app)
    if control is None:
        control, process = _host.start_gx()
    try:
        _host.flush()
        which, value, fd = control.ask(("started", "failed"), **asked)
        if which == "failed":
            raise _host.StartError(value)
        if fd is None:
            from gx.exception import InternalError

            raise InternalError("gx has started the app without giving a connection to it")
        client = _client.connected(fd, control.sync if show else lambda line: None)
    except BaseException as error:
        if process is not None:
            control.close()
            process.wait()
        if isinstance(error, _host.StartError) and not raw:
            raise error.error() from None
        raise
    assert isinstance(control, Control)
    sources = {str(file["remote"]): str(file["local"]) for mount in made["mounts"] for file in mount["files"] if file["remote"].endswith(".py")}
    session = Session(app, control, client, process, sources)
    app._attach(session, client, str(value.get("app")), dict(value.get("functions") or {}))
    return session


def deploy(app: App, name: Optional[str], tag: str, strategy: str, environment: Optional[str]) -> None:
    """Makes the app a version of a deployed one, which it is from then on."""
    from gx._manifest import manifest
    from gx._place import invalid
    from gx._runner import state
    from gx.exception import InvalidError

    if strategy not in ("rolling", "recreate"):
        raise invalid(f'app.deploy(strategy={strategy!r}): it can be "rolling" or "recreate"')
    if not (name or app.name):
        raise invalid('app.deploy() needs a name for the app: gx.App("name"), or app.deploy(name="name")')
    if state.runner is not None:
        raise InvalidError("app.deploy() was called in a container: an app is deployed from the program that declares it")
    made = manifest(app, name, environment)
    _name_main(app)
    control, process = _host.use_inherited(), None
    if control is None or any([session.control is control for session in _host.sessions]):
        control, process = _host.start_gx()
    assert control is not None
    try:
        _host.flush()
        asked = {"deploy": {"manifest": made, "output": _output, "tag": tag, "strategy": strategy}}
        which, value, _ = control.ask(("deployed", "failed"), **asked)
        if which == "failed":
            raise _host.StartError(value).error()
    finally:
        if process is not None:
            control.close()
            process.wait()
    for each in app._together():
        each._deployed, each._deployed_ids = str(value.get("app")), dict(value.get("functions") or {})


def _name_main(app: App) -> None:
    """Gives a program that runs as ``__main__`` the name that it has in containers.

    What is pickled there is found here under that name, and not imported anew.
    """
    from gx._sources import module_place

    if any([function._raw.__module__ == "__main__" for function in app._declared()]):
        name, file = module_place("__main__")
        if file:
            sys.modules.setdefault(name, sys.modules["__main__"])


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
