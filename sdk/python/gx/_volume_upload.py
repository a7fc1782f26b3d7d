"""Putting local files into a volume: Volume.batch_upload."""

from __future__ import annotations

import os

from gx import _file_entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Set, Tuple, Union

    from gx.volume import Volume

_AT_ONCE = 4  # files that are sent at the same time
_ASKED = 10_000  # hashes in one question
_EDITS = 50_000  # changes in one version


class BatchUpload:
    """The block of ``Volume.batch_upload()``. If it raises, nothing is uploaded."""

    def __init__(self, volume: Volume, force: bool) -> None:
        self._volume = volume
        self._force = force
        self._edits: List[Dict[str, Any]] = []
        self._files: List[Tuple[Dict[str, Any], Callable[[], Any], str]] = []  # the edit, what opens the content, its path; "": an object
        self._taken: Set[str] = set()

    def put_file(self, local_file: Union[str, os.PathLike, BinaryIO], remote_path: Any, mode: Optional[int] = None) -> None:
        """Adds a file: a path, or an object that is read from where it stands.

        A ``remote_path`` that ends with a slash is a folder, in which the file has its own name. ``mode`` are the
        permission bits; default: the file's, 0o644 for an object.
        """
        from gx.exception import InvalidError

        target = _target(remote_path)
        if hasattr(local_file, "read"):
            if target.endswith("/"):
                raise InvalidError(f"an object has no name for the folder {target!r}: give the file's whole path")
            file: Any = local_file
            if not hasattr(file, "seek") or not hasattr(file, "tell"):
                raise InvalidError("an object that is uploaded can seek: it is read for its hash first")
            start = file.tell()
            if isinstance(file.read(0), str):
                raise InvalidError("an object that is uploaded gives bytes: open it as binary")

            def again() -> Any:
                file.seek(start)
                return _Kept(file)

            self._add(target, again, "", 0o644 if mode is None else mode)
            return
        path = os.fspath(local_file)
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if target.endswith("/"):
            target += os.path.basename(path)
        if os.path.isdir(path):
            raise InvalidError(f"{path!r} is a folder: put_directory takes those")
        self._add_path(path, target, mode)

    def put_directory(self, local_path: Union[str, os.PathLike], remote_path: Any, recursive: bool = True) -> None:
        """Adds the files of a folder, and with ``recursive`` those of the folders below, with their modes.

        Links are followed; links that go round in a circle are left out. Empty folders come along.
        """
        from gx.exception import InvalidError

        root = os.fspath(local_path)
        if not os.path.isdir(root):
            if not os.path.exists(root):
                raise FileNotFoundError(2, "there is no such folder", root)
            raise InvalidError(f"{root!r} is no folder: put_file takes files")
        target = _target(remote_path).rstrip("/")
        for path, relative, folder in _walk(root, recursive):
            to = f"{target}/{relative}" if relative else target
            if folder:
                if to:
                    self._edits.append({"op": "mkdir", "path": to, "mode": os.stat(path).st_mode & 0o777})
            else:
                self._add_path(path, to, None)

    def _add_path(self, path: str, target: str, mode: Optional[int]) -> None:
        info = os.stat(path)  # a missing file is told now, where the line is
        self._add(target, lambda: open(path, "rb"), path, info.st_mode & 0o777 if mode is None else mode)

    def _add(self, target: str, opener: Callable[[], Any], name: str, mode: int) -> None:
        from gx.exception import VolumeFileExistsError

        if target in self._taken and not self._force:
            raise VolumeFileExistsError(f"{target!r} is put twice in one batch_upload")
        self._taken.add(target)
        edit = {"op": "put", "path": target, "mode": mode & 0o777}
        self._edits.append(edit)
        self._files.append((edit, opener, name))

    def __enter__(self) -> BatchUpload:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            self._finish()

    async def __aenter__(self) -> BatchUpload:
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            from gx._dual import in_thread

            await in_thread(self._finish)()

    def _finish(self) -> None:
        from gx._questions import run

        if not self._edits:
            return
        run(self._volume._id())  # a volume that is not there is told before anything is sent
        contents: Dict[str, Tuple[Callable[[], Any], str, int]] = {}
        for edit, opener, name in self._files:
            edit["sha256"], size = _hash(opener)
            contents.setdefault(edit["sha256"], (opener, name, size))
        missing, partial = _lacking(list(contents))
        self._send([(sha, contents[sha], partial.get(sha, 0)) for sha in missing])
        for at in range(0, len(self._edits), _EDITS):
            run(self._volume._edit(self._edits[at : at + _EDITS], self._force))

    @staticmethod
    def _send(todo: List[Tuple[str, Tuple[Callable[[], Any], str, int], int]]) -> None:
        """Sends contents, files several at a time; the user's objects, of which two may be one, by one thread."""
        files = [job for job in todo if job[1][1]]
        for sha, content, offset in todo:
            if not content[1] or len(files) < 2:
                _upload(sha, content, offset)
        if len(files) < 2:
            return
        from concurrent.futures import ThreadPoolExecutor
        from contextvars import copy_context

        with ThreadPoolExecutor(_AT_ONCE, "gx-upload") as pool:
            jobs = [pool.submit(copy_context().run, _upload, sha, content, offset) for sha, content, offset in files]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise


