"""Workspaces: planned."""

from __future__ import annotations

from gx._planned import Planned


class Workspace(Planned):
    """Planned: what belongs to one user."""
