"""What apps have cost: planned; ``gx run`` prints each run's."""

from __future__ import annotations

from gx._planned import planned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    planned(f"gx.billing.{name}")
