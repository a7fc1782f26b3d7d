"""Local files, as the manifest lists them (app.File), and paths in the container."""

from __future__ import annotations

import os
import sys
from stat import S_ISDIR, S_ISREG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

    Files = Callable[[], List[Dict[str, Any]]]

_NOT_THE_IMAGES = ("/proc", "/sys", "/dev", "/__gx")


def entry(local: str, remote: str, info: Optional[os.stat_result] = None) -> Dict[str, Any]:
    """One file. Raises OSError if it is not there, InvalidError if it is no file."""
    info = info or os.stat(local)
    if not S_ISREG(info.st_mode):
        raise invalid(f"{local} is {'a folder' if S_ISDIR(info.st_mode) else 'not a regular file'}, where a file is needed")
    return {"remote": remote, "local": local, "size": info.st_size, "mode": info.st_mode & 0o777}


def one(local: str, remote: str, what: str) -> List[Dict[str, Any]]:
    """A single file that must be there; ``what`` says who wants it."""
    sys.audit("gx.input", local)
    check_name(local, what)
    try:
        return [entry(local, remote)]
    except OSError as error:
        raise missing(local, what, error) from None


def remote_path(path: Any, what: str, default: str = "", base: str = "/root") -> str:
    """A path in the container, as an absolute one; a relative one is below ``base``. A slash at its end stays."""
    text: Any = os.fspath(path) if path is not None else default
    if not isinstance(text, str) or "\0" in text or not text:
        raise invalid(f"{what}: {path!r} is no path in the container")
    import posixpath

    folder = text.endswith("/")
    text = posixpath.normpath(posixpath.join(base, text))
    return str(text).replace("//", "/") + ("/" if folder and text != "/" else "")


def destination(path: Any, what: str, default: str = "", base: str = "/root") -> str:
    """Where local files appear in the container. Raises InvalidError for what leads up, or is not the image's."""
    text = remote_path(path, what, default, base)
    if path is not None and ".." in os.fspath(path).split("/"):
        raise invalid(f"{what}: the remote path {os.fspath(path)!r} has '..' in it; write where the files are to be: {text!r}")
    check_name(text, what)
    for folder in _NOT_THE_IMAGES:
        if text.rstrip("/") == folder or text.startswith(folder + "/"):
            raise invalid(f"{what}: {text} can't be a remote path: {folder} is not part of the image")
    return text


def local_path(path: Any, what: str) -> str:
    """A local path as an absolute one, as seen from the working directory."""
    try:
        text = os.path.abspath(os.path.expanduser(os.fspath(path)))
    except (TypeError, ValueError):
        raise invalid(f"{what}: a local path is a string or a Path, not a {type(path).__name__}") from None
    if not isinstance(text, str) or "\0" in text:
        raise invalid(f"{what}: {path!r} is no local path")
    return text


def check_name(path: str, what: str) -> None:
    """Raises InvalidError for a name that is not UTF-8: it could not be the same in the container."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        hint = "rename it, or leave it out with ignore=[...] or in .gxignore"
        raise invalid(f"{what}: the name of {os.fsencode(path)!r} is not UTF-8; {hint}") from None


def read_text(path: str, what: str) -> str:
    """The text of a local file that must be there."""
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except (OSError, UnicodeDecodeError) as error:
        raise missing(path, what, error) from None


def missing(path: str, what: str, error: Exception) -> Exception:
    """InvalidError about a path that can't be read."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return invalid(f"{what}: {path} can't be read: {why}")


def invalid(message: str) -> Exception:
    """InvalidError with this message."""
    from gx.exception import InvalidError

    return InvalidError(message)
