"""New code for functions that exist, in a process that goes on.

A newer version of a module whose shape (gx._shape) is the same differs in the
bodies of functions only. Each function object gets the newer code in place of
its own: whoever holds it, a route, an instance or a wrapper, calls the new code
from then on, and what runs goes on in the old.
"""

from __future__ import annotations

import gc
import os
import sys
from binascii import a2b_base64
from types import CodeType, FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple

    Twins = Dict[Tuple[Any, ...], Optional[CodeType]]

_HAS_NO_TWIN = None
_sources: Dict[str, bytes] = {}  # what was put in the place of files that modules were imported from


class Refused(Exception):
    """The code can't be exchanged in this process."""


class Swap:
    """A change of files, from its announcement (wire.StageBody) until it is made.

    ``files`` has contents in base64 by path in the container; None = removed.
    ``functions`` are the ids of the app's functions from then on.
    """

    def __init__(self, files: Dict[str, Optional[str]], functions: Dict[str, str]) -> None:
        self.functions = functions
        self._files = {_local(path): None if text is None else a2b_base64(text) for path, text in files.items()}
        self._new: List[Tuple[FunctionType, CodeType]] = []
        self._check()

    def _check(self) -> None:
        """Finds everything that will change. Raises Refused."""
        if _children():
            raise Refused("its container has further processes, which would keep the old code")
        loaded: Dict[str, List[Any]] = {}
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str):
                same = loaded.setdefault(os.path.abspath(file), [])
                if not any(module is other for other in same):
                    same.append(module)
        for path, text in self._files.items():
            for module in loaded.get(path, ()):
                if text is None:
                    raise Refused(f"{os.path.basename(path)} is in use, and was removed")
                self._module(path, module, text)

    def _module(self, path: str, module: Any, text: bytes) -> None:
        before = _sources.get(path)
        if before is None:
            with open(path, "rb") as file:
                before = file.read()
        file_name = module.__file__
        twins: Twins = {}
        try:
            old = compile(before, file_name, "exec", dont_inherit=True)
            new = compile(text, file_name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise Refused(f"{os.path.basename(path)} can't be compiled: {error}") from None
        _pair(old, new, twins)
        for function in _functions(module):
            code = function.__code__
            if code.co_filename != file_name:
                continue  # made by somebody else in the module's name
            look = _look(code)
            if look not in twins:
                raise Refused(f"{function.__qualname__} is not what {os.path.basename(path)} says")
            twin = twins[look]
            if twin is _HAS_NO_TWIN:
                raise Refused(f"{function.__qualname__} is in use, and the new code has no such function")
            if twin.co_freevars != code.co_freevars:
                raise Refused(f"{function.__qualname__} uses other variables of the function that it is in")
            self._new.append((function, twin))

    def make(self) -> None:
        """Makes the change. It does not fail but for the disk, of which it tells."""
        for path, text in self._files.items():
            try:
                _write(path, text)
            except OSError as error:  # functions have their code all the same; tracebacks show the old text
                print(f"gx: {path} can't be brought up to date in the container: {error}", file=sys.stderr)
            if text is None:
                _sources.pop(path, None)
            else:
                _sources[path] = text
        for function, code in self._new:
            if function.__doc__ == _doc(function.__code__):
                function.__doc__ = _doc(code)
            function.__code__ = code
        lines = sys.modules.get("linecache")
        if lines is not None:
            for path in self._files:
                lines.checkcache(path)
        self._new = []


def _pair(old: CodeType, new: CodeType, twins: Twins) -> None:
    """Finds for each code within ``old`` the one of the same name, in the same place, within ``new``."""
    places: Dict[Tuple[str, int], CodeType] = dict(_inner(new))
    for place, code in _inner(old):
        twin = places.get(place)
        look = _look(code)
        if look in twins and twins[look] != twin:
            twins[look] = _HAS_NO_TWIN  # two that look the same, and will not
            continue
        twins[look] = twin
        if twin is None:
            _forget(code, twins)
        else:
            _pair(code, twin, twins)


def _look(code: CodeType) -> Tuple[Any, ...]:
    """What a code is known by: two of one text have the same."""
    consts = [repr(const) for const in code.co_consts if not isinstance(const, CodeType)]
    return (code.co_name, code.co_firstlineno, code.co_code, code.co_names, tuple(consts))


def _inner(code: CodeType) -> Iterator[Tuple[Tuple[str, int], CodeType]]:
    """The codes that a code makes functions and classes of, by name, and number among those of the name."""
    seen: Dict[str, int] = {}
    for const in code.co_consts:
        if isinstance(const, CodeType):
            number = seen[const.co_name] = seen.get(const.co_name, -1) + 1
            yield (const.co_name, number), const


def _forget(code: CodeType, twins: Twins) -> None:
    for _, inner in _inner(code):
        twins[_look(inner)] = _HAS_NO_TWIN
        _forget(inner, twins)


def _functions(module: Any) -> List[FunctionType]:
    """All functions that were made by a module's code: they refer to its names."""
    names = module.__dict__
    if gc.get_freeze_count():
        gc.unfreeze()  # what was there before a fork would not be found
    return [found for found in gc.get_referrers(names) if type(found) is FunctionType and found.__globals__ is names]


def _doc(code: CodeType) -> Optional[str]:
    """What a function of this code has for documentation if nobody says otherwise."""
    if sys.version_info >= (3, 13) and not code.co_flags & 0x4000000:  # CO_HAS_DOCSTRING
        return None
    first = code.co_consts[0] if code.co_consts else None
    return first if isinstance(first, str) else None


def _local(path: str) -> str:
    """Where a path of the container is for this process. Raises Refused."""
    root = os.environ.get("GX_ROOT", "/root")
    if path == "/root" or path.startswith("/root/"):
        return os.path.abspath(root + path[len("/root") :])
    if root != "/root":
        raise Refused(f"{path} is not below /root, and this container has no file system of its own")
    return path


def _write(path: str, text: Optional[bytes]) -> None:
    from importlib.util import cache_from_source

    if text is None:
        if os.path.exists(path):
            os.unlink(path)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        made = path + ".gx-new"
        with open(made, "wb") as file:  # what is there may be a link to what others have too
            file.write(text)
        os.replace(made, path)
    try:
        os.unlink(cache_from_source(path))  # it is valid by seconds and size
    except (OSError, NotImplementedError):
        pass


def _children() -> bool:
    """Whether this process has children."""
    own = os.getpid()
    try:
        entries = os.listdir("/proc")
    except OSError:
        return False
    for entry in entries:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == own and fields[0] not in (b"Z", b"X"):
                return True
    return False
