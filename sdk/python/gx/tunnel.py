"""Ports of a container that the outside can reach: planned."""

from __future__ import annotations

from gx._planned import Planned, planned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Tunnel(Planned):
    """Planned: a port of a container that the outside can reach."""


def forward(port: int, *, unencrypted: bool = False) -> NoReturn:
    """Planned: makes a port of this container reachable."""
    planned("gx.forward: tunnels")
