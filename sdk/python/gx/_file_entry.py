"""What a volume's listing is made of."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


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
