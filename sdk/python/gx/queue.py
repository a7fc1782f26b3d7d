"""Named queues that functions share: planned."""

from __future__ import annotations

from gx._planned import Planned


class Queue(Planned):
    """Planned: a named queue."""
