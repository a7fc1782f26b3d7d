"""Named queues that functions, and programs, share."""

from __future__ import annotations

from gx._dual import Dual, StaticDual
from gx._questions import asking, question, run, run_aio
from gx._stored import MAX_DATA, Ephemeral, Manager, Stored, parts, pickled, unpickled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, ClassVar, Dict, Iterable, Iterator, List, Optional

    from gx._questions import Steps

_PAGE = 100  # items that are read at once, without taking them
_TTL = 24 * 3600  # seconds for which a partition is kept after its last put, where none are given


class Queue(Stored):
    """A queue that the host keeps: first in, first out.

    It has any number of partitions, each a queue by itself: what is put into
    one comes out of it in that order. A partition has at most 5,000 items, an
    item at most 1 MiB when pickled. What was put is kept once the method
    returns, and is given to one who gets; who waits longest is served first. A
    partition's items are gone ``partition_ttl`` seconds after its last put.

    Methods raise NotFoundError if the queue is not there, SerializationError,
    DeserializationError, RequestSizeError, InvalidError, ConnectionError.
    ``queue.Empty`` and ``queue.Full`` are those of the standard library.
    """

    _kind = "queue"
    _prefix = "qu"
    objects: ClassVar[Manager]

    @staticmethod
    def from_name(
        name: str, *, create_if_missing: bool = False, environment_name: Optional[str] = None, client: Any = None
    ) -> Queue:
        """The queue of this name, which is looked up when it is first used; with ``create_if_missing`` it is made then."""
        found: Queue = Queue._named(name, environment_name, create_if_missing)
        return found

    @staticmethod
    def lookup(name: str, *, create_if_missing: bool = False, environment_name: Optional[str] = None, **_: Any) -> Queue:
        """The older name of from_name, which looks it up at once."""
        from gx._notices import older

        older("Queue.lookup", "Queue.from_name")
        found: Queue = Queue._named(name, environment_name, create_if_missing)
        run(found._id())
        return found

    @staticmethod
    def from_id(queue_id: str, client: Any = None) -> Queue:
        """The queue with this id. Whether it exists is found out when it is used."""
        found: Queue = Queue._by_id(queue_id)
        return found

    @staticmethod
    def _ephemeral(environment_name: Optional[str] = None, client: Any = None, _heartbeat_sleep: float = 0) -> Ephemeral:
        """A queue without a name, for a block: ``with Queue.ephemeral() as q``, or ``async with``."""
        return Ephemeral(Queue)

    ephemeral = StaticDual(_ephemeral.__func__, _ephemeral.__func__)  # type: ignore[attr-defined]

    def _get(self, block: bool = True, timeout: Optional[float] = None, *, partition: Optional[str] = None) -> Steps:
        """Takes the next item.

        If there is none it waits, for at most ``timeout`` seconds (default:
        without end), and raises queue.Empty then. Without ``block`` it returns
        None at once.
        """
        items = yield from _take(self, 1, block, timeout, partition)
        return items[0] if items else None

    def _get_many(
        self, n_values: int, block: bool = True, timeout: Optional[float] = None, *, partition: Optional[str] = None
    ) -> Steps:
        """Takes up to ``n_values`` items: those that are there. If there is none it waits as get does, or without ``block`` returns []."""
        items: List[Any] = yield from _take(self, n_values, block, timeout, partition)
        return items

    def _put(
        self,
        v: Any,
        block: bool = True,
        timeout: Optional[float] = None,
        *,
        partition: Optional[str] = None,
        partition_ttl: int = _TTL,
    ) -> Steps:
        """Adds an item to the end.

        If the partition is full it waits for room, for at most ``timeout``
        seconds (default: without end), and raises queue.Full then; without
        ``block`` at once. ``partition_ttl`` is in seconds, at most 7 days.
        """
        yield from _add(self, [v], block, timeout, partition, partition_ttl)

    def _put_many(
        self,
        vs: Iterable[Any],
        block: bool = True,
        timeout: Optional[float] = None,
        *,
        partition: Optional[str] = None,
        partition_ttl: int = _TTL,
    ) -> Steps:
        """Adds several items to the end, all or none, one behind the other; otherwise as put. At most 5,000 and 60 MiB."""
        yield from _add(self, list(vs), block, timeout, partition, partition_ttl)

    def _len(self, *, partition: Optional[str] = None, total: bool = False) -> Steps:
        """How many items a partition has, or with ``total`` all partitions."""
        if partition is not None and total:
            raise _invalid("len: either partition= or total=True")
        result, _ = yield question("queue.len", total=bool(total), **(yield from _place(self, partition)))
        return int(result["len"])

    def _clear(self, *, partition: Optional[str] = None, all: bool = False) -> Steps:
        """Deletes the items of a partition, or with ``all`` of all partitions."""
        if partition is not None and all:
            raise _invalid("clear: either partition= or all=True")
        yield question("queue.clear", all=bool(all), **(yield from _place(self, partition)))

    get = asking(_get)
    get_many = asking(_get_many)
    put = asking(_put)
    put_many = asking(_put_many)
    len = asking(_len)
    clear = asking(_clear)

    def _iterate(self, *, partition: Optional[str] = None, item_poll_timeout: float = 0.0) -> Iterator[Any]:
        """The items, without taking them. Having given the last it waits ``item_poll_timeout`` seconds for another, and then ends."""
        after = 0
        while True:
            items, after = run(_peek(self, after, item_poll_timeout, partition))
            if not items:
                return
            yield from items

    async def _iterate_aio(self, *, partition: Optional[str] = None, item_poll_timeout: float = 0.0) -> AsyncIterator[Any]:
        after = 0
        while True:
            items, after = await run_aio(_peek(self, after, item_poll_timeout, partition))
            if not items:
                return
            for item in items:
                yield item

    iterate = Dual(_iterate, _iterate_aio)


