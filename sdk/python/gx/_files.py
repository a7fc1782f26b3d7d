"""Local files, as the manifest lists them (app.File)."""

from __future__ import annotations

import os
import sys
from stat import S_ISDIR, S_ISREG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

    Files = Callable[[], List[Dict[str, Any]]]

MOST = 200_000  # files in one folder that is copied


def entry(local: str, remote: str, info: Optional[os.stat_result] = None) -> Dict[str, Any]:
    """One file. Raises OSError if it is not there, InvalidError if it is no file."""
    info = info or os.stat(local)
    if not S_ISREG(info.st_mode):
        raise _invalid(f"{local} is {'a folder' if S_ISDIR(info.st_mode) else 'not a regular file'}, where a file is needed")
    return {"remote": remote, "local": local, "size": info.st_size, "mode": info.st_mode & 0o777}


def one(local: str, remote: str, what: str) -> List[Dict[str, Any]]:
    """A single file that must be there; ``what`` says who wants it."""
    sys.audit("gx.input", local)
    try:
        return [entry(local, remote)]
    except OSError as error:
        raise _missing(local, what, error) from None


def tree(local: str, remote: str, ignore: Callable[[Any], bool], what: str, recursive: bool = True) -> List[Dict[str, Any]]:
    """All files of a folder but those that ``ignore``, given a path relative to it, matches; sorted."""
    from pathlib import PurePosixPath

    sys.audit("gx.tree", local)
    if not os.path.isdir(local):
        error = NotADirectoryError("it is no folder") if os.path.exists(local) else FileNotFoundError("there is no such folder")
        raise _missing(local, what, error)
    remote = remote.rstrip("/")
    prune = getattr(ignore, "can_prune", lambda: False)()
    files: List[Dict[str, Any]] = []
    for path, relative, info in _walk(local, "", recursive, ignore if prune else None, [os.path.realpath(local)]):
        if ignore(PurePosixPath(relative)):
            continue
        files.append(entry(path, f"{remote}/{relative}", info))
        if len(files) > MOST:
            raise _invalid(f"{what}: {local} has more than {MOST} files; leave some out with ignore=[...]")
    return sorted(files, key=lambda file: str(file["remote"]))


def _walk(
    folder: str, relative: str, recursive: bool, prune: Optional[Callable[[Any], bool]], above: List[str]
) -> Iterator[Tuple[str, str, os.stat_result]]:
    """Files below a folder: (path, path relative to the top, what stat says). Links are followed, but not in circles."""
    with os.scandir(folder) as items:
        for item in sorted(items, key=lambda item: item.name):
            below = f"{relative}{item.name}"
            if prune is not None and prune(below):
                continue
            try:
                info = item.stat()
            except OSError:
                continue  # a link to nowhere
            if S_ISREG(info.st_mode):
                yield item.path, below, info
            elif S_ISDIR(info.st_mode) and recursive:
                real = os.path.realpath(item.path) if item.is_symlink() else item.path
                if real not in above:
                    yield from _walk(item.path, below + "/", True, prune, [*above, real])


def remote_path(path: Any, what: str, default: str = "") -> str:
    """A path in the container, as an absolute one; a relative one is below /root."""
    text: Any = os.fspath(path) if path is not None else default
    if not isinstance(text, str) or "\0" in text or not text:
        raise _invalid(f"{what}: {path!r} is no path in the container")
    import posixpath

    folder = text.endswith("/")
    text = posixpath.normpath(posixpath.join("/root", text))
    return str(text).replace("//", "/") + ("/" if folder and text != "/" else "")


def local_path(path: Any, what: str) -> str:
    """A local path as an absolute one, as seen from the working directory."""
    try:
        return str(os.path.abspath(os.path.expanduser(os.fspath(path))))
    except TypeError:
        raise _invalid(f"{what}: a local path is a string or a Path, not a {type(path).__name__}") from None


def read_text(path: str, what: str) -> str:
    """The text of a local file that must be there."""
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except (OSError, UnicodeDecodeError) as error:
        raise _missing(path, what, error) from None


def _missing(path: str, what: str, error: Exception) -> Exception:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _invalid(f"{what}: {path} can't be read: {why}")


def _invalid(message: str) -> Exception:
    from gx.exception import InvalidError

    return InvalidError(message)
