"""What the code in this process may ask about the runner that runs it.

Outside a container ``runner`` is None and the functions say so.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional

    from gx._runner.runner import Runner
    from gx._wire import Connection, Frame

runner: Optional[Runner] = None
"""The runner of this process; None outside a container, and in forked children."""

building = False
"""Whether this process runs a function while an image is built."""

running: Optional[Frame] = None
"""The input that is running, where only one runs at a time."""

input_frame: ContextVar[Optional[Frame]] = ContextVar("gx_input", default=None)
"""The input that this thread or task is running, where several run at once."""


def current() -> Optional[Frame]:
    """The input that the caller is part of, or None."""
    return input_frame.get() or running


def current_input_id() -> Optional[str]:
    """The id of the current input, or None outside one."""
    frame = current()
    return None if frame is None or runner is None else runner.input_id(frame)


def current_function_call_id() -> Optional[str]:
    """The id of the call that the current input is part of, or None outside one."""
    frame = current()
    return None if frame is None or runner is None else runner.call_id(frame)


def attach(handler: Callable[[Frame], None]) -> Optional[Connection]:
    """The container's connection with its host, for calls that the user's code makes.

    Frames that answer calls and requests whose number has bit 31 set go to
    ``handler`` from then on, in whichever thread receives them; use
    ``Connection.wait`` to wait for them. None outside a container.
    """
    if runner is None:
        return None
    runner.client = handler
    return runner.connection
