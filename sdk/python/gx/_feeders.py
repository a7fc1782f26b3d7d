"""Taking inputs of a map from iterators that may wait."""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional

    from gx._map import Map

PROMPT = 0.001  # seconds that an input may wait for company
CROWD = 1024  # frames that wait no longer, however prompt the next one is


class Feeder:
    """Takes inputs from an iterator that may wait, in a thread, and sends them soon.

    An input is sent at once if the last was sent a moment ago or longer;
    otherwise it waits for company, or until the thread that waits for answers
    sends it.
    """

    PAUSES = 0.005, 0.02  # seconds for which that thread lets inputs wait: after some had waited, after none

    def __init__(self, map: Map, inputs: Iterator[tuple]) -> None:
        from threading import Event, Thread

        self.map = map
        self.error: Optional[BaseException] = None
        self.stopped = False
        self._inputs = inputs
        self._lock = allocate_lock()  # of the map's batch
        self._sent = 0.0
        self._full = False
        self._room = Event()
        Thread(target=self._run, name="gx-map", daemon=True).start()

    def _run(self) -> None:
        map, clock = self.map, monotonic
        try:
            for args in self._inputs:
                with self._lock:
                    if self.stopped:
                        return
                    map.give((args,))
                    now = clock()
                    if now - self._sent > PROMPT or len(map.batch) > CROWD:
                        map.flush()
                        self._sent = now
                if map.full():
                    self._wait_for_room()
            with self._lock:
                if not self.stopped:
                    map.end()
        except BaseException as error:
            self.error = error

    def _wait_for_room(self) -> None:
        with self._lock:
            self.map.flush()
        while not self.stopped and not self.map.room():
            self._full = True
            self._room.wait(0.1)
            self._room.clear()
        self._full = False

    def prepare(self) -> Optional[float]:
        """Sends what waits, before a wait for answers; returns for how long that may be (seconds)."""
        if self.error is not None:
            raise self.error
        if self._full and self.map.room():
            self._room.set()
        if self.map.complete:
            return None
        if not self.map.batch:
            return self.PAUSES[1]
        with self._lock:
            self.map.flush()
        return self.PAUSES[0]

    def wait(self) -> None:
        """Waits for answers, or for a moment."""
        came = self.map.came
        self.map.client.wait(lambda: came or self.error, self.prepare())

    async def wait_aio(self, inbox: Any) -> None:
        """As ``wait``, in an event loop."""
        came = self.map.came
        await inbox.wait(lambda: came or self.error, self.prepare())

    def stop(self) -> None:
        """Lets the thread end, as soon as it has its next input."""
        self.stopped = True
        self._room.set()


class AsyncFeeder:
    """Takes inputs from an async iterator, in a task."""

    def __init__(self, map: Map, inputs: Any, inbox: Any) -> None:
        import asyncio

        self.map = map
        self.error: Optional[BaseException] = None
        self._inbox = inbox
        self._inputs = inputs
        self._room = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        map = self.map
        try:
            async for args in self._inputs:
                map.give((args,))
                map.flush()
                while not map.room():
                    self._room.clear()
                    await self._room.wait()
            map.end()
        except Exception as error:
            self.error = error
        self._inbox.wake()

    async def wait_aio(self, inbox: Any) -> None:
        """Waits for answers, or for the end of the inputs."""
        if self.error is not None:
            raise self.error
        if self.map.room():
            self._room.set()
        map = self.map
        await inbox.wait(lambda: map.came or self.error or map.done())

    def stop(self) -> None:
        """Ends the task."""
        self._task.cancel()
