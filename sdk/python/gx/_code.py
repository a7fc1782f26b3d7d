"""What decides what a function does, as a digest: as far as it is the user's own.

That is its code (not its comments, nor where it stands), the values of the
globals and closures that it refers to, the user's own functions and classes
among them likewise, and the whole text of the user's modules that it refers to
or imports. Packages are part of an image.
"""

from __future__ import annotations

import os
import sys

from gx import _wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, List, Set

LARGEST = 16 << 20
"""Bytes that a value may have, pickled, to be looked at."""
_NOT_MEMBERS = frozenset((
    "__module__", "__qualname__", "__dict__", "__weakref__", "__doc__", "__abstractmethods__", "_abc_impl",
    "__firstlineno__", "__static_attributes__", "__classdictcell__", "__annotate_func__", "__annotations_cache__",
    "__dataclass_fields__", "__dataclass_params__", "__slotnames__",
))  # of a class: what Python adds, and what its methods and annotations say as well


class Unknown(Exception):
    """Something that a function refers to can't be told from another of its kind."""


def digest(*things: Any, arguments: bytes = b"", strict: bool = False) -> str:
    """Functions and classes as 32 hexadecimal digits.

    Values that can't be pickled, or are too large, count by their type; with ``strict`` they raise Unknown.
    """
    found = _Digest(strict)
    for thing in things:
        found.value("", thing)
    found.add("arguments", arguments)
    return str(found.hash.hexdigest()[:32])


class _Digest:
    """Collects what a function refers to, each thing once."""

    def __init__(self, strict: bool) -> None:
        self.hash = _sha256()
        self._strict = strict
        self._seen: Set[int] = set()
        self._modules: Set[str] = set()

    def add(self, *parts: Any) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
            self.hash.update(len(data).to_bytes(8, "little") + data)

    def value(self, name: str, value: Any) -> None:
        """A global, a variable of a closure, or a member of a class, by what it is."""
        from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType

        self.add("name", name)
        own = getattr(value, "_raw", value)  # a function or class of an app is the user's own code
        own = getattr(own, "__func__", own)  # staticmethod, classmethod, a bound method
        if isinstance(value, MethodType):
            self.value("self", value.__self__)
        if isinstance(value, ModuleType):
            self.module(value)
        elif isinstance(own, FunctionType):
            self.add(own.__module__, own.__qualname__)
            if _is_users(own.__module__):
                self.function(own)
        elif isinstance(own, type):
            self.add(own.__module__, own.__qualname__)
            if _is_users(own.__module__):
                self.kind(own)
        elif isinstance(own, property):
            for part in (own.fget, own.fset, own.fdel):
                self.value("property", part)
        elif type(value).__module__.partition(".")[0] == "gx":
            self.add(type(value).__qualname__)  # an app or an image says nothing of what the function does
            if type(value).__qualname__ == "Parameter" and value.default is not ...:
                self.plain(value.default)
        elif type(own).__module__ == "functools":  # lru_cache, partial, cached_property
            self.add(type(own).__qualname__)
            self.value("wrapped", getattr(own, "__wrapped__", None) or getattr(own, "func", None))
            self.plain((getattr(own, "args", ()), getattr(own, "keywords", {})))
        elif not isinstance(own, (GetSetDescriptorType, MemberDescriptorType)):  # of __slots__
            if _is_users(type(value).__module__):
                self.value("type", type(value))
            self.plain(value)

    def function(self, function: Any) -> None:
        """Its code, defaults, closure, and the globals that it names."""
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        code: CodeType = function.__code__
        self.code(code)
        self.plain(function.__defaults__)
        self.plain(function.__kwdefaults__)
        for name, cell in zip(code.co_freevars, function.__closure__ or ()):
            try:
                self.value(name, cell.cell_contents)
            except ValueError:
                self.add("empty cell", name)
        scope = function.__globals__
        for name in sorted(_names(code)):
            if name in scope:
                self.value(name, scope[name])
            elif name not in sys.builtin_module_names:
                self.imported(name, function.__module__)

    def kind(self, kind: type) -> None:
        """A class: its bases and its members."""
        if id(kind) in self._seen:
            return
        self._seen.add(id(kind))
        for base in kind.__bases__:
            self.value("base", base)
        for name, member in sorted(vars(kind).items()):
            if name not in _NOT_MEMBERS:
                self.value(name, member)

    def code(self, code: CodeType) -> None:
        """Instructions, names and constants, those of inner functions too."""
        self.add(code.co_code, code.co_names, code.co_varnames, code.co_flags & 0x2AC)
        for constant in code.co_consts:
            if isinstance(constant, type(code)):
                self.code(constant)
            elif isinstance(constant, frozenset):
                self.add(sorted(map(repr, constant)))
            else:
                self.add(type(constant).__name__, repr(constant))

    def module(self, module: Any) -> None:
        """Of the user's own modules the text, and that of those of his that they refer to."""
        name = module.__name__
        self.add("module", name)
        if name in self._modules or not _is_users(name):
            return
        self._modules.add(name)
        self.file(getattr(module, "__file__", None))
        for inner, value in sorted(vars(module).items()):
            if type(value) is type(sys):
                self.module(value)
            else:
                home = getattr(value, "__module__", None)  # from other import something
                if isinstance(home, str) and home != name and inner[:2] != "__" and home in sys.modules:
                    self.module(sys.modules[home])

    def imported(self, name: str, by: str) -> None:
        """A module that is imported within a function, if it is the user's: beside the function's own, or below the same root."""
        file = getattr(sys.modules.get(by), "__file__", None)
        if not isinstance(file, str):
            return
        beside = os.path.dirname(os.path.abspath(file))
        root = beside
        for _ in range(by.count(".") + (os.path.basename(file) == "__init__.py")):
            root = os.path.dirname(root)
        for folder in dict.fromkeys((beside, root)):
            self.local(name.partition(".")[0], folder)

    def local(self, name: str, folder: str) -> None:
        """A module or package in a folder, if it is there."""
        path = os.path.join(folder, name)
        if os.path.isfile(path + ".py"):
            self.file(path + ".py")
        elif os.path.isfile(os.path.join(path, "__init__.py")):
            self.folder(path)

    def folder(self, path: str) -> None:
        """A package, once."""
        if path in self._modules:
            return
        self._modules.add(path)
        for folder, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                if name.endswith(".py"):
                    self.file(os.path.join(folder, name))

    def file(self, path: Any) -> None:
        """A file's text, and that of the user's files that it imports, wherever in it; each once."""
        if not isinstance(path, str) or path in self._modules:
            return
        self._modules.add(path)
        try:
            with open(path, "rb") as file:
                self.add(file.read())
        except OSError:
            self.add("no file")
            return
        folder = os.path.dirname(os.path.abspath(path))
        if os.path.isfile(os.path.join(folder, "__init__.py")):  # all of a package counts: its imports may be relative
            while os.path.isfile(os.path.join(os.path.dirname(folder), "__init__.py")):
                folder = os.path.dirname(folder)
            self.folder(folder)
            folder = os.path.dirname(folder)
        from gx._sources import imports_of

        for name in sorted(set(imports_of(path))):
            self.local(name, folder)

    def plain(self, value: Any) -> None:
        """Data."""
        if value is None or type(value) in (bool, int, float, str, bytes):
            self.add(type(value).__name__, repr(value))
            return
        sink = _Sink()
        try:
            from pickle import Pickler

            try:
                value = _ordered(value)
            except RecursionError:
                pass  # it contains itself
            Pickler(sink, 4).dump(value)
        except Exception as error:
            if self._strict:
                raise Unknown(f"a {type(value).__name__}: {error}") from None
            self.add(type(value).__module__, type(value).__qualname__)
        else:
            self.add(*sink.parts)


