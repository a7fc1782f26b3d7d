"""Many inputs of one call: given lazily, answered in order or as they come.

Memory is bounded by a window: at most WINDOW inputs, and about WINDOW_BYTES of
large ones and of large results, are between what was taken from the caller's
iterator and what was given back to the caller.
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]
from _pickle import dumps as _pickled
from itertools import islice

from gx import _wire
from gx._failures import answer_error, not_picklable, result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Callable, Deque, Dict, Iterable, Iterator, List, Optional

    from gx._callee import Callee
    from gx._client import Client
    from gx._feeders import Feeder
    from gx._wire import Frame

WINDOW = 16384  # inputs that are not given back
WINDOW_BYTES = 256 << 20  # of large inputs and results
CHUNK = 256  # inputs that are sent together
CHUNK_BYTES = 256 << 10
LARGE = 4096  # bytes, from which on a payload counts

# Taking the next item of these never waits for anything.
_QUICK = frozenset(
    {list, tuple, range, str, bytes, bytearray, dict, set, frozenset, deque}
    | {type({}.keys()), type({}.values()), type({}.items())}
)

_PLAIN = frozenset({int, float, bool, str, type(None)})
_pack = _wire.HEADER.pack
_dumps, _loads = _wire.dumps, _wire.loads
_INPUT, _RESULT, _END = _wire.INPUT, _wire.RESULT, _wire.END


class Map:
    """One call with many inputs; the caller's side of the window."""

    def __init__(
        self,
        client: Client,
        callee: Callee,
        name: str,
        raw: Callable,
        kwargs: Dict[str, Any],
        ordered: bool = True,
        return_exceptions: bool = False,
        kind: str = "map",
    ) -> None:
        self.client = client
        self.name = name
        self.raw = raw
        self.kwargs = kwargs
        self.ordered = ordered
        self.return_exceptions = return_exceptions
        self.number = client.number()
        self.came: Deque[Frame] = deque()  # not looked at
        self.early: Dict[int, Frame] = {}  # came before their turn
        self.given = 0  # inputs
        self.returned = 0  # answers
        self.held = 0  # bytes of large inputs without answer, and of large answers
        self.sizes: Dict[int, int] = {}  # of large inputs
        self.complete = False  # all inputs are given
        self.batch: List[Any] = [client.opening(self.number, callee, kind, not ordered)]
        self.batch_bytes = 0
        client.takers[self.number] = self.came.append

    # -- giving inputs --

    def room(self) -> bool:
        """Whether the window has room for a chunk, or nothing is outstanding."""
        open = self.given - self.returned
        return open < CHUNK or (open <= WINDOW - CHUNK and self.held < WINDOW_BYTES)

    def full(self) -> bool:
        """Whether the window has room for nothing."""
        return self.given - self.returned >= WINDOW or self.held >= WINDOW_BYTES

    def give(self, inputs: Iterable[tuple]) -> int:
        """Adds inputs to what is sent next; returns how many there were."""
        append, number, kwargs = self.batch.append, self.number, self.kwargs
        plain = not kwargs
        payload: Any = None
        first = index = self.given
        args: tuple = ()
        try:
            for args in inputs:
                if plain and len(args) == 1 and type(args[0]) in _PLAIN:
                    payload = _pickled((args, kwargs), 5)  # without looking for large parts: three times as fast
                else:
                    payload = _dumps((args, kwargs))
                size = len(payload)
                if size > LARGE:
                    self.given = index
                    self._give_large(payload)
                else:
                    append(_pack(size, _INPUT, 0, 0, number, index))
                    append(payload)
                index += 1
        except _wire.TooLarge as error:
            from gx._client import too_large

            raise too_large(error) from None
        except Exception as error:
            if _is_pickling_of(args, kwargs):
                raise not_picklable(self.raw, self.name, args, kwargs, error) from error
            raise
        finally:
            self.given = index
        return index - first

    def _give_large(self, payload: Any) -> None:
        size = len(payload)
        self.sizes[self.given] = size
        self.held += size
        if size > _wire.INLINE_MAX:
            before = b"".join(self.batch)
            self.batch.clear()
            self.batch_bytes = 0
            self.client.send_input(self.number, self.given, payload, before)
            return
        self.batch.append(_pack(size, _INPUT, 0, 0, self.number, self.given))
        self.batch.append(payload)
        self.batch_bytes += size
        if self.batch_bytes > CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Sends what was added."""
        if self.batch:
            data = b"".join(self.batch)
            self.batch.clear()
            self.batch_bytes = 0
            self.client.send(data)

    def end(self) -> None:
        """Says that there are no more inputs."""
        self.complete = True
        self.batch.append(_pack(0, _END, 0, 0, self.number, self.given))
        self.flush()

    def feed(self, inputs: Iterator[tuple]) -> None:
        """Gives a chunk of inputs that are there without waiting."""
        if self.give(islice(inputs, CHUNK)) < CHUNK:
            self.end()
        else:
            self.flush()

    # -- taking answers --

    def take(self) -> Iterator[Any]:
        """The values of what has come, as far as their turn has come."""
        came, early, ordered, sizes = self.came, self.early, self.ordered, self.sizes
        while came:
            frame = came.popleft()
            kind, index = frame[0], frame[2]
            if kind == _END or kind == _wire.OPENED:
                continue
            if sizes and index in sizes:
                self.held -= sizes.pop(index)
            if ordered and index != self.returned:
                early[index] = frame
                if len(frame[3]) > LARGE:
                    self.held += len(frame[3])
                continue
            while True:
                self.returned += 1
                if kind == _RESULT and not frame[5]:
                    try:
                        value = _loads(frame[3])
                    except Exception:
                        value = self.value(frame)
                else:
                    value = self.value(frame)
                frame = ()  # type: ignore[assignment]  # a large value is let go
                yield value
                if not early or self.returned not in early:
                    break
                frame = early.pop(self.returned)
                kind = frame[0]
                if len(frame[3]) > LARGE:
                    self.held -= len(frame[3])

    def value(self, frame: Frame) -> Any:
        """The value of an answer; an exception is raised or returned as was asked."""
        if frame[5]:
            self.client.sync(frame[5])
        try:
            if frame[0] == _RESULT:
                return result(frame)
            error = answer_error(frame)
        except Exception as unreadable:
            error = unreadable
        if self.return_exceptions:
            return error
        raise error

    def done(self) -> bool:
        """Whether all inputs were given, and all answers returned."""
        return self.complete and self.returned == self.given

    def close(self) -> None:
        """Forgets the call; the host is told if it was not done."""
        self.client.takers.pop(self.number, None)
        if not self.done():
            self.client.abandon(self.number)

    # -- both together --

    def results(self, iterables: tuple, inputs: Iterator[tuple]) -> Iterator[Any]:
        """Gives the inputs and yields the values."""
        feeder: Optional[Feeder] = None
        quick = all([type(i) in _QUICK for i in iterables])
        try:
            if not quick:
                from gx._feeders import Feeder

                feeder = Feeder(self, inputs)
            came, connection = self.came, self.client.connection
            while True:
                if came:
                    yield from self.take()
                if self.done():
                    return
                if feeder is not None:
                    feeder.wait()
                elif not self.complete and self.room():
                    self.feed(inputs)
                    if not came and connection.serve() and not came and not self.room():
                        self.client.wait(came.__len__)
                else:
                    self.client.wait(came.__len__)
        except (_wire.Closed, _wire.ProtocolError) as error:
            from gx._client import gone

            raise gone(error) from None
        finally:
            if feeder is not None:
                feeder.stop()
            self.close()

    def spawn(self, inputs: Iterator[tuple]) -> str:
        """Gives all inputs of a spawned call and returns the call's id; the host keeps the answers."""
        from gx._client import call_id

        came = self.came

        def first(frame: Frame) -> None:
            if not came:
                came.append(frame)

        self.client.takers[self.number] = first
        try:
            while not self.complete:
                self.feed(inputs)
                self.client.connection.serve()
            self.client.wait(self.came.__len__)
            return call_id(self.came[0])
        finally:
            self.client.takers.pop(self.number, None)

    async def results_aio(self, iterables: tuple, inputs: Any, asynchronous: bool) -> AsyncIterator[Any]:
        """As ``results``, in an event loop; ``inputs`` may be an async iterator."""
        from gx._aio import Inbox
        from gx._feeders import AsyncFeeder, Feeder

        inbox = Inbox(self.client, self.came)
        self.client.takers[self.number] = inbox.take
        feeder: Any = None
        quick = not asynchronous and all([type(i) in _QUICK for i in iterables])
        try:
            if asynchronous:
                feeder = AsyncFeeder(self, inputs, inbox)
            elif not quick:
                feeder = Feeder(self, inputs)
            while True:
                for value in self.take():
                    yield value
                if self.done():
                    return
                if feeder is not None:
                    await feeder.wait_aio(inbox)
                elif not self.complete and self.room():
                    self.feed(inputs)
                    await _breathe()
                else:
                    await inbox.wait(self.came.__len__)
        finally:
            if feeder is not None:
                feeder.stop()
            self.close()


def _is_pickling_of(args: tuple, kwargs: dict) -> bool:
    """Whether an error came from pickling this, not from the iterator that gave it."""
    try:
        _dumps((args, kwargs))
    except Exception:
        return True
    return False


async def _breathe() -> None:
    """Lets the event loop read what has come, and run other tasks."""
    import asyncio

    await asyncio.sleep(0)
