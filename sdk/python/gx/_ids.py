"""Where this code runs, and for which input."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Optional


def is_local() -> bool:
    """Whether this runs in the user's own Python, and not in a container of an app."""
    from gx._runner import state

    return state.runner is None and not state.building


def current_input_id() -> Optional[str]:
    """The id of the input that this code runs for; None outside a function."""
    from gx._runner import state

    return state.current_input_id()


def current_function_call_id() -> Optional[str]:
    """The id of the call that this code runs for; None outside a function."""
    from gx._runner import state

    return state.current_function_call_id()


def interact() -> NoReturn:
    """Planned: gives the running function the terminal."""
    from gx._planned import planned

    planned("gx.interact")


def stub(*_: Any, **__: Any) -> NoReturn:
    """The older name of App, which is not accepted any more."""
    from gx.exception import InvalidError

    raise InvalidError("Stub is called App now: app = gx.App(...)")
