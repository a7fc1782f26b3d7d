"""Questions about what the host stores: volumes, secrets, dicts, queues, environments.

engine/ask in Go has the other side. An operation has a name, JSON parameters
and bytes; so has its answer.
"""

from __future__ import annotations

from gx import _wire
from gx._host import any_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Tuple

    from gx._client import Client


def ask(op: str, data: _wire.Buffer = b"", **params: Any) -> Tuple[Any, memoryview]:
    """Asks the host, on the connection there is, and waits for (result, bytes).

    ``params`` are str, int, float, bool, None, lists and dicts; ``data`` has at
    most 64 MiB. Raises what the host answered as an exception of
    gx.exception (queue.Full and queue.Empty for those two kinds).
    """
    return ask_on(any_client(), op, data, **params)


def ask_on(client: Client, op: str, data: _wire.Buffer = b"", **params: Any) -> Tuple[Any, memoryview]:
    """As ask, on this connection."""
    number = client.number()
    answers: List[_wire.Frame] = []
    client.takers[number] = answers.append
    try:
        _send(client, number, op, data, params)
        client.wait(answers.__len__)
    except BaseException:
        client.abandon(number)
        raise
    finally:
        del client.takers[number]
    return _answer(answers[0])


async def ask_aio(op: str, data: _wire.Buffer = b"", **params: Any) -> Tuple[Any, memoryview]:
    """As ask, for coroutines: others of the loop go on meanwhile."""
    from gx._aio import Inbox

    client = any_client()
    number = client.number()
    answers: List[_wire.Frame] = []
    inbox = Inbox(client, answers)
    client.takers[number] = inbox.take
    try:
        _send(client, number, op, data, params)
        await inbox.wait(answers.__len__)
    except BaseException:
        client.abandon(number)
        raise
    finally:
        del client.takers[number]
    return _answer(answers[0])


def hold(op: str, **params: Any) -> Callable[[], None]:
    """Asks what has no answer: what is asked for lasts until the connection ends, or the returned function is called."""
    client = any_client()
    number = client.number()
    _send(client, number, op, b"", params)
    return lambda: client.abandon(number)


def _send(client: Client, number: int, op: str, data: _wire.Buffer, params: dict) -> None:
    body = _wire.encode_message({"op": op, "params": params}, data)
    try:
        client.connection.send_payload(_wire.ASK, number, 0, body)
    except _wire.Closed as error:
        from gx._client import gone

        raise gone(error) from None
    except _wire.TooLarge as error:
        from gx._client import too_large

        raise too_large(error) from None


def _answer(frame: _wire.Frame) -> Tuple[Any, memoryview]:
    if frame[0] != _wire.ANSWER:
        from gx._failures import answer_error

        raise answer_error(frame)
    head, data = _wire.decode_message(_wire.whole(frame[3]))
    if head.get("error"):
        from gx._failures import failure

        raise failure(head["error"])
    return head.get("result"), data
