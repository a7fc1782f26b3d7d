"""Which environment names belong to."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


def current(name: Optional[str] = None) -> str:
    """The environment that was asked for: ``name``, else $GX_ENVIRONMENT, else $MODAL_ENVIRONMENT, else "" (the host's main one)."""
    return name or os.environ.get("GX_ENVIRONMENT") or os.environ.get("MODAL_ENVIRONMENT") or ""
