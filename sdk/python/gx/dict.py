"""Named dictionaries that functions, and programs, share."""

from __future__ import annotations

from gx._dual import Dual, StaticDual
from gx._questions import asking, question, run, run_aio
from gx._stored import MAX_DATA, Ephemeral, Manager, Stored, parts, pickled, unpickled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, ClassVar, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

    from gx._questions import Steps

_NO_DEFAULT: Any = object()
_MAX_ENTRIES = 10_000  # of one update


class Dict(Stored):
    """A dictionary that the host keeps.

    Keys and values are whatever can be pickled; two keys are the same if their
    pickles are, so that ``1``, ``1.0`` and ``True`` are three keys. A change is
    kept once the method returns. An entry that nobody has used for 7 days is
    gone (the host's setting ``dict_ttl``).

    Methods raise NotFoundError if the dict is not there, SerializationError,
    DeserializationError, RequestSizeError (a key has at most 64 KiB, a value 60
    MiB), ConnectionError. A value that was got is a copy: changing it changes
    nothing in the dict.
    """

    _kind = "dict"
    _prefix = "di"
    _data: Optional[Mapping] = None  # what it begins with, if it is made
    objects: ClassVar[Manager]
    # Its keys are what keys() gives; a for loop would ask for 0, 1, 2.
    __iter__: ClassVar[None] = None

    @staticmethod
    def from_name(
        name: str,
        *,
        data: Optional[Mapping] = None,
        create_if_missing: bool = False,
        environment_name: Optional[str] = None,
        client: Any = None,
    ) -> Dict:
        """The dict of this name, which is looked up when it is first used.

        With ``create_if_missing`` it is made then if there is none; ``data`` is
        what it begins with if it is.
        """
        found: Dict = Dict._named(name, environment_name, create_if_missing)
        found._data = dict(data) if data else None
        return found

    @staticmethod
    def lookup(name: str, *, create_if_missing: bool = False, environment_name: Optional[str] = None, **_: Any) -> Dict:
        """The older name of from_name, which looks it up at once."""
        from gx._notices import older

        older("Dict.lookup", "Dict.from_name")
        found: Dict = Dict._named(name, environment_name, create_if_missing)
        run(found._id())
        return found

    @staticmethod
    def from_id(dict_id: str, client: Any = None) -> Dict:
        """The dict with this id. Whether it exists is found out when it is used."""
        found: Dict = Dict._by_id(dict_id)
        return found

    @staticmethod
    def _ephemeral(data: Optional[Mapping] = None, environment_name: Optional[str] = None, client: Any = None) -> Ephemeral:
        """A dict without a name, for a block: ``with Dict.ephemeral() as d``, or ``async with``. ``data`` is what it begins with."""
        return Ephemeral(Dict, (lambda made: _update(made, data, {})) if data else None)

    ephemeral = StaticDual(_ephemeral.__func__, _ephemeral.__func__)  # type: ignore[attr-defined]

    def _id(self) -> Steps:
        if self._found or not self._data:
            return (yield from super()._id())
        from gx.exception import NotFoundError

        create, self._create = self._create, False
        try:
            return (yield from super()._id())
        except NotFoundError:
            if not create:
                raise
        finally:
            self._create = create
        yield from super()._id()
        yield from _update(self, self._data, {}, skip_if_exists=True)
        return self._found

    def _get(self, key: Any, default: Any = None) -> Steps:
        """The value of a key; ``default`` if it is not there."""
        value = yield from _value(self, "dict.get", key)
        return default if value is _NO_DEFAULT else value

    def _contains(self, key: Any) -> Steps:
        """Whether a key is there."""
        result, _ = yield question("dict.contains", _key(key), id=(yield from self._id()))
        return bool(result["found"])

    def _len(self) -> Steps:
        """How many entries there are: they are counted, which takes time in a large dict."""
        result, _ = yield question("dict.len", id=(yield from self._id()))
        return int(result["len"])

    def _put(self, key: Any, value: Any, *, skip_if_exists: bool = False) -> Steps:
        """Sets a key; True. With ``skip_if_exists`` only if it is not there: False if it was. Of several at once, one gets True."""
        return bool((yield from _put_all(self, [(key, value)], skip_if_exists)))

    def _update(self, other: Union[Mapping, Iterable, None] = None, /, **kwargs: Any) -> Steps:
        """Sets several keys, as the built-in's. Up to 10,000 entries and 60 MiB are set all or none; more, a part after another."""
        yield from _update(self, other, kwargs)

    def _pop(self, key: Any, default: Any = _NO_DEFAULT) -> Steps:
        """Deletes a key and returns its value; if it is not there ``default``, else raises KeyError. Of several at once, one gets the value."""
        value = yield from _value(self, "dict.pop", key)
        if value is not _NO_DEFAULT:
            return value
        if default is _NO_DEFAULT:
            raise KeyError(key)
        return default

    def _clear(self) -> Steps:
        """Deletes all entries."""
        yield question("dict.clear", id=(yield from self._id()))

    get = asking(_get)
    contains = asking(_contains)
    len = asking(_len)
    put = asking(_put)
    update = asking(_update)
    pop = asking(_pop)
    clear = asking(_clear)

    def _entries(self, values: bool) -> Iterator[Tuple[Any, Any]]:
        after = None
        while True:
            page, after = run(_page(self, after, values))
            yield from page
            if after is None:
                return

    async def _entries_aio(self, values: bool) -> AsyncIterator[Tuple[Any, Any]]:
        after = None
        while True:
            page, after = await run_aio(_page(self, after, values))
            for entry in page:
                yield entry
            if after is None:
                return

    def _keys(self) -> Iterator[Any]:
        """The keys, in no order that means anything. They are read a part at a time: a dict that changes meanwhile may show its changes."""
        for key, _ in self._entries(False):
            yield unpickled(key, "a key")

    async def _keys_aio(self) -> AsyncIterator[Any]:
        async for key, _ in self._entries_aio(False):
            yield unpickled(key, "a key")

    def _values(self) -> Iterator[Any]:
        """The values, as keys()."""
        for _, value in self._entries(True):
            yield unpickled(value, "a value")

    async def _values_aio(self) -> AsyncIterator[Any]:
        async for _, value in self._entries_aio(True):
            yield unpickled(value, "a value")

    def _items(self) -> Iterator[Tuple[Any, Any]]:
        """(key, value) pairs, as keys()."""
        for key, value in self._entries(True):
            yield unpickled(key, "a key"), unpickled(value, "a value")

    async def _items_aio(self) -> AsyncIterator[Tuple[Any, Any]]:
        async for key, value in self._entries_aio(True):
            yield unpickled(key, "a key"), unpickled(value, "a value")

    keys = Dual(_keys, _keys_aio)
    values = Dual(_values, _values_aio)
    items = Dual(_items, _items_aio)

    def __getitem__(self, key: Any) -> Any:
        """The value of a key. Raises KeyError."""
        value = run(_value(self, "dict.get", key))
        if value is _NO_DEFAULT:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        run(self._put(key, value))

    def __delitem__(self, key: Any) -> None:
        """Deletes a key. Raises KeyError."""
        run(self._pop(key))

    def __contains__(self, key: Any) -> bool:
        return bool(run(self._contains(key)))


