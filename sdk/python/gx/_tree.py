"""The files of a local folder, as the manifest lists them (app.File)."""

from __future__ import annotations

import os
import sys
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK

from gx import _files
from gx._ignore import Ignoring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Set, Tuple

MOST = 200_000  # files in one folder


def tree(
    local: str, remote: str, ignore: Optional[Ignoring], what: str, recursive: bool = True, empty: bool = True
) -> List[Dict[str, Any]]:
    """All files of a folder but those that ``ignore`` says, sorted by where they appear.

    Links are followed, wherever they lead. What is neither file nor folder is left out, and the user is told. With
    ``empty`` folders that have nothing in them come along. Raises InvalidError for what can't be listed.
    """
    sys.audit("gx.tree", local)
    if not os.path.isdir(local):
        error = NotADirectoryError("it is no folder") if os.path.exists(local) else FileNotFoundError("there is no such folder")
        raise _files.missing(local, what, error)
    _files.check_name(local, what)
    walk = _Walk(local, remote.rstrip("/"), ignore or Ignoring(), what, recursive)
    walk.run()
    if empty:
        walk.add_empty()
    walk.tell()
    walk.files.sort(key=_remote)
    return walk.files


def _remote(file: Dict[str, Any]) -> str:
    return str(file["remote"])


class _Walk:
    """A walk through a folder."""

    def __init__(self, local: str, remote: str, ignore: Ignoring, what: str, recursive: bool) -> None:
        self.local, self.remote, self.ignore, self.what, self.recursive = local, remote, ignore, what, recursive
        self.files: List[Dict[str, Any]] = []
        self.folders: List[str] = []  # visited, each after the one that it is in; "" is the top
        self.filled: Set[str] = set()  # those with something in them
        self.left_out: List[str] = []

    def run(self) -> None:
        # (folder, path relative to the top, real path, real paths of the folders that it is in)
        todo: List[Tuple[str, str, str, Tuple[str, ...]]] = [(self.local, "", os.path.realpath(self.local), ())]
        while todo:
            folder, relative, real, above = todo.pop()
            self.folders.append(relative)
            try:
                items = list(os.scandir(folder))
            except FileNotFoundError:
                continue  # it has gone meanwhile
            except OSError as error:
                hint = "make it readable, or leave it out with ignore=[...] or in .gxignore"
                raise _files.invalid(f"{self.what}: {folder} can't be listed: {error.strerror}; {hint}") from None
            for item in items:
                self._item(item, relative, real, above, todo)
            if len(self.files) > MOST:
                raise _files.invalid(
                    f"{self.what}: {self.local} has more than {MOST} files; leave some out with ignore=[...] or in .gxignore"
                )

    def _item(self, item: os.DirEntry[str], folder: str, real: str, above: Tuple[str, ...], todo: List[Any]) -> None:
        relative = f"{folder}/{item.name}" if folder else item.name
        linked = item.is_symlink()
        if not linked and item.is_file(follow_symlinks=False):
            if not self.ignore or not self.ignore(relative):
                self._file(item.path, relative, folder)
            return
        try:
            mode = item.stat().st_mode
        except OSError:  # a link to nowhere, or in a circle, or it has gone meanwhile
            if linked and not self.ignore(relative):
                self.left_out.append(f"{item.path} (a link to nowhere)")
            return
        if S_ISDIR(mode):
            if not self.recursive or self.ignore.prunes(relative):
                return
            inner = os.path.realpath(item.path) if linked else f"{real}/{item.name}"
            if linked and (inner == real or inner in above):
                if not self.ignore(relative):
                    self.left_out.append(f"{item.path} (a link to a folder that it is in)")
                return
            _files.check_name(item.path, self.what)
            todo.append((item.path, relative, inner, (*above, real)))
        elif self.ignore(relative):
            return
        elif S_ISREG(mode):
            self._file(item.path, relative, folder)
        else:
            self.left_out.append(f"{item.path} ({_kind(mode)})")

    def _file(self, path: str, relative: str, folder: str) -> None:
        if not relative.isascii():
            _files.check_name(path, self.what)
        self.filled.add(folder)
        # Size and mode are found out together with the hash.
        self.files.append({"remote": f"{self.remote}/{relative}", "local": path})

    def add_empty(self) -> None:
        """Adds folders that have nothing in them, save those that are ignored as such."""
        for relative in reversed(self.folders):
            if relative not in self.filled:
                if relative and self.ignore(relative) or not relative and not self.remote:
                    continue
                self.files.append({"remote": f"{self.remote}/{relative}".rstrip("/"), "dir": True})
            if relative:
                self.filled.add(os.path.dirname(relative))

    def tell(self) -> None:
        """Tells the user what was left out that was not asked for."""
        from gx._notices import notice

        if self.left_out:
            some = sorted(self.left_out)
            more = f" and {len(some) - 3} more" if len(some) > 3 else ""
            notice(f"{self.what}: left out, being no files: {', '.join(map(repr_path, some[:3]))}{more}")
        if self.ignore.used:
            notice(f"{self.what}: {self.ignore.used} leaves out files of {self.local}; ignore=[] takes all, .gxignore is without this notice")


def repr_path(text: str) -> str:
    """A path that may have anything in it, for a line of text."""
    return text if text.isprintable() else ascii(text)


def _kind(mode: int) -> str:
    for test, name in ((S_ISSOCK, "a socket"), (S_ISFIFO, "a pipe"), (S_ISCHR, "a device"), (S_ISBLK, "a device")):
        if test(mode):
            return name
    return "no regular file"
