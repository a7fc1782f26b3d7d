"""Deployed apps that are found by name; ``gx.App.lookup``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


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
