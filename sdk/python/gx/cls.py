"""Classes whose methods share containers: planned."""

from __future__ import annotations

from gx._planned import Planned


class Cls(Planned):
    """Planned: a class of an app."""
