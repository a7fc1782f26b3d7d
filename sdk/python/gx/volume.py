"""Named, versioned folders that functions share."""

from __future__ import annotations

from gx import _environment, _file_entry
from gx._dual import Dual, StaticDual
from gx._file_entry import FileEntry, FileEntryType, entry
from gx._questions import asking, question, run, run_aio
from gx._stored import Manager, Stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, BinaryIO, Callable, ClassVar, Dict, Iterator, List, Mapping, Optional, Sequence

    from gx._questions import Steps
    from gx._volume_upload import BatchUpload

class _Volumes(Manager):
    """``gx.Volume.objects``."""

    def _create(
        self,
        name: str,
        *,
        version: Any = None,
        allow_existing: bool = False,
        environment_name: Optional[str] = None,
        client: Any = None,
    ) -> Steps:
        """Makes a volume. Raises AlreadyExistsError unless ``allow_existing``, InvalidError for what is no name."""
        yield from super()._create(name, allow_existing=allow_existing, environment_name=environment_name)

    def _list(
        self, *, max_objects: Optional[int] = None, created_before: Any = None, environment_name: Optional[str] = None, client: Any = None
    ) -> Steps:
        """The volumes that have names, the newest first; at most ``max_objects``, made before ``created_before`` (a datetime, or its text)."""
        from gx._stored import _seconds
        from gx.exception import InvalidError

        if max_objects is not None and max_objects < 0:
            raise InvalidError(f"max_objects={max_objects}: it is a number of objects")
        result, _ = yield question("volume.list", environment=_environment.current(environment_name))
        before = _seconds(created_before)
        found = [v for v in result["volumes"] or () if not before or float(v["created_at"]) < before]
        found.sort(key=lambda v: -float(v["created_at"]))
        return [Volume(str(v["name"]), environment_name, False, str(v["id"])) for v in found[:max_objects]]

    create = asking(_create)
    list = asking(_list)


