"""Async functions: all inputs on one event loop, in the main thread."""

from __future__ import annotations

import asyncio
import os
import _signal  # type: ignore[import-not-found]
from contextvars import copy_context
from functools import partial
from time import perf_counter

from gx import _wire
from gx._runner import errors, state
from gx._runner.kinds import ASYNC_GENERATOR, COROUTINE, GENERATOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from gx._runner.runner import Runner
    from gx._runner.service import Service
    from gx._wire import Frame

# An async generator that does not wait for anything lets others run after this time (seconds).
_TURN = 0.01


class Aio:
    """Runs inputs as tasks of one event loop, as many at once as the function has concurrency.

    Plain functions and methods beside async ones run in threads, so that they
    do not hold the loop up. Cancelling an input cancels its task.
    """

    def __init__(self, runner: Runner, service: Service, concurrency: int) -> None:
        self.runner = runner
        self.service = service
        self.concurrency = concurrency
        self.loop = asyncio.new_event_loop()
        self.tasks: Dict[Any, Frame] = {}
        self._pool: Any = None
        self._scheduled = False
        self._flushing = False
        self._error: Optional[BaseException] = None
        asyncio.set_event_loop(self.loop)
        runner.cancel = self._cancel
        runner.arrived = self._arrived
        _signal.signal(_signal.SIGTERM, self._on_terminate)
        self.loop.add_reader(runner.connection.fd, self._readable)

    def hook(self, hook: Callable) -> None:
        """Runs an enter or exit hook, async or not, in the loop's thread."""
        self.loop.run_until_complete(self._hook(hook))

    async def _hook(self, hook: Callable) -> None:
        value = hook()
        if hasattr(value, "__await__"):
            await value

    def run(self) -> None:
        """Answers inputs until the host says stop, and those that run have ended."""
        self.loop.call_soon(self._begin)
        self.loop.run_forever()
        if self._error is not None:
            raise self._error

    # -- what comes --

    def _readable(self) -> None:
        try:
            self.runner.connection.serve()
        except (_wire.Closed, _wire.ProtocolError, OSError) as error:
            self._error = error
            self.loop.stop()

    def _arrived(self) -> None:
        """Inputs have come, or a stop: called in whichever thread reads the connection."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        """Begins inputs, as many as may run."""
        self._scheduled = False
        tasks = self.tasks
        while len(tasks) < self.concurrency and self.runner.stopping is None:
            frame = self.runner.next()
            if frame is None:
                break
            if self.concurrency == 1:
                state.running = frame  # for threads, which do not inherit the task's context
            task = self.loop.create_task(self._one(frame))
            tasks[task] = frame
            task.add_done_callback(self._done)
        if self.runner.stopping is not None and not tasks:
            self.loop.stop()

    def _done(self, task: Any) -> None:
        frame = self.tasks.pop(task)
        if self.concurrency == 1:
            state.running = None
        error = None
        if task.cancelled():  # before it took its first step
            error = errors.make("InputCancellation", "the input was cancelled")
        elif task.exception() is not None:
            error = task.exception()
        if error is not None:
            self._answer(partial(self.runner.answers.error, frame, error), frame)
        self._begin()

    # -- one input --

    async def _one(self, frame: Frame) -> None:
        state.input_frame.set(frame)
        runner = self.runner
        function: Any = None
        try:
            function = self.service.targets[runner.method(frame)]
            args, kwargs = runner.arguments(frame, function)
            value = await self._call(function, args, kwargs, frame)
        except asyncio.CancelledError as error:
            cancelled = errors.make("InputCancellation", "the input was cancelled")
            cancelled.__traceback__ = error.__traceback__
            self._answer(partial(runner.answers.error, frame, cancelled), frame)
        except BaseException as error:
            if state.runner is None:
                runner.leave_child(error)
            self._answer(partial(runner.answers.error, frame, error), frame)
        else:
            if state.runner is None:
                runner.leave_child(None)
            if value is not self:
                self._answer(partial(runner.answers.result, frame, value, function), frame)

    async def _call(self, function: Any, args: tuple, kwargs: dict, frame: Frame) -> Any:
        """The function's value; ``self`` if an error was sent already."""
        from gx._members import is_async

        if is_async(function):
            value = function(*args, **kwargs)
        else:
            value = await self._in_thread(partial(function, *args, **kwargs))
        kind = type(value)
        if kind is COROUTINE or hasattr(kind, "__await__"):
            return await value
        if kind is ASYNC_GENERATOR or kind is GENERATOR:
            self.runner.may_stream(frame, function)
        if kind is ASYNC_GENERATOR:
            began = perf_counter()
            try:
                async for item in value:
                    if not self.runner.answers.item(frame, item, function):
                        return self
                    if perf_counter() - began > _TURN:  # it may be one that never waits
                        await asyncio.sleep(0)
                        began = perf_counter()
            finally:
                await value.aclose()
            return None
        if kind is GENERATOR:
            while True:
                item = await self._in_thread(partial(next, value, self))
                if item is self:
                    return None
                if not self.runner.answers.item(frame, item, function):
                    value.close()
                    return self
        return value

    async def _in_thread(self, call: Callable) -> Any:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.concurrency, "gx-input")
        return await self.loop.run_in_executor(self._pool, copy_context().run, call)

    # -- answers --

    def _answer(self, answer: Callable, frame: Frame) -> None:
        """Collects an answer; all of one turn of the loop are sent together."""
        self.runner.finish(frame)
        answer()
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        try:
            self.runner.answers.flush()
        except _wire.Closed as error:
            self._error = error
            self.loop.stop()

    # -- cancelling --

    def _cancel(self, matches: Callable[[Frame], bool]) -> None:
        self.loop.call_soon_threadsafe(self._cancel_tasks, matches)

    def _cancel_tasks(self, matches: Callable[[Frame], bool]) -> None:
        for task, frame in list(self.tasks.items()):
            if matches(frame):
                task.cancel()

    def _on_terminate(self, *_: Any) -> None:
        if state.runner is None:  # a forked child
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
            os.kill(os.getpid(), _signal.SIGTERM)
        elif self.runner.stopping is None:
            self.runner.stopping = {"reason": "SIGTERM"}
            self._scheduled = False
            self._arrived()
