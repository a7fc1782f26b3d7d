"""Where containers are placed: planned."""

from __future__ import annotations

from gx._planned import Planned


class SchedulerPlacement(Planned):
    """Planned: a wish for where containers run."""