class Volume(Stored):
    """A named folder that the host keeps, in versions.

    ``volumes={"/data": Volume.from_name("data")}`` shows it to a function. A
    container sees the volume as it was last committed when the container
    started, and what it writes itself; ``commit()`` makes that the newest
    version for all, which a container's normal end does too. ``reload()`` shows
    a container what others have committed since. Where two have written the
    same file, the one who commits last wins.

    Methods raise NotFoundError (a FileNotFoundError too, where a path is
    meant), InvalidError, ConnectionError.
    """

    _kind = "volume"
    _prefix = "vo"
    _read_only = False
    _sub_path = ""
    objects: ClassVar[Manager]

    @staticmethod
    def from_name(
        name: str,
        *,
        create_if_missing: bool = False,
        version: Any = None,
        create_options: Any = None,
        environment_name: Optional[str] = None,
        namespace: Any = None,
        client: Any = None,
    ) -> Volume:
        """The volume of this name, which is looked up when it is first used.

        With ``create_if_missing`` it is made then if there is none. ``version``
        (of Modal's file systems) has no effect: there is one kind of volume.
        """
        return Volume._named(name, environment_name, create_if_missing)  # type: ignore[no-any-return]

    @staticmethod
    def lookup(name: str, *, create_if_missing: bool = False, environment_name: Optional[str] = None, **_: Any) -> Volume:
        """The older name of from_name, which looks it up at once."""
        from gx._notices import older

        older("Volume.lookup", "Volume.from_name")
        found: Volume = Volume._named(name, environment_name, create_if_missing)
        run(found._id())
        return found

    @staticmethod
    def persisted(name: str, environment_name: Optional[str] = None, **_: Any) -> Volume:
        """The oldest name of ``from_name(name, create_if_missing=True)``."""
        from gx._notices import older

        older("Volume.persisted", "Volume.from_name(create_if_missing=True)")
        return Volume._named(name, environment_name, True)  # type: ignore[no-any-return]

    @staticmethod
    def from_id(volume_id: str, client: Any = None) -> Volume:
        """The volume with this id. Whether it exists is found out when it is used."""
        return Volume._by_id(volume_id)  # type: ignore[no-any-return]

    @staticmethod
    def _ephemeral(
        version: Any = None, create_options: Any = None, environment_name: Optional[str] = None, client: Any = None
    ) -> _Ephemeral:
        """A volume without a name, for a block: ``with Volume.ephemeral() as v``, or ``async with``."""
        return _Ephemeral()

    ephemeral = StaticDual(_ephemeral.__func__, _ephemeral.__func__)  # type: ignore[attr-defined]

    def _id(self) -> Steps:
        if not self._found:
            environment = _environment.current(self._environment)
            result, _ = yield question(
                "volume.get", environment=environment, name=self._name, create_if_missing=self._create
            )
            self._found = str(result["id"])
        return self._found

    def __reduce__(self) -> Any:
        rebuild, args = super().__reduce__()
        return _restore, (rebuild, args, self._read_only, self._sub_path)

    def _hydrate(self, client: Any = None) -> Volume:
        """Looks the volume up now, which otherwise its first use does."""
        run(self._id())
        return self

    hydrate = Dual(_hydrate)

    # -- how containers see it --

    def read_only(self) -> Volume:
        """The same volume, mounted so that it cannot be written."""
        return self.with_mount_options(read_only=True)

    def with_mount_options(self, *, read_only: Optional[bool] = None, sub_path: Any = None) -> Volume:
        """The same volume, mounted otherwise: ``read_only``, or only its folder ``sub_path``."""
        other = Volume(self._name, self._environment, self._create, self._found)
        other._read_only = self._read_only if read_only is None else bool(read_only)
        other._sub_path = self._sub_path if sub_path is None else _file_entry.folder(sub_path)
        return other

    def _commit(self) -> Steps:
        """Makes what this container has written the volume's newest version: all of it at once, or nothing.

        Raises InvalidError outside of containers, and where it is mounted read-only.
        """
        yield question("volume.commit", id=(yield from self._id()))

    def _reload(self) -> Steps:
        """Shows this container what has been committed since it started; its own uncommitted files stay.

        Raises RuntimeError (VolumeBusyError) that names files of the volume that are open.
        """
        from gx.exception import ConflictError, VolumeBusyError

        try:
            yield question("volume.reload", id=(yield from self._id()))
        except ConflictError as error:
            raise VolumeBusyError(str(error)) from None

    commit = asking(_commit)
    reload = asking(_reload)

    # -- its files, from anywhere --

    def _iterdir(self, path: str, *, recursive: bool = True) -> Iterator[FileEntry]:
        """The entries of a folder of the newest version, and with ``recursive`` those below; or of a file, itself."""
        after: Any = ""
        while after is not None:
            entries, after = run(self._page(path, recursive, after))
            yield from entries

    async def _iterdir_aio(self, path: str, *, recursive: bool = True) -> AsyncIterator[FileEntry]:
        """As iterdir."""
        after: Any = ""
        while after is not None:
            entries, after = await run_aio(self._page(path, recursive, after))
            for entry in entries:
                yield entry

    iterdir = Dual(_iterdir, _iterdir_aio)

    def _page(self, path: str, recursive: bool, after: str) -> Steps:
        id = yield from self._id()
        try:
            result, _ = yield question("volume.ls", id=id, path=_file_entry.path(path), recursive=bool(recursive), after=after)
        except Exception as error:
            raise _file_entry.missing(error) from None
        return [entry(e) for e in result["entries"] or ()], str(result.get("next") or "") or None

    def _listdir(self, path: str, *, recursive: bool = False) -> Steps:
        """The entries of a folder of the newest version, as a list; with ``recursive`` those below too."""
        found: List[FileEntry] = []
        after: Any = ""
        while after is not None:
            entries, after = yield from self._page(path, recursive, after)
            found += entries
        return found

    listdir = asking(_listdir)

    def _piece(self, path: str, offset: int, version: Any) -> Steps:
        id = yield from self._id()
        try:
            result, data = yield question(
                "volume.read", id=id, path=_file_entry.path(path), offset=offset, length=_file_entry.PIECE, version=version
            )
        except Exception as error:
            raise _file_entry.missing(error) from None
        return int(result["size"]), result["version"], data

    def _read_file(self, path: str) -> Iterator[bytes]:
        """The content of a file of the newest version, in pieces of at most 8 MiB. Raises FileNotFoundError."""
        offset, size, version = 0, 1, None
        while offset < size:
            size, version, data = run(self._piece(path, offset, version))
            offset = _file_entry.advance(path, offset, size, data)
            if len(data):
                yield bytes(data)

    async def _read_file_aio(self, path: str) -> AsyncIterator[bytes]:
        """As read_file."""
        offset, size, version = 0, 1, None
        while offset < size:
            size, version, data = await run_aio(self._piece(path, offset, version))
            offset = _file_entry.advance(path, offset, size, data)
            if len(data):
                yield bytes(data)

    read_file = Dual(_read_file, _read_file_aio)

    def _read_file_into_fileobj(self, path: str, fileobj: BinaryIO, progress_cb: Optional[Callable[..., Any]] = None) -> int:
        """Writes the content of a file into ``fileobj`` and returns its size in bytes.

        ``progress_cb`` is called with ``advance=`` the bytes of each piece. Raises FileNotFoundError.
        """
        total = 0
        for data in self.read_file(path):
            fileobj.write(data)
            total += len(data)
            if progress_cb is not None:
                progress_cb(advance=len(data))
        return total

    read_file_into_fileobj = Dual(_read_file_into_fileobj)

    def _remove_file(self, path: str, recursive: bool = False) -> Steps:
        """Removes a file, or with ``recursive`` a folder and all in it. Raises FileNotFoundError."""
        yield from self._edit([{"op": "remove", "path": _file_entry.path(path), "recursive": bool(recursive)}], False)

    remove_file = asking(_remove_file)

    def _copy_files(self, src_paths: Sequence[str], dst_path: str, recursive: bool = False) -> Steps:
        """Copies files within the volume: into ``dst_path`` if that is a folder, else to that name.

        With ``recursive`` folders too. Nothing is copied on the host's disk: the copies share their content until one is changed.
        """
        from gx.exception import InvalidError

        if isinstance(src_paths, str):
            raise InvalidError(f"copy_files takes a list of paths: [{src_paths!r}]")
        sources = [_file_entry.path(p).rstrip("/") for p in src_paths]
        into = yield from self._is_folder(dst_path)
        target = _file_entry.path(dst_path).rstrip("/")
        if not into and len(sources) != 1:
            raise InvalidError(f"{len(sources)} files cannot be copied to one name: there is no folder {dst_path!r} in the volume")
        edits = [
            {"op": "copy", "from": s, "to": f"{target}/{s.rpartition('/')[2]}" if into else target, "recursive": bool(recursive)}
            for s in sources
        ]
        yield from self._edit(edits, True)

    copy_files = asking(_copy_files)

    def _is_folder(self, path: str) -> Steps:
        try:
            entries, _ = yield from self._page(path, False, "")
        except FileNotFoundError:
            return False
        return not (len(entries) == 1 and entries[0].path == _file_entry.path(path).strip("/"))

    def _edit(self, edits: List[Dict[str, Any]], force: bool) -> Steps:
        id = yield from self._id()
        try:
            yield question("volume.edit", id=id, edits=edits, force=force)
        except Exception as error:
            raise _file_entry.missing(error) from None

    def _batch_upload(self, force: bool = False) -> BatchUpload:
        """A block that collects files and puts them into the volume at its end, as one version: all of them, or none.

        ``force`` lets them replace files that are there; else that is a FileExistsError.
        """
        from gx._volume_upload import BatchUpload

        return BatchUpload(self, bool(force))

    batch_upload = Dual(_batch_upload, _batch_upload)

    # -- as a whole --

    @staticmethod
    def _rename(old_name: str, new_name: str, *, environment_name: Optional[str] = None, client: Any = None) -> None:
        """Gives a volume another name. Raises NotFoundError, AlreadyExistsError."""
        environment = _environment.current(environment_name)
        run(_once(question("volume.rename", environment=environment, name=old_name, to=new_name)))

    rename = StaticDual(_rename.__func__)  # type: ignore[attr-defined]

    @staticmethod
    def _delete(name: str, *, environment_name: Optional[str] = None, client: Any = None) -> None:
        """The older name of ``Volume.objects.delete``."""
        from gx._notices import older

        older("Volume.delete", "Volume.objects.delete")
        Volume.objects.delete(name, environment_name=environment_name)

    delete = StaticDual(_delete.__func__)  # type: ignore[attr-defined]