Dict.objects = Manager(Dict)


def _key(key: Any) -> bytes:
    """The bytes that a key is. Equal ones of the same types have equal bytes: nothing in them tells which parts are one object."""
    from _pickle import Pickler
    from io import BytesIO

    out = BytesIO()
    pickler = Pickler(out, 3)  # as the command line writes them; later protocols have frames
    pickler.fast = True  # no memo
    try:
        pickler.dump(key)
    except Exception as error:
        from gx.exception import SerializationError

        raise SerializationError(f"the key {key!r:.200} cannot be pickled: {type(error).__name__}: {error}") from error
    return out.getvalue()


def _value(self: Dict, op: str, key: Any) -> Steps:
    """The value that comes for a key; _NO_DEFAULT if it is not there."""
    result, data = yield question(op, _key(key), id=(yield from self._id()))
    return unpickled(data, f"the value of {key!r:.200}") if result["found"] else _NO_DEFAULT


def _page(self: Dict, after: Optional[bytes], values: bool) -> Steps:
    """Some entries, pickled, and behind which key to go on; None = that was all."""
    result, data = yield question("dict.items", after or b"", id=(yield from self._id()), after=after is not None, values=values)
    pieces = list(parts(data, result["lengths"]))
    page = list(zip(pieces[::2], pieces[1::2]))
    return page, bytes(page[-1][0]) if result["more"] else None


def _update(self: Dict, other: Any, more: Mapping[str, Any], skip_if_exists: bool = False) -> Steps:
    entries: List[Tuple[Any, Any]] = []
    if other is not None:
        entries.extend(dict(other).items() if not hasattr(other, "items") else other.items())
    entries.extend(more.items())
    yield from _put_all(self, entries, skip_if_exists)


def _put_all(self: Dict, entries: List[Tuple[Any, Any]], skip_if_exists: bool) -> Steps:
    """Sets entries, as many at once as a question may have; how many were set."""
    id = yield from self._id()
    count, size = 0, 0
    pieces: List[Any] = []
    for key, value in entries:
        pair = [_key(key), pickled(value, f"the value of {key!r:.200}")]
        length = sum(map(len, pair))
        if length > MAX_DATA:
            from gx.exception import RequestSizeError

            raise RequestSizeError(
                f"the value of {key!r:.200} has {len(pair[1])} bytes when pickled; at most {MAX_DATA} are allowed in a dict: large data belongs into a volume"
            )
        if pieces and (size + length > MAX_DATA or len(pieces) == 2 * _MAX_ENTRIES):
            count += yield from _put_some(id, pieces, skip_if_exists)
            pieces, size = [], 0
        pieces += pair
        size += length
    if pieces:
        count += yield from _put_some(id, pieces, skip_if_exists)
    return count


def _put_some(id: str, pieces: List[Any], skip_if_exists: bool) -> Steps:
    result, _ = yield question("dict.put", b"".join(pieces), id=id, lengths=[*map(len, pieces)], skip_if_exists=bool(skip_if_exists))
    return int(result["set"])
