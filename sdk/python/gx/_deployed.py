"""Deployed apps that are found by name; ``gx.App.lookup``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from gx.app import App


def look_up(name: str, create_if_missing: bool, environment: Optional[str]) -> App:
    """The app. Raises NotFoundError."""
    from gx._client import reply
    from gx._environment import current
    from gx._host import any_client
    from gx.app import App
    from gx.exception import InvalidError, NotFoundError

    if not isinstance(name, str) or not name:
        raise InvalidError(f"gx.App.lookup({name!r}): it takes the name of an app")
    app = App(name)
    try:
        found = reply(any_client().request("app.find", environment=current(environment), app=name))
        app._deployed = str(found["app"])
    except NotFoundError:
        if not create_if_missing:
            raise
    return app
