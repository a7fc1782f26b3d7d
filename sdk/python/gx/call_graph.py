"""Which calls a call has made."""

from __future__ import annotations

from enum import IntEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List


class InputStatus(IntEnum):
    """How far an input has come."""

    PENDING = 0
    RUNNING = 100
    SUCCESS = 1
    FAILURE = 2
    INIT_FAILURE = 3
    TERMINATED = 4
    TIMEOUT = 5


class InputInfo:
    """One input of a call; ``children`` are the inputs of the calls that its code has made."""

    def __init__(self, fields: Dict[str, Any]) -> None:
        status = str(fields.get("status", "pending")).upper()
        self.input_id = str(fields["input_id"])
        self.function_call_id = str(fields["function_call_id"])
        self.task_id = str(fields.get("container_id", ""))
        self.status = InputStatus[status] if status in InputStatus.__members__ else InputStatus.PENDING
        self.function_name = str(fields.get("function_name", ""))
        self.module_name = str(fields.get("module_name", ""))
        self.children: List[InputInfo] = [InputInfo(child) for child in fields.get("children") or ()]

    @property
    def container_id(self) -> str:
        """The container that has run the input, or is at it; "" if none has begun it."""
        return self.task_id

    def __repr__(self) -> str:
        return (
            f"InputInfo(input_id={self.input_id!r}, status={self.status.name}, function_name={self.function_name!r}, "
            f"children={len(self.children)})"
        )
