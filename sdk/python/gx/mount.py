"""Sets of local files, as older programs declare them; images carry them now."""

from __future__ import annotations

import os

from gx import _files
from gx._notices import older

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple


class Mount:
    """Local files and where they appear in a container. Each method returns a new Mount."""

    def __init__(self, _entries: Tuple[Callable[[], List[Dict[str, Any]]], ...] = ()) -> None:
        self._entries = _entries

    def __repr__(self) -> str:
        return f"gx.Mount({len(self._entries)} entries)"

    def is_local(self) -> bool:
        """Always True: the files are on this machine."""
        return True

    def add_local_file(self, local_path: Any, remote_path: Any = None) -> Mount:
        """Adds a file; by default it appears under its name in /root."""
        local = _files.local_path(local_path, "Mount.add_local_file")
        remote = _files.destination(remote_path, "Mount.add_local_file", os.path.basename(local))
        if remote.endswith("/"):
            remote += os.path.basename(local)
        return Mount((*self._entries, lambda: _files.one(local, remote, "Mount.add_local_file")))

    def add_local_dir(
        self,
        local_path: Any,
        *,
        remote_path: Any = None,
        condition: Optional[Callable[[str], bool]] = None,
        recursive: bool = True,
    ) -> Mount:
        """Adds a folder's files, those for which ``condition(path)`` is true; by default under the folder's name in /root."""
        what = "Mount.add_local_dir"
        local = _files.local_path(local_path, what)
        remote = _files.destination(remote_path, what, os.path.basename(local) or "/root")

        def files() -> List[Dict[str, Any]]:
            from gx._ignore import Ignore
            from gx._tree import tree

            def ignore(path: Any) -> bool:
                return condition is not None and not condition(os.path.join(local, str(path)))

            return tree(local, remote, Ignore(ignore).of(local), what, recursive, empty=False)

        return Mount((*self._entries, files))

    @staticmethod
    def from_local_file(local_path: Any, remote_path: Any = None) -> Mount:
        """The older way to ``Image.add_local_file``."""
        older("Mount.from_local_file", "Image.add_local_file")
        return Mount().add_local_file(local_path, remote_path)

    @staticmethod
    def from_local_dir(
        local_path: Any,
        *,
        remote_path: Any = None,
        condition: Optional[Callable[[str], bool]] = None,
        recursive: bool = True,
    ) -> Mount:
        """The older way to ``Image.add_local_dir``."""
        older("Mount.from_local_dir", "Image.add_local_dir")
        return Mount().add_local_dir(local_path, remote_path=remote_path, condition=condition, recursive=recursive)

    @staticmethod
    def from_local_python_packages(*module_names: str, remote_dir: Any = "/root", **_: Any) -> Mount:
        """The older way to ``Image.add_local_python_source``."""
        older("Mount.from_local_python_packages", "Image.add_local_python_source")
        from gx._recipe import words

        names = words("Mount.from_local_python_packages", module_names, "modules")
        remote = _files.destination(remote_dir, "Mount.from_local_python_packages")

        def files() -> List[Dict[str, Any]]:
            from gx._sources import module_files

            return [file for name in names for file in module_files(name, None, remote)]

        return Mount((files,))

    @staticmethod
    def from_name(name: str, *, namespace: Any = None, **_: Any) -> Mount:
        """A mount that was deployed under a name. No host keeps any: using it raises NotFoundError, which says what to do."""
        older("Mount.from_name", "Image.add_local_dir")
        return _Named((), name)

    def _list(self) -> List[Dict[str, Any]]:
        """The files, as the manifest has them."""
        return [file for entry in self._entries for file in entry()]


class _Named(Mount):
    """A mount that nobody has deployed: there is no way to."""

    def __init__(self, _entries: Any, name: str) -> None:
        super().__init__(_entries)
        self._name = name

    def is_local(self) -> bool:
        """Always False: only its name is known here."""
        return False

    def _list(self) -> List[Dict[str, Any]]:
        from gx.exception import NotFoundError

        raise NotFoundError(
            f"there is no mount {self._name!r}: hosts keep no mounts under names; add the files to the image, "
            "by Image.add_local_dir, or keep them in a Volume"
        )
