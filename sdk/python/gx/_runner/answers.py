"""What is sent back for an input: items, a value, an exception."""

from __future__ import annotations

from _thread import allocate_lock

from gx import _wire
from gx._runner import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from gx._wire import Connection, Frame, Payload

_pack = _wire.HEADER.pack


class Answers:
    """Answers that are collected until ``flush`` sends them with one system call.

    Every answer of an input says its call, index and attempt. Several threads
    may use it. Once a value is known not to be sendable the caller gets an
    exception that says so instead.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.waiting: List[bytes] = []  # encoded frames that are not sent
        self._flushing = allocate_lock()

    def result(self, frame: Frame, value: Any, function: Any) -> None:
        """The input's value, its last answer. Of a batch: a list, of which each input gets its own."""
        if type(frame) is tuple:
            self._value(_wire.RESULT, frame, value, function)
        else:
            self._scatter(frame, value, function)

    def item(self, frame: Frame, value: Any, function: Any) -> bool:
        """One item of a generator, sent at once. False if it could not be, and an error was told."""
        if type(frame) is not tuple:
            raise errors.make("InvalidError", "a batched function returns a list, and can't be a generator")
        sent = self._value(_wire.ITEM, frame, value, function)
        self.flush()
        return sent

    def error(self, frame: Frame, error: BaseException) -> None:
        """The exception of an input, or of each of a batch: its last answer."""
        body = errors.body(error)
        for one in (frame,) if type(frame) is tuple else frame.frames:  # type: ignore[attr-defined]
            self._payload(_wire.ERROR, one, body)

    def flush(self) -> None:
        """Sends what is collected. Raises Closed."""
        with self._flushing:
            waiting = self.waiting
            count = len(waiting)
            if count:
                data = waiting[0] if count == 1 else b"".join(waiting[:count])
                del waiting[:count]  # others may have appended meanwhile
                self.connection.send(data)

    def _scatter(self, batch: Any, value: Any, function: Any) -> None:
        from gx._runner.batches import scatter

        try:
            values = scatter(batch, value, function)
        except Exception as error:
            self.error(batch, error)
            return
        for frame, one in zip(batch.frames, values):
            self._value(_wire.RESULT, frame, one, function)

    def _value(self, type: int, frame: Frame, value: Any, function: Any) -> bool:
        try:
            payload = _wire.dumps(value)
        except Exception as error:
            self.error(frame, errors.not_picklable(value, error, function))
            return False
        self._payload(type, frame, payload)
        return True

    def _payload(self, type: int, frame: Frame, payload: Payload) -> None:
        _, call, index, _, attempt, _ = frame
        if len(payload) <= _wire.INLINE_MAX:
            self.waiting.append(_pack(len(payload), type, 0, attempt, call, index) + payload)  # type: ignore[operator]
            return
        self.flush()
        try:
            self.connection.send_payload(type, call, index, payload, attempt)
        except _wire.Closed:
            raise
        except OSError as error:  # no memory for the payload's file
            self.error(
                frame,
                errors.make(
                    "ResourceExhaustedError", f"a value of {len(payload)} bytes cannot be sent: {error}"
                ),
            )
