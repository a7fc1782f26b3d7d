"""Servers of an app: planned."""

from __future__ import annotations

from gx._planned import Planned


class Server(Planned):
    """Planned: a server of an app."""
