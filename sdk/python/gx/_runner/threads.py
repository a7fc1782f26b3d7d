"""Several inputs at a time, each in a thread: plain functions with input concurrency."""

from __future__ import annotations

import os
import _signal  # type: ignore[import-not-found]
from _queue import SimpleQueue
from _thread import allocate_lock, get_ident

from gx import _wire
from gx._runner import errors, state
from gx._runner.kinds import COROUTINE, GENERATOR, PLAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from gx._runner.runner import Runner
    from gx._runner.service import Service
    from gx._wire import Frame


class Worker:
    """One thread, and what it is running."""

    def __init__(self) -> None:
        self.ident = 0
        self.frame: Optional[Frame] = None
        self.in_user = False
        self.cancelled = False
        self.lock = allocate_lock()  # between the end of the user's function and who interrupts it


class Threads:
    """Runs inputs in as many threads as the function has concurrency.

    The main thread reads the connection. A thread is started when an input
    finds none idle. Cancelling raises InputCancellation in the thread as soon
    as it runs Python code again: a thread that waits in a system call or in C
    code cannot be interrupted before that.
    """

    def __init__(self, runner: Runner, service: Service, concurrency: int) -> None:
        self.runner = runner
        self.service = service
        self.concurrency = concurrency
        self.queue: Any = SimpleQueue()
        self.workers: Dict[int, Worker] = {}
        self.idle = 0
        self._lock = allocate_lock()  # of idle and workers
        runner.cancel = self.cancel
        runner.arrived = self._arrived
        _signal.signal(_signal.SIGTERM, self._on_terminate)

    def hook(self, hook: Callable) -> None:
        """Runs an enter or exit hook, in the main thread."""
        hook()

    def run(self) -> None:
        """Answers inputs until the host says stop, and those that run have ended."""
        connection, runner = self.runner.connection, self.runner
        self._arrived()
        while runner.stopping is None:
            # Woken now and then to see a SIGTERM, and to repeat an interruption.
            connection.wait(lambda: runner.stopping is not None, 0.5)
            self._interrupt()
        while self._busy():
            connection.wait(lambda: not self._busy(), 0.02)
            self._interrupt()
        for _ in self.workers:
            self.queue.put(None)

    def _busy(self) -> bool:
        return any([w.frame is not None for w in list(self.workers.values())])

    def _arrived(self) -> None:
        """Gives the threads what has come."""
        while self.runner.stopping is None:
            with self._lock:
                if not self.idle and len(self.workers) >= self.concurrency:
                    return
                frame = self.runner.next()
                if frame is None:
                    return
                if self.idle:
                    self.idle -= 1
                    self.queue.put(frame)
                    continue
                worker = Worker()
                self.workers[id(worker)] = worker
                self.queue.put(frame)
            import threading

            threading.Thread(
                target=self._work, args=(worker,), name=f"gx-input-{len(self.workers)}", daemon=True
            ).start()

    def _work(self, worker: Worker) -> None:
        worker.ident = get_ident()
        while True:
            try:
                frame = self.queue.get()
                if frame is None:
                    return
                while frame is not None:
                    self._one(worker, frame)
                    frame = None
                    with self._lock:
                        worker.frame = None
                        if self.runner.stopping is None:
                            frame = self.runner.next()
                        if frame is None:
                            self.idle += 1
            except (_wire.Closed, _wire.ProtocolError):
                return  # the main thread says so

    def _one(self, worker: Worker, frame: Frame) -> None:
        runner = self.runner
        token = state.input_frame.set(frame)
        failure: Optional[BaseException] = None
        value: Any = None
        function: Any = None
        try:
            worker.cancelled = False
            worker.frame = frame
            function = self.service.targets[runner.method(frame)]
            try:
                args, kwargs = runner.arguments(frame, function)
            except Exception as error:
                failure = error
            else:
                try:
                    worker.in_user = True
                    value = function(*args, **kwargs)
                    if type(value) not in PLAIN:
                        value = self._resolve(worker, value, frame, function)
                finally:
                    self._left(worker)
        except BaseException as error:
            self._left(worker)
            failure = error
        if state.runner is None:
            runner.leave_child(failure)
        runner.finish(frame)
        if failure is not None:
            runner.answers.error(frame, failure)
        elif value is not self:
            runner.answers.result(frame, value, function)
        runner.answers.flush()
        state.input_frame.reset(token)

    def _resolve(self, worker: Worker, value: Any, frame: Frame, function: Any) -> Any:
        """As Serial does; ``self`` says that an error was sent already."""
        if type(value) is GENERATOR:
            self.runner.may_stream(frame, function)
            for item in value:
                if worker.cancelled:
                    value.close()
                    raise errors.make("InputCancellation", "the input was cancelled")
                if not self.runner.answers.item(frame, item, function):
                    value.close()
                    return self
            return None
        if type(value) is COROUTINE:
            import asyncio

            return asyncio.run(value)
        return value

    # -- cancelling --

    def cancel(self, matches: Callable[[Frame], bool]) -> None:
        """Interrupts the running inputs that match."""
        for worker in list(self.workers.values()):
            if worker.frame is not None and matches(worker.frame):
                worker.cancelled = True
        self._interrupt()

    def _interrupt(self) -> None:
        """Raises in the threads whose input is cancelled. Best effort: see the class."""
        for worker in list(self.workers.values()):
            if worker.cancelled and worker.in_user:
                with worker.lock:
                    if not worker.in_user or self.runner.connection.guarded(worker.ident):
                        continue
                    worker.cancelled = False
                    _raise_in(worker.ident, type(errors.make("InputCancellation", "")))

    def _left(self, worker: Worker) -> None:
        """The thread is not in the user's function any more: what was raised too late is taken back."""
        while True:
            try:
                with worker.lock:
                    if worker.in_user:
                        worker.in_user = False
                        if not worker.cancelled and "ctypes" in __import__("sys").modules:
                            _raise_in(worker.ident, None)
                return
            except BaseException as error:
                if type(error).__name__ != "InputCancellation":
                    raise

    def _on_terminate(self, *_: Any) -> None:
        if state.runner is None:  # a forked child
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
            os.kill(os.getpid(), _signal.SIGTERM)
        elif self.runner.stopping is None:
            self.runner.stopping = {"reason": "SIGTERM"}


def _raise_in(thread: int, kind: Optional[type]) -> None:
    """Raises an exception of this type in a thread; None takes back one that has not come up yet."""
    try:
        import ctypes
    except ImportError:
        return  # a Python without ctypes cannot
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(kind) if kind else None
    )
