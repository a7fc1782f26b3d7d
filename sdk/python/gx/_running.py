"""Where the functions of an app are: with the block that runs it, with the container that this is, or deployed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Optional, Type

    from gx._client import Client
    from gx.app import App


class Running:
    """The block of ``app.run()``."""

    def __init__(self, app: App, name: Optional[str], environment: Optional[str], detach: bool, output: Optional[bool]) -> None:
        self._app = app
        self._name = name
        self._environment = environment
        self._detach = detach
        self._output = output

    def __enter__(self) -> App:
        from gx._session import start

        start(self._app, name=self._name, environment=self._environment, detach=self._detach, output=self._output)
        return self._app

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        session = self._app._session
        if session is not None:
            session.stop()

    async def __aenter__(self) -> App:
        from gx._dual import in_thread

        await in_thread(self.__enter__)()
        return self._app

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        from gx._dual import in_thread

        await in_thread(self.__exit__)(kind, error, traceback)


def connect(app: App, function: str) -> Client:
    """The connection for calls of an app's functions where no block runs it. Raises ExecutionError if there is none.

    In a container it is the container's: the app runs, or this would not. An app
    that is deployed is reached as those of others are.
    """
    from gx._client import in_container
    from gx._runner import state

    client = in_container()
    if client is None and app._deployed:
        from gx._host import any_client

        return any_client()
    if client is None:
        from gx.exception import ExecutionError

        raise ExecutionError(
            f"{function} can't be called remotely because its app does not run: start the file with `gx run FILE`, "
            "call it in a block `with app.run():`, or find it by gx.Function.from_name once its app is deployed"
        )
    assert state.runner is not None and state.runner.start is not None
    app._ids = dict(state.runner.start.get("functions") or {})
    app._client = client
    return client


def look_up(name: str, missing_ok: bool, environment: Optional[str]) -> Optional[str]:
    """The id of the app of this name; None if none is deployed and that is ``missing_ok``. Raises NotFoundError."""
    from gx._client import reply
    from gx._environment import current
    from gx._host import any_client
    from gx.exception import NotFoundError

    try:
        return str(reply(any_client().request("app.find", environment=current(environment), app=name))["app"])
    except NotFoundError:
        if not missing_ok:
            raise
    return None
