"""Files in volumes: how the host is asked for them, and what it tells of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


PIECE = 8 << 20
"""The most bytes of a file's content in one question."""


class FileEntryType:
    """What a FileEntry is; the numbers are Modal's."""

    UNSPECIFIED = 0
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    FIFO = 4
    SOCKET = 5


_TYPES = {"file": 1, "directory": 2, "symlink": 3, "fifo": 4, "socket": 5}


class FileEntry:
    """A file or directory of a volume.

    ``path`` is without a slash before it, ``type`` is one of FileEntryType,
    ``mtime`` in whole seconds since 1970, ``size`` in bytes (0 if it is no file).
    """

    __slots__ = ("path", "type", "mtime", "size", "mode", "target")

    def __init__(self, path: str, type: int, mtime: int, size: int, mode: int = 0, target: str = "") -> None:
        self.path = path
        self.type = type
        self.mtime = mtime
        self.size = size
        self.mode = mode  # permission bits
        self.target = target  # of a symlink

    def __repr__(self) -> str:
        return f"FileEntry(path={self.path!r}, type={self.type}, mtime={self.mtime}, size={self.size})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileEntry) and all([getattr(self, n) == getattr(other, n) for n in self.__slots__])

    def __hash__(self) -> int:
        return hash((self.path, self.type, self.mtime, self.size))


def entry(e: Mapping[str, Any]) -> FileEntry:
    """An entry as the host tells of it."""
    kind = _TYPES.get(str(e["type"]), FileEntryType.UNSPECIFIED)
    return FileEntry(str(e["path"]), kind, int(e["mtime"]), int(e["size"]), int(e.get("mode") or 0), str(e.get("target") or ""))


def folder(sub_path: Any) -> str:
    """``sub_path`` without what says nothing. Raises InvalidError if it leads out of the volume."""
    from gx.exception import InvalidError

    parts = [p for p in str(sub_path).split("/") if p not in ("", ".")]
    if ".." in parts or "\0" in str(sub_path):
        raise InvalidError(f"sub_path={str(sub_path)!r} leads out of the volume")
    return "/".join(parts)


def path(path: Any) -> str:
    """A path of a volume as it is asked for; the host checks it."""
    text = path.as_posix() if hasattr(path, "as_posix") else path
    if not isinstance(text, str):
        from gx.exception import InvalidError

        raise InvalidError(f"a path in a volume is a str, not a {type(path).__name__}")
    return text


def advance(path: str, offset: int, size: int, data: Any) -> int:
    """The offset after ``data``, the next piece of a file. Raises DataLossError if there is none before the file's end."""
    if not len(data) and offset < size:
        from gx.exception import DataLossError

        raise DataLossError(f"{path!r} ended after {offset} of {size} bytes")
    return offset + len(data)


def missing(error: BaseException) -> BaseException:
    """The same error, as one of the built-in kinds too where it is about a path."""
    from gx import exception

    if type(error) is exception.NotFoundError:
        return exception.VolumeFileNotFoundError(str(error))
    if type(error) is exception.AlreadyExistsError:
        return exception.VolumeFileExistsError(str(error))
    return error
