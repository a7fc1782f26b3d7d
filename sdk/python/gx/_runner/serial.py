"""One input at a time, in the main thread."""

from __future__ import annotations

import os
import _signal  # type: ignore[import-not-found]
from _thread import allocate_lock, get_ident, start_new_thread
from time import perf_counter

from gx import _wire
from gx._runner import errors, state
from gx._runner.kinds import COROUTINE, GENERATOR, PLAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from gx._runner.runner import Runner
    from gx._runner.service import Service
    from gx._wire import Frame

# A value is held back, to be sent together with the next, only while the
# function is as quick as this, and never for longer than that (seconds).
_QUICK = 100e-6
_HOLD = 1e-3

# The signal that raises InputCancellation in the main thread.
_CANCEL_SIGNAL = _signal.SIGRTMIN + 8 if hasattr(_signal, "SIGRTMIN") else _signal.SIGUSR1


class _Terminated(BaseException):
    """SIGTERM came while the runner was waiting."""


class Serial:
    """Runs inputs in the main thread, as they come.

    The main thread reads the connection itself when it has nothing to do, so
    that nothing is handed from thread to thread. While an input runs for
    longer than a moment, a second thread looks after the connection.
    """

    def __init__(self, runner: Runner, service: Service) -> None:
        self.runner = runner
        self.service = service
        self.cancelled: Optional[Frame] = None  # to be interrupted
        self.in_user = False  # the main thread is in the user's function
        self.sequence = 0  # of inputs begun
        self._main = get_ident()
        self._waiting = False  # in the connection, for the next input
        self._watcher = _Watcher(self)
        self._loop: Any = None  # for a plain function that returns a coroutine
        runner.cancel = self._cancel
        _signal.signal(_CANCEL_SIGNAL, self._on_cancel)
        _signal.signal(_signal.SIGTERM, self._on_terminate)

    def hook(self, hook: Callable) -> None:
        """Runs an enter or exit hook."""
        hook()

    def run(self) -> None:
        """Answers inputs until the host says stop."""
        runner, answers = self.runner, self.runner.answers
        waiting, watcher = answers.waiting, self._watcher
        targets, only = self.service.targets, self.service.targets.get("")
        arguments, result, finish, clock = runner.arguments, answers.result, runner.finish, perf_counter
        plain = PLAIN
        watcher.start()
        before = held = clock()
        while runner.stopping is None:
            frame = runner.next()
            if frame is None:
                if waiting:
                    answers.flush()
                self._wait()
                before = clock()
                continue
            self.sequence += 1
            state.running = frame
            if watcher.parked:
                watcher.unpark()
            failure: Optional[BaseException] = None
            function = only
            value = None
            try:
                if function is None:
                    function = targets[runner.method(frame)]
                try:
                    args, kwargs = arguments(frame, function)
                except Exception as error:
                    failure = error
                else:
                    try:
                        self.in_user = True
                        value = function(*args, **kwargs)
                        if type(value) not in plain:
                            value = self._resolve(value, frame, function)
                        self.in_user = False
                    except BaseException as error:
                        self.in_user = False
                        failure = error
            except BaseException as error:  # cancelled in the very moment it ended
                self.in_user = False
                failure = error
            if state.runner is None:
                runner.leave_child(failure)
            finish(frame)
            if failure is None:
                if value is not _ANSWERED:
                    result(frame, value, function)
            else:
                answers.error(frame, failure)
            state.running = None
            args = kwargs = value = failure = None  # large values are let go before the next
            now = clock()
            if len(waiting) == 1:
                held = now
            if now - before > _QUICK or now - held > _HOLD:
                frame = None
                answers.flush()
                now = clock()
            before = now
        answers.flush()
        watcher.await_begin()

    def _wait(self) -> None:
        """Waits until there may be an input, or a reason to stop."""
        runner = self.runner
        try:
            self._waiting = True
            runner.connection.pump(lambda: runner.inputs or runner.stopping is not None)
        except _Terminated:
            pass
        finally:
            self._waiting = False

    def _resolve(self, value: Any, frame: Frame, function: Any) -> Any:
        """A value that may be a generator, whose items are sent, or a coroutine, which is run."""
        kind = type(value)
        if kind is GENERATOR:
            self.runner.may_stream(frame, function)
            for item in value:
                self.in_user = False
                ok = self.runner.answers.item(frame, item, function)
                self.in_user = True
                if not ok:
                    value.close()
                    return _ANSWERED
                if self.cancelled is frame:  # a signal hardly ever meets the generator's own, short time
                    self.cancelled = None
                    value.close()
                    raise errors.make("InputCancellation", "the input was cancelled")
            return None
        if kind is COROUTINE:
            if self._loop is None:
                import asyncio

                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(value)
        return value

    # -- cancelling --

    def _cancel(self, matches: Callable[[Frame], bool]) -> None:
        frame = state.running
        if frame is not None and matches(frame):
            self.cancelled = frame
            self._watcher.unpark()

    def interrupt(self) -> None:
        """Asks the main thread to look at ``cancelled``. Called again until it has."""
        _signal.pthread_kill(self._main, _CANCEL_SIGNAL)

    def _on_cancel(self, *_: Any) -> None:
        if (
            not self.in_user
            or self.cancelled is None
            or self.cancelled is not state.running
            or state.runner is None
        ):
            return
        if self.runner.connection.guarded(self._main):
            return  # not in the middle of a frame; the signal comes again
        self.cancelled = None
        raise errors.make("InputCancellation", "the input was cancelled")

    def _on_terminate(self, *_: Any) -> None:
        if state.runner is None:  # a forked child
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
            os.kill(os.getpid(), _signal.SIGTERM)
            return
        if self.runner.stopping is None:
            self.runner.stopping = {"reason": "SIGTERM"}
        if self._waiting:
            raise _Terminated


