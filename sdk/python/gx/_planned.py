"""What the name exists for, and gx does not do yet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def planned(what: str) -> NoReturn:
    """Raises UnimplementedError that says so."""
    from gx.exception import UnimplementedError

    raise UnimplementedError(f"{what}: planned, and not part of gx yet")


class PlannedName:
    """An attribute of a class that says, wherever it is asked for, that it is planned."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __get__(self, object: Any, owner: Any = None) -> Any:
        planned(self._what)


class _PlannedType(type):
    """Makes every use of a class say that it is planned."""

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        planned(f"gx.{cls.__name__}(...)")

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        planned(f"gx.{cls.__name__}.{name}")


class Planned(metaclass=_PlannedType):
    """Base of classes that are names so far."""
