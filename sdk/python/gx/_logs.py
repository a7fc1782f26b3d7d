"""What functions have printed, read from the host's logs: ``app.logs``, ``function.logs`` and ``call.logs``.

engine/logpages.go has the other side: each answer is a page of lines, and says
where the next one begins.
"""

from __future__ import annotations

from datetime import datetime, timezone
from time import monotonic

from gx._dual import Dual
from gx.types import LogEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Callable, Dict, Generator, Iterator, List, Optional, Tuple, Union

    from gx.types import LogSource

    # Yields what to ask, and is sent the answer; or yields entries for who reads.
    Steps = Generator[Union[Dict[str, Any], List[LogEntry]], Any, None]

WAIT = 20.0
"""Seconds that one question waits for lines."""

_SOURCES = ("stdout", "stderr", "system")


class Logs:
    """The log of an app, a function or a call. Lines come in the order in which they were printed.

    They are there as long as the host keeps them (docs/logs.md), also after the
    app has ended. Raises NotFoundError where there is no such log.
    """

    def __init__(self, find: Callable[[], Tuple[str, Dict[str, Any]]]) -> None:
        self._find = find  # the object's id, and what names it to the host

    def _fetch(
        self, *, since: Optional[datetime] = None, until: Optional[datetime] = None, source: Optional[LogSource] = None, search_text: str = ""
    ) -> Iterator[LogEntry]:
        """The lines from ``since`` (default: the first that is kept) to ``until`` (default: now).

        A datetime without a time zone is local time. ``source``: "stdout", "stderr",
        "system", or None for all. ``search_text``: only lines that contain it.
        """
        return _drive(self._fetching(since, until, source, search_text))

    def _fetch_aio(
        self, *, since: Optional[datetime] = None, until: Optional[datetime] = None, source: Optional[LogSource] = None, search_text: str = ""
    ) -> AsyncIterator[LogEntry]:
        return _drive_aio(self._fetching(since, until, source, search_text))

    fetch = Dual(_fetch, _fetch_aio)

    def _tail(self, entries: int = 100, *, source: Optional[LogSource] = None) -> Iterator[LogEntry]:
        """The newest lines, at most so many, the oldest of them first."""
        return _drive(self._tailing(entries, source))

    def _tail_aio(self, entries: int = 100, *, source: Optional[LogSource] = None) -> AsyncIterator[LogEntry]:
        return _drive_aio(self._tailing(entries, source))

    tail = Dual(_tail, _tail_aio)

    def _stream(self, timeout: Optional[float] = None) -> Iterator[LogEntry]:
        """Lines as they come: of an app or a function those from now on, of a call all.

        It ends when no line has come for ``timeout`` seconds (default: it waits),
        when the app has ended, and for a call when the call has.
        """
        return _drive(self._streaming(timeout))

    def _stream_aio(self, timeout: Optional[float] = None) -> AsyncIterator[LogEntry]:
        return _drive_aio(self._streaming(timeout))

    stream = Dual(_stream, _stream_aio)

    # -- the same for both ways of waiting --

    def _fetching(self, since: Optional[datetime], until: Optional[datetime], source: Optional[LogSource], search_text: str) -> Steps:
        asked = {
            "since": _seconds(since, "since"),
            "until": _seconds(until, "until") or datetime.now(timezone.utc).timestamp(),
            "streams": _streams(source),
            "search": search_text,
        }
        yield from self._pages(asked)

    def _tailing(self, entries: int, source: Optional[LogSource]) -> Steps:
        if entries < 0:
            raise ValueError(f"entries={entries}: it is a number of lines")
        if entries:
            yield from self._pages({"tail": entries, "streams": _streams(source)}, entries)

    def _pages(self, asked: Dict[str, Any], most: int = 0) -> Steps:
        object_id, where = self._find()
        sent = 0
        while True:
            page = yield {**where, **asked}
            entries = _entries(page, object_id)
            sent += len(entries)
            yield entries
            if not page["more"] or most and sent >= most:
                return
            asked = {**asked, "after": page["after"], "tail": max(0, most - sent)}

    def _streaming(self, timeout: Optional[float]) -> Steps:
        if timeout is not None and timeout <= 0:
            return
        object_id, where = self._find()
        asked: Dict[str, Any] = {}
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            wait = WAIT if deadline is None else min(WAIT, deadline - monotonic())
            if wait <= 0:
                return
            page = yield {**where, **asked, "wait": wait}
            if page["lines"]:
                yield _entries(page, object_id)
                if timeout is not None:
                    deadline = monotonic() + timeout
            if page["ended"]:
                return
            asked = {"after": page["after"]}


def _drive(steps: Steps) -> Iterator[LogEntry]:
    from gx._ask import ask

    answer = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            return
        answer = None
        if isinstance(step, list):
            yield from step
        else:
            answer = ask("logs.read", **step)[0]


async def _drive_aio(steps: Steps) -> AsyncIterator[LogEntry]:
    from gx._ask import ask_aio

    answer = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            return
        answer = None
        if isinstance(step, list):
            for entry in step:
                yield entry
        else:
            answer = (await ask_aio("logs.read", **step))[0]


def _entries(page: Dict[str, Any], object_id: str) -> List[LogEntry]:
    return [
        LogEntry(
            message=line["text"] + ("" if line.get("partial") else "\n"),
            timestamp=datetime.fromtimestamp(line["time"], timezone.utc),
            source=line["stream"],
            object_id=object_id,
            context_ids=_context(line, object_id[:2]),
        )
        for line in page["lines"]
    ]


def _context(line: Dict[str, Any], kind: str) -> List[str]:
    """What an entry came from, within an object whose ids begin so."""
    call, ids = line.get("call"), []
    if kind != "fc" and call:
        ids.append(call)
    if call:
        ids.append(f"in-{call[3:]}-{line.get('input', 0)}")
    if line.get("container"):
        ids.append(line["container"])
    return ids


def _seconds(when: Optional[datetime], name: str) -> float:
    """Seconds since 1970; 0 for None. Raises TypeError."""
    if when is None:
        return 0.0
    if not isinstance(when, datetime):
        raise TypeError(f"{name}= is a datetime, not a {type(when).__name__}")
    return when.timestamp()  # one without a zone is local time


def _streams(source: Optional[LogSource]) -> List[str]:
    """Raises ValueError."""
    if source is None:
        return []
    if source not in _SOURCES:
        raise ValueError(f"source={source!r}: it can be 'stdout', 'stderr', 'system' or None")
    return [source]
