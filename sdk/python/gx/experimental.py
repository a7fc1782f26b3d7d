"""What is being tried out: nothing yet."""

from __future__ import annotations

from gx._planned import planned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    planned(f"gx.experimental.{name}")
