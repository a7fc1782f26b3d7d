"""Types that programs name in annotations."""

from __future__ import annotations

from dataclasses import dataclass

from gx.file_pattern_matcher import FilePatternMatcher as FilePatternMatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import List

__all__ = ["FilePatternMatcher", "LogEntry", "LogSource"]

LogSource = str
"""Where a line comes from: "stdout", "stderr", or "system" for gx's own words."""


@dataclass(frozen=True)
class LogEntry:
    """A line of a log; ``print(entry, end="")`` prints it as it was printed.

    message: the text, with the end of its line if it had one.
    timestamp: when it was printed, in UTC.
    source: "stdout", "stderr" or "system".
    object_id: the id of what was asked for its logs: an app, a function or a call.
    context_ids: within that, from the outside to the inside, ids of the call, the input and the container.
    """

    message: str
    timestamp: datetime
    source: LogSource
    object_id: str
    context_ids: List[str]

    def __str__(self) -> str:
        return self.message
