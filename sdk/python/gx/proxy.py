"""Fixed outbound addresses: planned."""

from __future__ import annotations

from gx._planned import Planned


class Proxy(Planned):
    """Planned: a fixed outbound address."""