def _ordered(value: Any) -> Any:
    """Data in which sets, which have no order of their own, are sorted lists."""
    kind = type(value)
    if kind in (set, frozenset):
        return [kind.__name__, *sorted([_ordered(item) for item in value], key=repr)]
    if kind is dict:
        return {key: _ordered(item) for key, item in value.items()}
    if kind in (list, tuple):
        return kind([_ordered(item) for item in value])
    return value


class _Sink:
    """A file that takes so much and no more."""

    def __init__(self) -> None:
        self.parts: List[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        self._size += len(data)
        if self._size > LARGEST:
            raise _wire.TooLarge(f"more than {LARGEST} bytes")
        self.parts.append(bytes(data))
        return len(data)


def _names(code: CodeType) -> Set[str]:
    """Names that code, and code within it, may look up as globals or import."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            names |= _names(constant)
    return names


def _is_users(module: Any) -> bool:
    """Whether a module is the user's own, and not of Python, of a package, or of gx."""
    if module == "__main__":
        return True
    from gx._place import is_own

    file = getattr(sys.modules.get(str(module)), "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or is_own(file):
        return False
    installed = "site-packages" in file or "dist-packages" in file
    return not installed and not file.startswith((sys.base_prefix.rstrip("/") + "/lib", sys.prefix.rstrip("/") + "/lib"))


def _sha256() -> Any:
    """SHA-256 without hashlib, which takes longer to import than all of this to run."""
    for name in ("_sha2", "_sha256"):
        try:
            return __import__(name).sha256()
        except ImportError:
            pass
    from hashlib import sha256

    return sha256()


def code_of(function: Any, *more: Any) -> str:
    """The digest of a function of an app, for keeping its results; "" if it can't be told, or its code is elsewhere."""
    if not _is_users(getattr(function, "__module__", None)):
        return ""
    try:
        return digest(function, *more, strict=True)
    except Exception:  # whatever the user's objects do when they are looked at
        return ""
