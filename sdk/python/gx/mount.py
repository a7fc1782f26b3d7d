"""Sets of local files, as older programs declare them; images carry them now."""

from __future__ import annotations

import os

from gx import _files
from gx._notices import older

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple


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
        remote = _files.remote_path(remote_path, "Mount.add_local_file", os.path.basename(local))
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
        local = _files.local_path(local_path, "Mount.add_local_dir")
        remote = _files.remote_path(remote_path, "Mount.add_local_dir", os.path.basename(local) or "/root")

        def ignore(path: Any) -> bool:
            return condition is not None and not condition(os.path.join(local, str(path)))

        return Mount((*self._entries, lambda: _files.tree(local, remote, ignore, "Mount.add_local_dir", recursive)))

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
        from gx._sources import module_files
        from gx.file_pattern_matcher import NON_PYTHON_FILES

        remote = _files.remote_path(remote_dir, "Mount.from_local_python_packages")
        return Mount((lambda: [file for name in module_names for file in module_files(name, NON_PYTHON_FILES, remote)],))

    @staticmethod
    def from_name(name: str, **_: Any) -> NoReturn:
        """Planned: files that the host keeps."""
        from gx._planned import planned

        planned("gx.Mount.from_name")

    def _list(self) -> List[Dict[str, Any]]:
        """The files, as the manifest has them."""
        return [file for entry in self._entries for file in entry()]
