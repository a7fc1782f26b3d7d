"""How functions and classes of an app are pickled: by the name that they have in their module."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Tuple


def reference(value: Any) -> Tuple[Callable, Tuple[Any, Any]]:
    """How a function or class of an app is pickled: by the name that it has in its module, or if no file has it in its app."""
    import sys

    from gx._serialized import without_file
    from gx._sources import module_place

    module = value._raw.__module__
    if value._settings.serialized or without_file(module):
        return _sibling, (value._name, isinstance(value._raw, type))
    names = [name for name, other in vars(sys.modules[module]).items() if other is value]
    if not names:
        raise TypeError(f"{value!r} has no name in its module {module!r}, by which it could be found elsewhere")
    return _named, (module_place(module)[0], names[0])


def _sibling(name: str, is_class: bool) -> Any:
    """A function or class of the same app, by its name there."""
    from gx._host import running_app
    from gx._runner import state

    start = state.runner.start if state.runner is not None else None
    app_id = str(start["app"]) if start is not None else running_app()
    if is_class:
        from gx.cls import Cls

        return Cls.from_name(app_id, name)
    from gx._named_function import NamedFunction

    return NamedFunction(app_id, name)


def _named(module: str, name: str) -> Any:
    """The function of this name in a module; how functions are unpickled."""
    import sys

    __import__(module)
    return getattr(sys.modules[module], name)