Volume.objects = _Volumes(Volume)


class _Ephemeral:
    """A block in which there is a volume without a name. It is deleted at the block's end, or, if a container has it then, at the app's."""

    def __init__(self) -> None:
        self._volume: Any = None

    def _begin(self) -> Steps:
        result, _ = yield question("volume.ephemeral")
        self._volume = Volume(id=str(result["id"]))
        return self._volume

    def _end(self) -> Steps:
        from gx.exception import ConflictError, NotFoundError

        try:
            yield question("volume.delete", id=self._volume._found)
        except NotFoundError:
            pass  # it was deleted by its id
        except ConflictError:
            pass  # a container that has nothing to do still has it: it goes with its app, or with the host

    def __enter__(self) -> Volume:
        return run(self._begin())  # type: ignore[no-any-return]

    def __exit__(self, *_: object) -> None:
        run(self._end())

    async def __aenter__(self) -> Volume:
        return await run_aio(self._begin())  # type: ignore[no-any-return]

    async def __aexit__(self, *_: object) -> None:
        await run_aio(self._end())


def _once(asked: Any) -> Steps:
    yield asked


def _restore(rebuild: Callable[..., Volume], args: tuple, read_only: bool, sub_path: str) -> Volume:
    volume = rebuild(*args)
    volume._read_only, volume._sub_path = read_only, sub_path
    return volume


__all__ = ["FileEntry", "FileEntryType", "Volume"]
