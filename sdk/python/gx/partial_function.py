"""Decorators that go below ``@app.function()`` or on the methods of a class."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, NoReturn, Optional


class Marked:
    """A function with what decorators below ``@app.function()`` said of it."""

    def __init__(self, raw: Callable, marks: Dict[str, Any]) -> None:
        self.raw = raw
        self.marks = marks

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.raw(*args, **kwargs)


def concurrent(
    _warn_parentheses_missing: Any = None, *, max_inputs: Optional[int] = None, target_inputs: Optional[int] = None
) -> Callable[[Callable], Marked]:
    """Lets a container take up to ``max_inputs`` inputs at once: plain functions on threads, async ones on one loop.

    New containers are started as if each took ``target_inputs`` (default: as many).
    """
    if _warn_parentheses_missing is not None or max_inputs is None:
        raise _invalid("@gx.concurrent needs parentheses and a number: @gx.concurrent(max_inputs=8)")

    def decorate(function: Any) -> Marked:
        from gx.function import Function

        if isinstance(function, Function):
            raise _invalid(f"@gx.concurrent goes below @app.function(), not above it (function {function._name})")
        if isinstance(function, type):
            _planned("@gx.concurrent on a class: classes")
        marks = dict(function.marks) if isinstance(function, Marked) else {}
        marks["concurrent"] = (max_inputs, target_inputs)
        return Marked(function.raw if isinstance(function, Marked) else function, marks)

    return decorate


def batched(*_: Any, **__: Any) -> NoReturn:
    """Planned: collects single inputs into lists."""
    _planned("@gx.batched: dynamic batching")


def method(*_: Any, **__: Any) -> NoReturn:
    """Planned: makes a method of a class callable remotely."""
    _planned("@gx.method: classes")


def enter(*_: Any, **__: Any) -> NoReturn:
    """Planned: runs a method when a container starts."""
    _planned("@gx.enter: classes")


def exit(*_: Any, **__: Any) -> NoReturn:
    """Planned: runs a method when a container ends."""
    _planned("@gx.exit: classes")


def build(*_: Any, **__: Any) -> NoReturn:
    """The older way to ``Image.run_function``, which is planned."""
    _planned("@gx.build (now Image.run_function)")


def parameter(*_: Any, **__: Any) -> NoReturn:
    """Planned: a parameter of a class."""
    _planned("gx.parameter: classes")


def clustered(*_: Any, **__: Any) -> NoReturn:
    """Planned: several containers as one."""
    _planned("@gx.clustered: clusters")


def fastapi_endpoint(*_: Any, **__: Any) -> NoReturn:
    """Planned: a function as a web endpoint."""
    _planned("@gx.fastapi_endpoint: web endpoints")


def web_endpoint(*_: Any, **__: Any) -> NoReturn:
    """The older name of ``fastapi_endpoint``."""
    _planned("@gx.web_endpoint (now @gx.fastapi_endpoint): web endpoints")


def asgi_app(*_: Any, **__: Any) -> NoReturn:
    """Planned: an ASGI application as a web endpoint."""
    _planned("@gx.asgi_app: web endpoints")


def wsgi_app(*_: Any, **__: Any) -> NoReturn:
    """Planned: a WSGI application as a web endpoint."""
    _planned("@gx.wsgi_app: web endpoints")


def web_server(*_: Any, **__: Any) -> NoReturn:
    """Planned: a server in a container as a web endpoint."""
    _planned("@gx.web_server: web endpoints")


def _invalid(message: str) -> Exception:
    from gx._place import at, caller
    from gx.exception import InvalidError

    return InvalidError(f"{message} {at(caller())}")


def _planned(what: str) -> NoReturn:
    from gx._planned import planned

    planned(what)
