"""The older shared file systems: planned."""

from __future__ import annotations

from gx._planned import Planned


class NetworkFileSystem(Planned):
    """Planned: a shared file system; volumes replace it."""


class SharedVolume(Planned):
    """The oldest name: planned; volumes replace it."""
