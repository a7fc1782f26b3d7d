"""Named dictionaries that functions share: planned."""

from __future__ import annotations

from gx._planned import Planned


class Dict(Planned):
    """Planned: a named dictionary."""
