"""Web requests: the executor of functions and classes that have web endpoints."""

from __future__ import annotations

import asyncio
import sys
from _collections import deque  # type: ignore[import-not-found]
from _thread import get_ident
from functools import partial

from gx import _wire
from gx._runner import errors, state
from gx._runner.aio import Aio
from gx._runner.exchange import Exchange, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Coroutine, Deque, Dict, List

    from gx._runner.runner import Runner
    from gx._runner.service import Service
    from gx._wire import Frame

_RESULT = _wire.RESULT
_pack = _wire.HEADER.pack
_EAGER = sys.version_info >= (3, 12)


class Web(Aio):
    """Answers web requests beside calls, on one event loop.

    A request is a task that takes its first step at once, in the turn of the
    loop that has received it: most are answered by that step, and never wait for
    the loop. Responses of one turn are sent together.
    """

    def __init__(self, runner: Runner, service: Service, concurrency: int) -> None:
        super().__init__(runner, service, concurrency)
        self.drivers: Dict[str, Any] = {}  # by the name of the method, "" is a function
        self.exchanges: Dict[int, Exchange] = {}  # requests that are not over, by call
        self._thread = get_ident()
        self._came: Deque[Frame] = deque()  # about requests, and not looked at; any thread appends
        self._turn = False  # in _readable: what comes is seen to at its end
        self._caught: List[Any] = []
        self._catcher = self._catch
        self.waiting = runner.answers.waiting
        runner.web = self._web

    def prepare(self) -> None:
        """Makes the applications. Raises what the user's code raises."""
        assert self.runner.start is not None
        for name, web in self.runner.start["web"].items():
            self.drivers[name] = _driver(self, self.service.targets[name], web, name)
        for driver in self.drivers.values():
            self.loop.run_until_complete(driver.startup())

    def run(self) -> None:
        super().run()
        for driver in self.drivers.values():
            self.loop.run_until_complete(driver.shutdown())

    # -- what comes --

    def _web(self, frame: Frame) -> None:
        """A frame about a request that has come: called in whichever thread reads the connection."""
        self._came.append(frame)
        if not self._turn:
            self.loop.call_soon_threadsafe(self._give)

    def _give(self) -> None:
        """Gives what has come to its request."""
        came, exchanges = self._came, self.exchanges
        while came:
            frame = came.popleft()
            exchange = exchanges.get(frame[1])
            if exchange is not None:
                exchange.take(frame)
            elif frame[0] == _wire.WEB_GONE:
                self._never(frame)

    def _never(self, gone: Frame) -> None:
        """The client of a request that has not begun has left."""
        for frame in list(self.runner.inputs):
            if frame[1] == gone[1]:
                try:
                    self.runner.inputs.remove(frame)
                except ValueError:
                    continue
                self.answer(frame, None)

    def _arrived(self) -> None:
        if not self._turn:
            super()._arrived()

    def _readable(self) -> None:
        self._turn = True
        self._flushing = True  # at the end of this turn, below
        try:
            self.runner.connection.serve_once()
        except (_wire.Closed, _wire.ProtocolError, OSError) as error:
            self._error = error
            self.loop.stop()
        finally:
            self._turn = False
        try:
            if self._came:
                self._give()
            self._begin()
        finally:
            self._flush()

    def _begin(self) -> None:
        self._scheduled = False
        tasks, runner = self.tasks, self.runner
        while len(tasks) < self.concurrency and runner.stopping is None:
            frame = runner.next()
            if frame is None:
                break
            if self.concurrency == 1:
                state.running = frame
            if frame[0] == _wire.WEB_REQUEST:
                self._request(frame)
                continue
            task = self.loop.create_task(self._one(frame))
            tasks[task] = frame
            task.add_done_callback(self._done)
        if runner.stopping is not None and not tasks:
            self.loop.stop()

    # -- one request --

    def _request(self, frame: Frame) -> None:
        task = self._step(self._serve(frame))
        if task.done():
            if self.concurrency == 1:
                state.running = None
            if task.cancelled() or task.exception() is not None:
                self.answer(frame, errors.make("InputCancellation", "the request was cancelled") if task.cancelled() else task.exception())
            return
        self.tasks[task] = frame
        task.add_done_callback(self._done)

    async def _serve(self, frame: Frame) -> None:
        state.input_frame.set(frame)
        error: Any = None
        try:
            exchange = Exchange(self, frame)
            self.exchanges[frame[1]] = exchange
            await self.drivers[words[exchange.head[0]]].serve(exchange)
        except asyncio.CancelledError as cancelled:
            error = errors.make("InputCancellation", "the request was cancelled")
            error.__traceback__ = cancelled.__traceback__
        except BaseException as raised:
            if state.runner is None:
                self.runner.leave_child(raised)
            error = raised
        finally:
            over = self.exchanges.pop(frame[1], None)
            if over is not None:
                over.heard = None  # a circle, else, for the collector of garbage to find
        if state.runner is None:
            self.runner.leave_child(None)
        self.answer(frame, error)

    def answer(self, frame: Frame, error: Any) -> None:
        """A request is over, its background tasks too."""
        runner = self.runner
        runner.finish(frame)
        if error is not None:
            runner.answers.error(frame, error)
        else:
            self.waiting.append(_pack(0, _RESULT, 0, frame[4], frame[1], frame[2]))
        self.flush_soon()

    def flush_soon(self) -> None:
        """What is in ``answers`` is sent at the end of this turn."""
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _step(self, coroutine: Coroutine) -> Any:
        """A task of a coroutine, which has taken its first step."""
        loop = self.loop
        if _EAGER:
            return asyncio.Task(coroutine, loop=loop, eager_start=True)  # type: ignore[call-arg,unused-ignore]
        # A task asks its loop to take the first step soon: the loop lets us do it.
        loop.call_soon = self._catcher  # type: ignore[method-assign,assignment]
        try:
            task = asyncio.Task(coroutine, loop=loop)
        finally:
            del loop.call_soon
        step, context = self._caught.pop()
        context.run(step)
        return task

    def _catch(self, callback: Callable, *args: Any, context: Any = None) -> None:
        self._caught.append((partial(callback, *args) if args else callback, context))


def _driver(web: Web, target: Callable, settings: dict, name: str) -> Any:
    """What speaks to the user's code as this kind of endpoint is spoken to."""
    kind = settings["kind"]
    if kind == "wsgi":
        from gx._runner.wsgi import Wsgi

        return Wsgi(web, target)
    if kind == "server":
        from gx._runner.server import Server

        return Server(web, target, settings)
    from gx._runner.asgi import Asgi

    if kind == "fastapi":
        from gx._runner.fastapi import application

        return Asgi(web, partial(application, target, settings))
    return Asgi(web, target)
