"""Containers for commands: planned."""

from __future__ import annotations

from gx._planned import Planned


class Sandbox(Planned):
    """Planned: a container for commands."""


class Probe(Planned):
    """Planned: how a sandbox shows that it is ready."""
