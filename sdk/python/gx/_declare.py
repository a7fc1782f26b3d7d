"""What ``@app.function()`` does with the function that it decorates."""

from __future__ import annotations

from gx._place import at
from gx._settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Tuple

    from gx.app import App
    from gx.function import Function


def declare(app: App, decorated: Any, given: Dict[str, Any]) -> Function:
    """Adds a function to an app. Raises InvalidError."""
    from gx.function import Function
    from gx.partial_function import Marked

    marks: Dict[str, Any] = {}
    if isinstance(decorated, Marked):
        marks, decorated = decorated.marks, decorated.raw
    if isinstance(decorated, Function):
        raise _invalid(f"{decorated._name} has two decorators @app.function()", place(decorated._raw))
    if isinstance(decorated, (staticmethod, classmethod)) or not callable(decorated) or isinstance(decorated, type):
        kind = "class (classes are planned, and not part of gx yet)" if isinstance(decorated, type) else type(decorated).__name__
        raise _invalid(f"@app.function() goes on a function, not on a {kind}", ("", 0))
    name = given.get("name") or decorated.__qualname__
    settings = Settings(f"function {name}", given)
    if "concurrent" in marks:
        settings.concurrent(*marks["concurrent"])
    if not settings.serialized and "<locals>" in decorated.__qualname__:
        raise _invalid(
            f"function {name} is defined inside another function, where a container can't import it from: "
            "move it to the top of its module, or declare it with serialized=True",
            place(decorated),
        )
    before = app._functions.get(name)
    if before is not None and place(before._raw)[0] != place(decorated)[0]:
        raise _invalid(f"{app!r} has two functions named {name!r}: one {at(place(before._raw))}, the other", place(decorated))
    function = app._functions[name] = Function(app, decorated, name, settings)
    _raise_import_error(app, name, settings)
    return function


def place(raw: Callable) -> Tuple[str, int]:
    """File and line of a function, ("", 0) if it has none."""
    inner: Any = raw
    while hasattr(inner, "func") and not hasattr(inner, "__code__"):  # functools.partial
        inner = inner.func
    code = getattr(inner, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else ("", 0)


def _raise_import_error(app: App, name: str, settings: Settings) -> None:
    """In a container of this function: what ``with image.imports()`` has postponed matters now."""
    from gx._runner import state

    if state.runner is None or state.runner.start is None or state.runner.start.get("name") != name:
        return
    image = settings.image or app.image
    if image is not None and image._import_error is not None:
        raise image._import_error


def _invalid(message: str, place: Tuple[str, int]) -> Exception:
    from gx._place import at, caller
    from gx.exception import InvalidError

    return InvalidError(f"{message} {at(place if place[0] else caller())}")
