"""What the decorators of an app do with what they decorate: functions, classes and local entrypoints."""

from __future__ import annotations

from gx._place import at, defined, invalid
from gx._serialized import without_file
from gx._settings import Settings

_GENERATOR, _ASYNC_GENERATOR = 0x20, 0x200  # of co_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from gx.app import App
    from gx.cls import Cls
    from gx.function import Function


class LocalEntrypoint:
    """A function that ``gx run`` runs here, in the user's own Python."""

    def __init__(self, app: App, raw: Callable, name: str) -> None:
        self.app = app
        self.name = name
        self._raw = raw
        self.__name__ = name
        self.__doc__ = raw.__doc__
        self.__wrapped__ = raw

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._raw(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<local entrypoint {self.name!r}>"


def declare(app: App, decorated: Any, given: Dict[str, Any]) -> Function:
    """Adds a function to an app. Raises InvalidError."""
    from gx.function import Function
    from gx.partial_function import Marked

    marks: Dict[str, Any] = {}
    if isinstance(decorated, Marked):
        marks, decorated = decorated._marks, decorated._raw
    wrong = [mark for mark in marks if mark not in ("concurrent", "batched", "web")]
    if wrong:
        raise invalid(
            f"@app.function() goes on a function, and {decorated.__qualname__} has @gx.{wrong[0].partition('_')[0]}(): "
            "decorate its class by @app.cls()",
            defined(decorated),
        )
    if isinstance(decorated, Function):
        raise invalid(f"{decorated._name} has two decorators @app.function()", defined(decorated._raw))
    is_class = isinstance(decorated, type) or hasattr(type(decorated), "__mro_entries__")
    if isinstance(decorated, (staticmethod, classmethod)) or not callable(decorated) or is_class:
        kind = "class: use @app.cls()" if is_class else type(decorated).__name__
        raise invalid(f"@app.function() goes on a function, not on a {kind}")
    by_value = without_file(decorated.__module__) or bool(given.get("serialized"))
    name = given.get("name") or (decorated.__name__ if by_value else decorated.__qualname__)
    if "<lambda>" in name:
        raise invalid('a lambda has no name that it could be called by: @app.function(name="...", serialized=True)', defined(decorated))
    settings = Settings(f"function {name}", given)
    if "concurrent" in marks:
        settings.concurrent(*marks["concurrent"])
    if "batched" in marks:
        settings.batched(*marks["batched"])
        _check_batched(decorated, name)
    if "web" in marks:
        settings.web_endpoint(*marks["web"])
    if not by_value and "<lambda>" in decorated.__qualname__:
        raise invalid(f"function {name} is a lambda, which a container can't import: declare it with serialized=True", defined(decorated))
    if settings.schedule is not None:
        _check_scheduled(decorated, name, marks)
    owner = decorated.__qualname__.rpartition(".")[0]
    if owner and not owner.endswith("<locals>") and not by_value:
        raise invalid(
            f"{decorated.__qualname__} is a method, and @app.function() goes on functions: "
            f"decorate the class {owner.rpartition('.')[2]} by @app.cls() and the method by @gx.method()",
            defined(decorated),
        )
    if not by_value and "<locals>" in decorated.__qualname__:
        raise invalid(
            f"function {name} is defined inside another function, where a container can't import it from: "
            "move it to the top of its module, or declare it with serialized=True",
            defined(decorated),
        )
    _check_name(app, name, decorated)
    function = app._functions[name] = Function(app, decorated, name, settings)
    raise_import_error(app, name, settings)
    return function


def _check_scheduled(decorated: Any, name: str, marks: Dict[str, Any]) -> None:
    from gx._signature import Signature

    other = [mark for mark in marks if mark != "concurrent"]
    if other:
        raise invalid(f"function {name}: schedule= can't be combined with @gx.{'batched' if other[0] == 'batched' else marks['web'][0]}", defined(decorated))
    signature = Signature(decorated)
    needed = [parameter for parameter in signature.positional + signature.keyword if parameter not in signature.defaults]
    if needed:
        raise invalid(f"function {name} has a schedule, so it is called without arguments: {needed[0]} needs a default", defined(decorated))


def declare_class(app: App, decorated: Any, given: Dict[str, Any]) -> Cls:
    """Adds a class to an app. Raises InvalidError."""
    from gx.cls import Cls
    from gx.partial_function import Marked

    marks: Dict[str, Any] = {}
    if isinstance(decorated, Marked):
        marks, decorated = decorated._marks, decorated._raw
    if isinstance(decorated, Cls):
        raise invalid(f"{decorated._name} has two decorators @app.cls()")
    if not isinstance(decorated, type):
        what = "function: use @app.function()" if callable(decorated) else type(decorated).__name__
        raise invalid(f"@app.cls() goes on a class, not on a {what}", defined(decorated))
    local = "<locals>" in decorated.__qualname__
    name = decorated.__name__ if local else decorated.__qualname__
    settings = Settings(f"class {name}", given)
    if "concurrent" in marks:
        settings.concurrent(*marks["concurrent"])
    if local and not settings.serialized and not without_file(decorated.__module__):
        raise invalid(
            f"class {name} is defined inside a function, where a container can't import it from: "
            "move it to the top of its module, or declare it with serialized=True",
        )
    from gx._class_checks import check

    try:
        check(decorated, settings)
    except TypeError as error:
        raise invalid(f"class {name}: {error}") from None
    _check_name(app, name, decorated)
    made = app._classes[name] = Cls(app, decorated, name, settings)
    raise_import_error(app, name, settings)
    return made


def declare_entrypoint(app: App, decorated: Any, name: Optional[str]) -> LocalEntrypoint:
    """Adds a local entrypoint to an app. Raises InvalidError."""
    raw = getattr(decorated, "_raw", decorated)
    if not callable(raw) or raw is not decorated:
        raise invalid("@app.local_entrypoint() goes on a plain function")
    called = name or raw.__qualname__
    if called in app._entrypoints and app._entrypoints[called]._raw.__code__.co_filename != raw.__code__.co_filename:
        raise invalid(f"{app!r} has two local entrypoints named {called!r}")
    made = app._entrypoints[called] = LocalEntrypoint(app, raw, called)
    return made


def _check_name(app: App, name: str, decorated: Any) -> None:
    before: Any = app._functions.get(name) or app._classes.get(name)
    if before is None:
        return
    kind = "class" if isinstance(decorated, type) else "function"
    if name in app._functions and kind == "class" or name in app._classes and kind == "function":
        raise invalid(f"{app!r} has a function and a class named {name!r}", defined(decorated))
    if kind == "class" and before._raw.__module__ != decorated.__module__:
        raise invalid(f"{app!r} has two classes named {name!r}: of module {before._raw.__module__} and {decorated.__module__}")
    if kind == "function" and defined(before._raw)[0] != defined(decorated)[0]:
        raise invalid(f"{app!r} has two functions named {name!r}: one {at(defined(before._raw))}, the other", defined(decorated))


def _check_batched(raw: Any, name: str) -> None:
    if getattr(raw, "__code__", None) is not None and raw.__code__.co_flags & (_GENERATOR | _ASYNC_GENERATOR):
        raise invalid(f"{name} is batched, so it returns a list of values, and can't be a generator", defined(raw))


def raise_import_error(app: App, name: str, settings: Settings) -> None:
    """In a container of this function or class: what ``with image.imports()`` has postponed matters now."""
    from gx._runner import state

    if state.runner is None or state.runner.start is None or state.runner.start.get("name") != name:
        return
    image = settings.image or app.image
    if image is not None and image._import_error is not None:
        raise image._import_error
