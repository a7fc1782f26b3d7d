"""Which of the user's own Python files a function needs.

The file that declares the app comes along, and whatever local modules and
packages it imports, from the folder that it is in: those that are imported
already, and those whose names stand behind ``import`` anywhere in the files
that come along, so that imports within functions work as well.
"""

from __future__ import annotations

import os
import sys

from gx import _files
from gx._place import is_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

IGNORE_FILE = ".gxignore"
_SKIPPED = ("__pycache__", "node_modules", "site-packages", "dist-packages", "venv", "env")


def module_place(name: str) -> Tuple[str, str]:
    """(name under which a container imports a module, its file or ""). ``__main__`` is named after its file."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or ""
    if name != "__main__":
        return name, os.path.abspath(file) if file else ""
    spec = getattr(module, "__spec__", None)
    if spec is not None and spec.name and spec.name != "__main__":  # python -m package.module
        return spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name, os.path.abspath(file)
    if not file:
        return "", ""
    return os.path.splitext(os.path.basename(file))[0], os.path.abspath(file)


def automatic(names: List[str]) -> List[Dict[str, Any]]:
    """The files for functions that are defined in modules of these names, with their places below /root."""
    found = _Found()
    for name in names:
        found.add_app(*module_place(name))
    found.add_imported()
    found.add_named()
    return [found.files[remote] for remote in sorted(found.files)]


class _Found:
    """Collects files, by their place in the container."""

    def __init__(self) -> None:
        self.files: Dict[str, Dict[str, Any]] = {}
        self.roots: List[str] = []  # folders that modules are imported from
        self.taken: Set[str] = set()  # top names that came along
        self._unread: List[str] = []  # files whose imports were not looked at
        self._ignores: Dict[str, Callable[[Any], bool]] = {}

    def add_app(self, name: str, file: str) -> None:
        """The module that defines functions."""
        if not file or not file.endswith(".py"):
            return
        parts = name.split(".")
        depth = len(parts) + (os.path.basename(file) == "__init__.py")
        root = file
        for _ in range(depth):
            root = os.path.dirname(root)
        if root not in self.roots:
            self.roots.append(root)
        self.taken.add(parts[0])
        top = os.path.join(root, parts[0])
        if len(parts) > 1 or os.path.basename(file) == "__init__.py":
            self._add_package(root, top)
        self._add_file(root, file, always=True)

    def add_imported(self) -> None:
        """Modules that this program has imported from the same folders."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not file.endswith(".py"):
                continue
            top = name.partition(".")[0]
            if top in self.taken or top == "__main__":
                continue
            file = os.path.abspath(file)
            for root in self.roots:
                if file.startswith(root.rstrip("/") + "/") and _local(file, root) and _is_at(name, file, root):
                    self._add_top(root, top)
                    break

    def add_named(self) -> None:
        """Modules that the files found so far name in imports."""
        while self._unread:
            for name in imports_of(self._unread.pop()):
                if name in self.taken:
                    continue
                for root in self.roots:
                    if self._add_top(root, name):
                        break

    def _add_top(self, root: str, name: str) -> bool:
        """A module or package in one of the roots; whether it is there."""
        path = os.path.join(root, name)
        if os.path.isfile(os.path.join(path, "__init__.py")) or name in sys.modules and os.path.isdir(path):
            self.taken.add(name)
            self._add_package(root, path)
            return True
        if os.path.isfile(path + ".py"):
            self.taken.add(name)
            self._add_file(root, path + ".py")
            return True
        return False

    def _add_package(self, root: str, folder: str) -> None:
        for base, folders, names in os.walk(folder, followlinks=True):
            folders[:] = sorted([f for f in folders if f not in _SKIPPED and not f.startswith(".")])
            if base.count("/") - folder.count("/") > 32 or len(self.files) > _files.MOST:
                folders.clear()  # links in circles
            for name in names:
                if name.endswith(".py"):
                    self._add_file(root, os.path.join(base, name))

    def _add_file(self, root: str, file: str, always: bool = False) -> None:
        relative = os.path.relpath(file, root).replace(os.sep, "/")
        remote = f"/root/{relative}"
        if remote in self.files or not always and self._ignore(root)(relative):
            return
        try:
            self.files[remote] = _files.entry(file, remote)
        except OSError:
            return  # it has gone since it was imported
        self._unread.append(file)

    def _ignore(self, root: str) -> Callable[[Any], bool]:
        ignore = self._ignores.get(root)
        if ignore is None:
            path = os.path.join(root, IGNORE_FILE)
            if os.path.isfile(path):
                from gx.file_pattern_matcher import FilePatternMatcher

                ignore = FilePatternMatcher.from_file(path)
            else:
                ignore = _nothing
            self._ignores[root] = ignore
        return ignore


def module_files(name: str, ignore: Callable[[Any], bool], remote: str = "/root") -> List[Dict[str, Any]]:
    """The files of an importable module or package, for ``add_local_python_source``."""
    from importlib.util import find_spec

    what = f"add_local_python_source({name!r})"
    try:
        spec = find_spec(name)
    except (ImportError, ValueError) as error:
        raise _not_mountable(f"{what}: {error}") from None
    if spec is None:
        raise _not_mountable(f"{what}: there is no module {name!r} here; is its folder on the Python path?")
    place = remote.rstrip("/") + "/" + name.replace(".", "/")
    if spec.submodule_search_locations is not None:
        from gx.file_pattern_matcher import FilePatternMatcher

        skipped = FilePatternMatcher("**/__pycache__")
        files: List[Dict[str, Any]] = []
        for folder in spec.submodule_search_locations:
            files += _files.tree(os.path.abspath(folder), place, lambda path: skipped(path) or ignore(path), what)
        return files
    if not spec.origin or not os.path.isfile(spec.origin):
        raise _not_mountable(f"{what}: the module has no files")
    return _files.one(os.path.abspath(spec.origin), place + os.path.splitext(spec.origin)[1], what)


def _local(file: str, root: str) -> bool:
    """Whether a file under a root is the user's own, and not in an environment that lies there."""
    if is_own(file) or file.startswith((sys.prefix.rstrip("/") + "/lib", sys.base_prefix.rstrip("/") + "/lib")):
        return False
    return not any([part in _SKIPPED for part in file[len(root) :].split("/")])


def _is_at(name: str, file: str, root: str) -> bool:
    """Whether a module's file is where its name says, seen from the root."""
    path = os.path.join(root, *name.split("."))
    return file in (path + ".py", os.path.join(path, "__init__.py"))


def imports_of(file: str) -> Iterator[str]:
    """The top names that a file's import statements, wherever they stand, begin with."""
    try:
        with open(file, encoding="utf-8", errors="replace") as f:
            for line in f:
                words = line.split(None, 2)
                if len(words) < 2 or words[0] not in ("import", "from"):
                    continue
                if words[0] == "from":
                    names = [words[1]]
                else:
                    names = line.split("#")[0].replace("import", "", 1).split(",")
                for name in names:
                    top = name.split()[0].partition(".")[0] if name.split() else ""
                    if top.isidentifier():
                        yield top
    except OSError:
        return


def _nothing(path: Any) -> bool:
    return False


def _not_mountable(message: str) -> Exception:
    from gx.exception import ModuleNotMountable

    return ModuleNotMountable(message)