Queue.objects = Manager(Queue)


# The host takes what it is not told for the default: an item on its way to
# another function costs both sides less.


def _place(self: Queue, partition: Optional[str]) -> Steps:
    """A partition, as the host is told of it. Raises InvalidError."""
    if partition is None:
        return {"id": self._found or (yield from self._id())}
    if not isinstance(partition, str) or not 1 <= len(partition.encode("utf-8", "surrogatepass")) <= 64:
        raise _invalid(f"partition={partition!r:.200}: the name of a partition has 1 to 64 bytes")
    return {"id": (yield from self._id()), "partition": partition}


def _patience(block: bool, timeout: Optional[float]) -> Dict[str, Any]:
    """How long the host may wait, as it is told of it; without end if it is not."""
    if not block:
        if timeout is not None:
            from gx._notices import notice

            notice("timeout= has no effect on a queue's method with block=False")
        return {"timeout": 0}
    return {} if timeout is None else {"timeout": max(0.0, float(timeout))}


def _take(self: Queue, n: int, block: bool, timeout: Optional[float], partition: Optional[str]) -> Steps:
    import queue

    if not isinstance(n, int) or n < 1:
        raise _invalid(f"{n!r} items: ask for one at least")
    place = yield from _place(self, partition)
    try:
        result, data = yield question("queue.get", n=n, **place, **_patience(block, timeout))
    except queue.Empty:
        if block:
            raise
        return []
    return [unpickled(item, "an item") for item in parts(data, result["lengths"])]


def _add(
    self: Queue, values: List[Any], block: bool, timeout: Optional[float], partition: Optional[str], partition_ttl: float
) -> Steps:
    items = [pickled(value, "the item" if len(values) == 1 else f"item {i}") for i, value in enumerate(values)]
    if sum(map(len, items)) > MAX_DATA:
        from gx.exception import RequestSizeError

        raise RequestSizeError(f"{len(items)} items of {sum(map(len, items))} bytes when pickled; at most {MAX_DATA} are put at once")
    params = yield from _place(self, partition)
    if partition_ttl != _TTL:
        params["partition_ttl"] = float(partition_ttl)
    yield question("queue.put", b"".join(items), lengths=[*map(len, items)], **params, **_patience(block, timeout))


def _peek(self: Queue, after: int, timeout: float, partition: Optional[str]) -> Steps:
    """Some items behind the number ``after``, and the last one's number."""
    result, data = yield question(
        "queue.peek", n=_PAGE, after=after, timeout=max(0.0, float(timeout)), **(yield from _place(self, partition))
    )
    return [unpickled(item, "an item") for item in parts(data, result["lengths"])], int(result["last"])


def _invalid(text: str) -> Exception:
    from gx.exception import InvalidError

    return InvalidError(text)
