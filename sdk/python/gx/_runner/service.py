"""The user's code: what can be called, and what is to be run before and after."""

from __future__ import annotations

import sys

from gx import _wire
from gx._members import hooks, is_async, members
from gx._runner import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List


class Service:
    """A function, or an instance of a class.

    ``targets`` maps the name of a method to what is called; a function is its
    own only target, "". The hooks take no argument, and may be async.
    """

    def __init__(self, targets: Dict[str, Callable]) -> None:
        self.targets = targets
        self.enter_snap: List[Callable] = []
        self.enter: List[Callable] = []
        self.exit: List[Callable] = []

    @property
    def asynchronous(self) -> bool:
        """Whether anything of it needs an event loop."""
        return any(map(is_async, [*self.targets.values(), *self.enter_snap, *self.enter, *self.exit]))


def load(start: dict) -> Service:
    """Imports what StartBody names. Raises what the user's code raises."""
    found = _found(start)
    if hasattr(found, "_settings") and found._app is not None:
        from gx._declare import raise_import_error

        raise_import_error(found._app, start.get("name") or "", found._settings)
    if start.get("class"):
        return _instance(found, start)
    return Service({"": _raw(found, start)})


def function_of(start: dict) -> Callable:
    """The user's function that StartBody, or a build's request, names. Raises what the user's code raises."""
    return _raw(_found(start), start)


def _found(start: dict) -> Any:
    """The object that StartBody names."""
    if start.get("payload"):
        from gx._serialized import loads

        try:
            return loads(_bytes(start["payload"]))
        except Exception as error:
            if isinstance(error, ModuleNotFoundError):
                raise
            what = str(error) if type(error).__name__ == "DeserializationError" else f"{type(error).__name__}: {error}"
            raise errors.make("DeserializationError", f"{start.get('name')} cannot be made in the container: {what}") from error
    name, path = start["module"], start["qualname"]
    __import__(name)
    found: Any = sys.modules[name]
    if name != "__main__":
        # Classes that a caller's script pickled as __main__.X are found, and
        # multiprocessing starts children from the user's file.
        sys.modules["__main__"] = found
    for part in path.split("."):
        if part == "<locals>":
            raise errors.make(
                "InvalidError",
                f"{path} is defined inside a function, where the container cannot import it from: move it to the top "
                "of its module, or declare it with serialized=True",
            )
        try:
            found = getattr(found, part)
        except AttributeError:
            raise errors.make(
                "ExecutionError",
                f"module {name!r} ({getattr(sys.modules[name], '__file__', None)}) has no {path!r} in the container: "
                'is it defined only under a condition, e.g. `if __name__ == "__main__"` or `if gx.is_local()`?',
            ) from None
    return found


def _raw(found: Any, start: dict) -> Callable:
    """The user's own function, or class, out of what the SDK's decorator made of it."""
    raw: Callable = getattr(found, "_raw", found)
    if not callable(raw):
        raise errors.make(
            "ExecutionError",
            f"{start.get('qualname') or start.get('name')} is a {type(raw).__name__}, not a function",
        )
    return raw


def _instance(found: Any, start: dict) -> Service:
    """An instance of a decorated class, with its hooks and methods."""
    from gx.cls import Cls

    raw: Any = _raw(found, start)
    params = _bytes(start["params"]) if start.get("params") else b""
    args, kwargs = _wire.loads(params) if params else ((), {})
    instance = raw(*args, **kwargs)
    cls = found if isinstance(found, Cls) else Cls._of_container(raw, str(start.get("name") or raw.__name__))
    cls._attach(instance, (args, kwargs), params, start.get("options"))
    service = Service({})
    for name, member in members(raw).items():
        if "method" in member._gx_roles:
            service.targets[name] = getattr(member, "_raw", member).__get__(instance, raw)
    service.enter_snap, service.enter, service.exit = [hooks(instance, role) for role in ("enter_snap", "enter", "exit")]
    return service


def _bytes(field: Any) -> bytes:
    """A []byte field of a JSON body."""
    from binascii import a2b_base64

    return a2b_base64(field)
