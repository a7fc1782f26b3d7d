"""Named folders that functions share: planned."""

from __future__ import annotations

from gx._planned import Planned


class Volume(Planned):
    """Planned: a named, versioned folder."""
