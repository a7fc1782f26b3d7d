"""How failed attempts are repeated."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Union


class Retries:
    """Repeats a failed input up to ``max_retries`` times.

    The first retry comes after ``initial_delay`` seconds, each further one
    after ``backoff_coefficient`` times as long, but never more than
    ``max_delay`` seconds.
    """

    def __init__(
        self,
        *,
        max_retries: int,
        backoff_coefficient: float = 2.0,
        initial_delay: float = 1.0,
        max_delay: float = 60.0,
    ) -> None:
        _check("max_retries", max_retries, 0, whole=True)
        _check("backoff_coefficient", backoff_coefficient, 1)
        _check("initial_delay", initial_delay, 0)
        _check("max_delay", max_delay, 0)
        self.max_retries = max_retries
        self.backoff_coefficient = float(backoff_coefficient)
        self.initial_delay = float(initial_delay)
        self.max_delay = float(max_delay)

    def __repr__(self) -> str:
        return (
            f"Retries(max_retries={self.max_retries}, backoff_coefficient={self.backoff_coefficient}, "
            f"initial_delay={self.initial_delay}, max_delay={self.max_delay})"
        )

    def _manifest(self) -> Dict[str, float]:
        return {
            "max": self.max_retries,
            "initial": self.initial_delay,
            "factor": self.backoff_coefficient,
            "longest": self.max_delay,
        }


def parse(retries: Union[None, int, Retries]) -> Optional[Retries]:
    """What a function's ``retries=`` means: a number is that many, one second apart."""
    if retries is None or isinstance(retries, Retries):
        return retries
    if isinstance(retries, int) and not isinstance(retries, bool):
        return Retries(max_retries=retries, backoff_coefficient=1.0)
    from gx.exception import InvalidError

    raise InvalidError(f"retries= is a number or a gx.Retries, not a {type(retries).__name__}")


def _check(name: str, value: float, least: float, whole: bool = False) -> None:
    good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and value >= least
    if not good or value != value or value > 1e9:
        from gx.exception import InvalidError

        raise InvalidError(f"Retries: {name}={value!r}; it must be {'an integer' if whole else 'a number'} of at least {least}")
