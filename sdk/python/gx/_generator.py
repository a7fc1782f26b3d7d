"""Generators that run in containers: their items, as they come."""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]

from gx import _wire
from gx._failures import answer_error, result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Deque, Iterator

    from gx._callee import Callee
    from gx._client import Client
    from gx._wire import Frame


def items(client: Client, callee: Callee, payload: Any) -> Iterator[Any]:
    """Calls a generator function and yields its items. Leaving early ends the generator there."""
    number = client.number()
    came: Deque[Frame] = deque()
    client.takers[number] = came.append
    ended = False
    try:
        client.start(number, callee, "generator", payload)
        while True:
            client.wait(came.__len__)
            frame = came.popleft()
            if frame[5]:
                client.sync(frame[5])
            if frame[0] == _wire.ITEM:
                yield result(frame)
            elif frame[0] != _wire.OPENED:
                ended = True
                _end(frame)
                return
    finally:
        del client.takers[number]
        if not ended:
            client.abandon(number)


async def items_aio(client: Client, callee: Callee, payload: Any) -> AsyncIterator[Any]:
    """As ``items``, in an event loop."""
    from gx._aio import Inbox

    number = client.number()
    came: Deque[Frame] = deque()
    inbox = Inbox(client, came)
    client.takers[number] = inbox.take
    ended = False
    try:
        client.start(number, callee, "generator", payload)
        while True:
            await inbox.wait(came.__len__)
            frame = came.popleft()
            if frame[5]:
                client.sync(frame[5])
            if frame[0] == _wire.ITEM:
                yield result(frame)
            elif frame[0] != _wire.OPENED:
                ended = True
                _end(frame)
                return
    finally:
        del client.takers[number]
        if not ended:
            client.abandon(number)


def _end(frame: Frame) -> None:
    """The frame behind the last item: an exception is raised."""
    if frame[0] in (_wire.ERROR, _wire.FAIL):
        raise answer_error(frame)