class _Kept:
    """The user's own object, which is not closed."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int) -> Any:
        return self._file.read(size)

    def seek(self, offset: int) -> None:
        self._file.seek(self._file.tell() + offset)

    def __enter__(self) -> _Kept:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _hash(opener: Callable[[], Any]) -> Tuple[str, int]:
    """The SHA-256 of a content, and its size in bytes."""
    from hashlib import sha256

    digest, size = sha256(), 0
    with opener() as file:
        while True:
            data = file.read(1 << 20)
            if not data:
                return digest.hexdigest(), size
            digest.update(data)
            size += len(data)


def _lacking(hashes: List[str]) -> Tuple[List[str], Dict[str, int]]:
    """The contents that the host lacks, and how many bytes it has of some of those."""
    from gx._ask import ask

    missing: List[str] = []
    partial: Dict[str, int] = {}
    for at in range(0, len(hashes), _ASKED):
        result, _ = ask("volume.have", sha256=hashes[at : at + _ASKED])
        missing += result.get("missing") or []
        partial.update(result.get("partial") or {})
    return missing, partial


def _upload(sha: str, content: Tuple[Callable[[], Any], str, int], offset: int) -> None:
    """Sends a content from an offset on, in pieces."""
    from gx._ask import ask
    from gx.exception import DataLossError

    opener, name, size = content
    with opener() as file:
        if offset:
            file.seek(offset)
        while True:
            data = file.read(min(_file_entry.PIECE, size - offset)) if offset < size else b""
            if not data and offset < size:
                raise DataLossError(f"{name or 'an object'} became shorter while it was uploaded")
            result, _ = ask("volume.upload", data, sha256=sha, size=size, offset=offset)
            offset += len(data)
            if offset >= size or int(result.get("received") or 0) >= size:
                return


def _walk(root: str, recursive: bool) -> Iterator[Tuple[str, str, bool]]:
    """(path, path within the root, whether it is an empty folder) of what is in a folder, in the order of names."""
    seen = {(os.stat(root).st_dev, os.stat(root).st_ino)}

    def look(folder: str, relative: str, above: set) -> Iterator[Tuple[str, str, bool]]:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
        if not entries:
            yield folder, relative, True
        for entry in entries:
            name = f"{relative}/{entry.name}" if relative else entry.name
            if entry.is_dir():
                info = os.stat(entry.path)
                key = (info.st_dev, info.st_ino)
                if recursive and key not in above:
                    yield from look(entry.path, name, above | {key})
            elif entry.is_file():
                yield entry.path, name, False

    return look(root, "", seen)


def _target(remote_path: Any) -> str:
    text = _file_entry.path(remote_path)
    return text if text.startswith("/") else "/" + text