class _Watcher:
    """A thread that looks after the connection while the main thread is in the user's function.

    It looks every few milliseconds, and only if an input has been running since
    it looked before: then it sends answers that were held back, and reads what
    comes (a cancellation, a stop, answers to calls of other threads). When no
    input has come for a while it sleeps until the next.
    """

    TICK = 0.01  # seconds
    QUIET = 200  # ticks without an input, until it sleeps

    def __init__(self, serial: Serial) -> None:
        self.parked = False
        self._serial = serial
        self._wake = allocate_lock()
        self._wake.acquire()
        self._started = False
        self._begun = allocate_lock()
        self._begun.acquire()

    def start(self) -> None:
        if not self._started:
            self._started = True
            start_new_thread(self._run, ())

    def await_begin(self) -> None:
        """Before the process ends: a thread that has its first moment after
        Python's last one crashes it (seen with 3.11)."""
        self._begun.acquire()

    def unpark(self) -> None:
        if self.parked:
            self.parked = False
            try:
                self._wake.release()
            except RuntimeError:
                pass  # somebody else has

    def _run(self) -> None:
        self._begun.release()
        try:
            self._watch()
        except _wire.Closed:
            # The host is gone, and what runs now can be of no use to anyone.
            os._exit(70)
        except _wire.ProtocolError as error:
            os.write(2, f"gx: the runner cannot understand its host: {error}\n".encode())
            os._exit(70)

    def _watch(self) -> None:
        serial, connection = self._serial, self._serial.runner.connection
        last, quiet = 0, 0
        while True:
            self._wake.acquire(True, self.TICK)
            if state.running is None:
                quiet += 1
                if quiet > self.QUIET:
                    self.parked = True
                    if state.running is None:
                        self._wake.acquire()
                    self.parked = False
                    quiet = 0
                continue
            quiet = 0
            if serial.sequence != last:
                last = serial.sequence
                continue
            serial.runner.answers.flush()
            while serial.sequence == last and state.running is not None:
                if serial.cancelled is not None and serial.cancelled is state.running:
                    serial.interrupt()
                    self._wake.acquire(True, self.TICK)
                elif connection.readable(0.1) and not connection.serve():
                    self._wake.acquire(True, self.TICK)


_ANSWERED = object()  # an error was sent already
