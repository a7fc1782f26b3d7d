"""Waiting for the host's answers in an event loop."""

from __future__ import annotations

import asyncio
import os
from _thread import get_ident

from gx import _wire
from gx._client import gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Set

    from gx._callee import Callee
    from gx._client import Client
    from gx._wire import Frame


class Watcher:
    """Reads a client's connection whenever an event loop finds it readable.

    It is there while something in this loop waits. Other threads, and other
    loops, may read as well. The loop watches a copy of the descriptor, so that
    it does not get in the way of a runner that watches the same connection.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.loop = asyncio.get_running_loop()
        self.thread = get_ident()
        self.fd = -1
        self.waiting: Set[asyncio.Future] = set()

    def enter(self) -> asyncio.Future:
        """A future that something in this loop is about to wait for."""
        future = self.loop.create_future()
        if not self.waiting:
            self.fd = os.dup(self.client.connection.fd)
            self.loop.add_reader(self.fd, self._readable)
        self.waiting.add(future)
        return future

    def leave(self, future: asyncio.Future) -> None:
        """The future is not waited for any more."""
        self.waiting.discard(future)
        if not self.waiting and self.fd >= 0:
            self.loop.remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1
            self.client.watchers.pop(id(self.loop), None)

    def _readable(self) -> None:
        try:
            self.client.connection.serve()
        except (OSError, _wire.ProtocolError) as error:
            for future in self.waiting:
                if not future.done():
                    future.set_exception(gone(error))

    def wake(self, future: asyncio.Future) -> None:
        """Ends a wait; any thread may call it."""
        if get_ident() == self.thread:
            if not future.done():
                future.set_result(None)
        else:
            try:
                self.loop.call_soon_threadsafe(self._wake, future)
            except RuntimeError:
                pass  # the loop is closed: nobody waits there

    @staticmethod
    def _wake(future: asyncio.Future) -> None:
        if not future.done():
            future.set_result(None)


class Inbox:
    """Takes the frames of one call, and lets one coroutine wait for them.

    The same objects serve as the call's taker and as the place to wait.
    """

    def __init__(self, client: Client, frames: Any) -> None:
        self.client = client
        self.frames = frames  # a list or a deque
        loop = asyncio.get_running_loop()
        watcher = client.watchers.get(id(loop))
        if watcher is None or watcher.loop is not loop:
            watcher = client.watchers[id(loop)] = Watcher(client)
        self.watcher = watcher
        self._future: Any = None

    def take(self, frame: Frame) -> None:
        """Called in whichever thread reads the connection."""
        self.frames.append(frame)
        future = self._future
        if future is not None:
            self.watcher.wake(future)

    def wake(self) -> None:
        """Lets the coroutine look at its condition again; called in the loop's thread."""
        if self._future is not None:
            self.watcher.wake(self._future)

    async def wait(self, done: Callable[[], Any], timeout: Any = None) -> bool:
        """Waits until ``done()``; False if ``timeout`` (seconds) is over before. Raises gx.exception.ConnectionError."""
        while not done():
            if self.client.connection.error is not None:
                raise gone(self.client.connection.error)
            future = self._future = self.watcher.enter()
            try:
                # A frame may have come, in another thread, before the future was there.
                if not done():
                    if timeout is None:
                        await future
                    else:
                        finished, _ = await asyncio.wait([future], timeout=timeout)
                        if not finished:
                            return bool(done())
                        future.result()
            finally:
                self._future = None
                self.watcher.leave(future)
        return True


async def call(client: Client, callee: Callee, payload: Any) -> Frame:
    """As Client.call."""
    number = client.number()
    answers: List[Frame] = []
    inbox = Inbox(client, answers)
    client.takers[number] = inbox.take
    try:
        client.start(number, callee, "call", payload)
        await inbox.wait(answers.__len__)
    except BaseException:
        client.abandon(number)
        raise
    finally:
        del client.takers[number]
    if answers[0][5]:
        client.sync(answers[0][5])
    return answers[0]


async def spawn(client: Client, callee: Callee, payload: Any) -> str:
    """As Client.spawn."""
    from gx._client import call_id

    number = client.number()
    answers: List[Frame] = []
    inbox = Inbox(client, answers)
    client.takers[number] = inbox.take
    try:
        client.start(number, callee, "spawn", payload)
        await inbox.wait(answers.__len__)
    finally:
        del client.takers[number]
    return call_id(answers[0])


async def request(client: Client, op: str, **params: Any) -> List[Frame]:
    """As Client.request."""
    number = client.number()
    answers: List[Frame] = []
    inbox = Inbox(client, answers)
    client.takers[number] = inbox.take
    try:
        client.send(_wire.encode(_wire.REQUEST, number, body=_wire.to_json({"op": op, "params": params})))
        await inbox.wait(lambda: answers and answers[-1][0] == _wire.REPLY)
    finally:
        del client.takers[number]
    return answers
