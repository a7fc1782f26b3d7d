"""What the name exists for, and gx does not do yet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def planned(what: str) -> NoReturn:
    """Raises UnimplementedError that says so."""
    from gx.exception import UnimplementedError

    raise UnimplementedError(f"{what}: planned, and not part of gx yet")
