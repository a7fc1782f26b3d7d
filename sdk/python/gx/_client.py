"""Calls over a connection with the host: one connection for all calls of an app's run.

No thread reads the connection for others: whoever needs an answer reads until
it has come, see gx._wire.Connection.wait. Frames that come are handed to the
taker of their call; those of calls that nobody waits for are dropped.
"""

from __future__ import annotations

from itertools import count

from gx import _wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

    from gx._aio import Watcher
    from gx._callee import Callee
    from gx._wire import Connection, Frame, Payload

_pack = _wire.HEADER.pack
_END, _INPUT, _OPEN = _wire.END, _wire.INPUT, _wire.OPEN


class Client:
    """Opens calls on a connection. Threads may share it.

    ``mark`` is set in the numbers of its calls (RUNNER_CALL in a container).
    ``sync`` waits until the log lines up to its argument are printed.
    """

    def __init__(self, connection: Connection, mark: int = 0, sync: Optional[Callable[[int], None]] = None) -> None:
        self.connection = connection
        self.takers: Dict[int, Callable[[Frame], Any]] = {}
        self.sync: Callable[[int], None] = sync or (lambda line: None)
        self.watchers: Dict[int, Watcher] = {}  # of event loops
        self._numbers = count(1)
        self._mark = mark
        self._current: Optional[Callable[[], Optional[Frame]]] = None  # the input that the caller is part of
        if mark:
            from gx._runner import state

            self._current = state.current

    def handle(self, frame: Frame) -> None:
        """Takes a frame of the host; called in whichever thread reads the connection."""
        take = self.takers.get(frame[1])
        if take is not None:
            take(frame)

    def number(self) -> int:
        """A number for a call or a request that none has."""
        return self._mark | next(self._numbers) & 0x7FFFFFFF

    def opening(self, number: int, callee: Callee, kind: str, unordered: bool = False) -> bytes:
        """The OPEN frame of a call; in a container after the name of the input that makes it."""
        body = callee.opening(kind, unordered)
        opening = _pack(len(body), _OPEN, 0, 0, number, 0) + body
        if self._current is not None:
            within = self._current()
            if within is not None:
                return _pack(0, _wire.WITHIN, 0, 0, within[1], within[2]) + opening
        return opening

    def wait(self, done: Callable[[], Any], timeout: Optional[float] = None) -> bool:
        """As Connection.wait, with this package's exception for a connection that has ended."""
        try:
            return self.connection.wait(done, timeout)
        except (_wire.Closed, _wire.ProtocolError) as error:
            raise gone(error) from None

    def send(self, data: bytes) -> None:
        """Sends encoded frames."""
        try:
            self.connection.send(data)
        except _wire.Closed as error:
            raise gone(error) from None

    def send_input(self, number: int, index: int, payload: Payload, before: bytes = b"", after: bytes = b"") -> None:
        """Sends an input of any size between encoded frames."""
        try:
            self.connection.send_payload(_INPUT, number, index, payload, before=before, after=after)
        except _wire.Closed as error:
            raise gone(error) from None
        except _wire.TooLarge as error:
            raise too_large(error) from None

    def start(self, number: int, callee: Callee, kind: str, payload: Payload) -> None:
        """Opens a call with one input."""
        opening = self.opening(number, callee, kind)
        end = _pack(0, _END, 0, 0, number, 1)
        self.send_input(number, 0, payload, opening, end)

    def call(self, callee: Callee, payload: Payload) -> Frame:
        """Calls a function and waits for the frame that answers it."""
        number = self.number()
        answers: List[Frame] = []
        self.takers[number] = answers.append
        try:
            self.start(number, callee, "call", payload)
            self.wait(answers.__len__)
        except BaseException:
            self.abandon(number)
            raise
        finally:
            del self.takers[number]
        answer = answers[0]
        if answer[5]:
            self.sync(answer[5])
        return answer

    def spawn(self, callee: Callee, payload: Payload) -> str:
        """Starts a call that goes on by itself and returns its id."""
        number = self.number()
        answers: List[Frame] = []
        self.takers[number] = answers.append
        try:
            self.start(number, callee, "spawn", payload)
            self.wait(answers.__len__)
        finally:
            del self.takers[number]
        return call_id(answers[0])

    def request(self, op: str, **params: Any) -> List[Frame]:
        """Asks the host and returns all frames that answer; the last is the REPLY."""
        number, answers = self.number(), []  # type: ignore[var-annotated]
        self.takers[number] = answers.append
        try:
            self.send(_wire.encode(_wire.REQUEST, number, body=_wire.to_json({"op": op, "params": params})))
            self.wait(lambda: answers and answers[-1][0] == _wire.REPLY)
        finally:
            del self.takers[number]
        return answers

    def abandon(self, number: int) -> None:
        """Tells the host that nobody waits for a call any more, if it can be told."""
        try:
            self.connection.send(_pack(0, _wire.CANCEL, 0, 0, number, _wire.ALL_INPUTS))
        except (OSError, _wire.ProtocolError):
            pass  # the host learns it from the connection's end

    def close(self) -> None:
        """Ends the connection; who waits on it gets an exception."""
        self.connection.close()


