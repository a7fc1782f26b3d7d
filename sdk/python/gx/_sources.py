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

    from gx._ignore import Ignore

_MOST = 200_000  # files
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
        self.roots: List[str] = []  # folders that the app's modules are imported from
        self.taken: Set[str] = set()  # top names that came along
        self._others: List[str] = []  # further folders with modules of the user's own
        self._unread: List[str] = []  # files whose imports were not looked at
        self._ignores: Dict[str, Callable[[str], bool]] = {}

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
        """Modules that the files found so far name in imports: from the same folders, and from others on the Python path."""
        self._others = [folder for folder in _search_path() if folder not in self.roots]
        while self._unread:
            for name in imports_of(self._unread.pop()):
                if name not in self.taken and not any([self._add_top(root, name) for root in self.roots]):
                    self._add_other(name)

    def _add_other(self, name: str) -> None:
        """A module from elsewhere, if it is the user's own: a ``src`` folder, PYTHONPATH, an editable installation."""
        module = sys.modules.get(name)
        if module is None:
            for folder in self._others:
                if self._add_top(folder, name):
                    return
            return
        file = getattr(module, "__file__", None)
        if not isinstance(file, str):
            folders = list(getattr(module, "__path__", ()))
            if not folders:
                return  # built in
            file = os.path.join(folders[0], "__init__.py")  # of a namespace package, which has none
        file = os.path.abspath(file)
        root = os.path.dirname(os.path.dirname(file) if os.path.basename(file) == "__init__.py" else file)
        if _local(file, "") and _is_at(name, file, root):
            self._add_top(root, name)

    def _add_top(self, root: str, name: str) -> bool:
        """A module or package in a folder; whether it is there."""
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
            if base.count("/") - folder.count("/") > 32 or len(self.files) > _MOST:
                folders.clear()  # links in circles
            for name in names:
                if name.endswith(".py"):
                    self._add_file(root, os.path.join(base, name))

    def _add_file(self, root: str, file: str, always: bool = False) -> None:
        relative = os.path.relpath(file, root).replace(os.sep, "/")
        remote = f"/root/{relative}"
        if remote in self.files or not always and self._ignore(root)(relative):
            return
        _files.check_name(file, "the app's own source")
        try:
            self.files[remote] = _files.entry(file, remote)
        except OSError:
            return  # it has gone since it was imported
        self._unread.append(file)

    def _ignore(self, root: str) -> Callable[[str], bool]:
        ignore = self._ignores.get(root)
        if ignore is None:
            from gx._ignore import Ignore

            ignore = self._ignores[root] = Ignore([]).of(root)
        return ignore


def module_files(name: str, ignore: Optional[Ignore], remote: str = "/root") -> List[Dict[str, Any]]:
    """The files of an importable module or package, for ``add_local_python_source``; of a package only Python files without ``ignore``."""
    from importlib.util import find_spec

    what = f"add_local_python_source({name!r})"
    try:
        spec = find_spec(name)
    except Exception as error:  # what the name is in is imported
        raise _not_mountable(f"{what}: {type(error).__name__}: {error}") from None
    if spec is None:
        raise _not_mountable(f"{what}: there is no module {name!r} here; is its folder on the Python path?")
    place = remote.rstrip("/") + "/" + name.replace(".", "/")
    if spec.submodule_search_locations is not None:
        from gx._tree import tree

        if ignore is None:
            from gx._ignore import Ignore
            from gx.file_pattern_matcher import NON_PYTHON_FILES

            ignore = Ignore(NON_PYTHON_FILES)
        files: List[Dict[str, Any]] = []
        for folder in map(os.path.abspath, spec.submodule_search_locations):
            files += [file for file in tree(folder, place, ignore.of(folder), what) if "__pycache__" not in str(file["remote"]).split("/")]
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


def _search_path() -> List[str]:
    """Folders on the Python path that are neither Python's own nor for installed packages."""
    folders = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str) and not entry.endswith(".zip")]
    return [folder for folder in folders if _local(folder + "/", "")]


def _not_mountable(message: str) -> Exception:
    from gx.exception import ModuleNotMountable

    return ModuleNotMountable(message)
