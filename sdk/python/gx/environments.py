"""Environments of a host: planned."""

from __future__ import annotations

from gx._planned import Planned


class Environment(Planned):
    """Planned: a separate set of names on one host."""