def reply(frames: List[Frame]) -> Any:
    """The result in the REPLY that ends these frames. Raises what the host answered."""
    body = _wire.from_json(frames[-1][3])
    if body.get("error"):
        from gx._failures import failure

        raise failure(body["error"])
    return body.get("result")


def call_id(frame: Frame) -> str:
    """The id in an OPENED frame; what came instead is raised."""
    if frame[0] == _wire.OPENED:
        return str(_wire.from_json(frame[3])["call_id"])
    from gx._failures import answer_error
    from gx.exception import InternalError

    if frame[0] in (_wire.FAIL, _wire.ERROR):
        raise answer_error(frame)
    raise InternalError(f"the host answered the opening of a call by a frame of type {frame[0]}")


def gone(error: BaseException) -> Exception:
    """What is raised when the connection has ended."""
    from gx.exception import ConnectionError

    return ConnectionError(str(error))


def too_large(error: BaseException) -> Exception:
    """What is raised when a payload exceeds the limit."""
    from gx.exception import RequestSizeError

    return RequestSizeError(str(error))


def connected(fd: int, sync: Callable[[int], None]) -> Client:
    """A client on a descriptor that speaks frames with the host; says hello. Takes the descriptor over."""
    import sys

    import _socket

    from gx._version import __version__

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
    sock.setblocking(True)
    connection = _wire.Connection(sock)
    client = Client(connection, sync=sync)
    answers: List[Frame] = []
    connection.handler = answers.append
    hello = {
        "protocol": _wire.PROTOCOL,
        "role": "client",
        "version": __version__,
        "python": "%d.%d.%d" % sys.version_info[:3],
    }
    client.send(_wire.encode(_wire.HELLO, body=_wire.to_json(hello)))
    client.wait(answers.__len__)
    if answers[0][0] != _wire.READY:
        from gx._failures import failure

        connection.close()
        raise failure(_wire.from_json(answers[0][3]) if answers[0][0] == _wire.FAIL else {"kind": "internal", "message": "the host did not accept the connection"})
    if _wire.from_json(answers[0][3]).get("descriptors"):
        import os

        connection.descriptors = hasattr(os, "memfd_create")
    connection.handler = client.handle
    return client


def in_container() -> Optional[Client]:
    """The client on the runner's connection, in a container; else None."""
    from gx._runner import state

    runner = state.runner
    if runner is None:
        return None
    if runner.client is None:
        client = Client(runner.connection, mark=_wire.RUNNER_CALL)
        state.attach(client.handle)
        return client
    client = getattr(runner.client, "__self__", None)  # type: ignore[assignment]
    return client if isinstance(client, Client) else None
