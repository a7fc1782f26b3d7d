"""The connection to a host, as an object: planned."""

from __future__ import annotations

from gx._planned import Planned


class Client(Planned):
    """Planned: a connection to a host."""
