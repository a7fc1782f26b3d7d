"""Snapshots of sandboxes: planned."""

from __future__ import annotations

from gx._planned import Planned


class SandboxSnapshot(Planned):
    """Planned: the state of a sandbox."""
