"""Functions that run while an image is built: what they are by digest, and what a build needs of them.

The digest covers all that decides what such a function does, as far as that is
the user's own: its source, the values of the globals and closures it refers to,
the source of the user's functions and classes among them, likewise, the whole
source of the user's modules among them, and the arguments. Packages are part
of the image itself. So an unrelated change in the same file rebuilds nothing.
"""

from __future__ import annotations

import sys
from hashlib import sha256

from gx import _wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, Callable, Dict, List, Optional, Set


def fields(raw: Callable, args: Any, kwargs: Any, include_source: bool) -> Dict[str, Any]:
    """The function and files of the step (app.BuildFunction), read from the user's files now. Raises InvalidError."""
    from gx._serialized import dumps, without_file
    from gx._sources import automatic, module_place

    name = raw.__qualname__
    by_value = without_file(raw.__module__) or "<locals>" in name or "<lambda>" in name
    arguments = _arguments(name, tuple(args), dict(kwargs))
    function: Dict[str, Any] = {"name": name, "key": digest(raw, arguments), "args": arguments}
    made: Dict[str, Any] = {"function": function}
    if by_value:
        function["payload"] = dumps(raw, f"run_function({name})", False)
        from gx._serialized import files

        made["files"] = files()
        return made
    function["module"], function["qualname"] = module_place(raw.__module__)[0], name
    if include_source:
        made["files"] = automatic([raw.__module__])
    return made


def _arguments(name: str, args: tuple, kwargs: Dict[str, Any]) -> bytes:
    try:
        return bytes(_wire.whole(_wire.dumps((args, kwargs))))
    except Exception as error:
        from gx.exception import InvalidError

        raise InvalidError(f"the arguments for run_function({name}) can't be pickled: {type(error).__name__}: {error}") from None


def digest(raw: Callable, arguments: bytes = b"") -> str:
    """What decides what a function does, as 32 hexadecimal digits."""
    found = _Digest()
    found.function(raw)
    found.add("arguments", arguments)
    return found.hash.hexdigest()[:32]


class _Digest:
    """Collects what a function refers to, each thing once."""

    def __init__(self) -> None:
        self.hash = sha256()
        self._seen: Set[int] = set()

    def add(self, *parts: Any) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
            self.hash.update(len(data).to_bytes(8, "little") + data)

    def function(self, function: Any) -> None:
        """Its source, defaults, closure, and the globals that it names."""
        code: Optional[CodeType] = getattr(function, "__code__", None)
        if code is None or id(function) in self._seen:
            return
        self._seen.add(id(function))
        self.add("function", function.__qualname__, _source(function) or _code(code))
        self.add(repr(function.__defaults__), repr(function.__kwdefaults__))
        for name, cell in zip(code.co_freevars, function.__closure__ or ()):
            try:
                self.value(name, cell.cell_contents)
            except ValueError:
                self.add("empty cell", name)
        scope = function.__globals__
        for name in sorted(_names(code)):
            if name in scope:
                self.value(name, scope[name])

    def value(self, name: str, value: Any) -> None:
        """A global or a variable of a closure, by what it is."""
        from types import FunctionType, ModuleType

        self.add("name", name)
        own = getattr(value, "_raw", value)  # a function or class of an app is the user's own code
        if isinstance(value, ModuleType):
            self.add(value.__name__, _module_source(value))
        elif isinstance(own, FunctionType):
            if _is_users(own.__module__):
                self.function(own)
            else:
                self.add(own.__module__, own.__qualname__)
        elif isinstance(own, type):
            self.add(own.__module__, own.__qualname__, (_source(own) or "") if _is_users(own.__module__) else "")
        elif type(value).__module__.partition(".")[0] == "gx":
            self.add(type(value).__qualname__)  # an app or an image says nothing of what the function does
        else:
            self.plain(value)

    def plain(self, value: Any) -> None:
        """Data. What can't be pickled counts by its type."""
        try:
            if isinstance(value, (set, frozenset)):  # in no order of their own
                value = sorted(value, key=repr)
            self.add(_wire.whole(_wire.dumps(value)))
        except Exception:
            self.add(type(value).__module__, type(value).__qualname__)


def _names(code: CodeType) -> Set[str]:
    """Names that code, and code within it, may look up as globals."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            names |= _names(constant)
    return names


def _code(code: CodeType) -> str:
    """Code without source: its instructions and constants."""
    constants = [_code(c) if isinstance(c, type(code)) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _source(thing: Any) -> str:
    """The text of a function or class, without its indentation."""
    from inspect import getsource
    from textwrap import dedent

    try:
        return dedent(getsource(thing))
    except (OSError, TypeError, SyntaxError):
        return ""


def _is_users(module: Any) -> bool:
    """Whether a module is the user's own, and not of Python, of a package, or of gx."""
    if module == "__main__":
        return True
    from gx._place import is_own

    file = getattr(sys.modules.get(str(module)), "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or is_own(file):
        return False
    places: List[str] = [sys.base_prefix, sys.prefix]
    installed = "site-packages" in file or "dist-packages" in file
    return not installed and not any([file.startswith(place.rstrip("/") + "/lib") for place in places])


def _module_source(module: Any) -> str:
    if not _is_users(module.__name__):
        return ""
    try:
        with open(module.__file__, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, TypeError):
        return ""
