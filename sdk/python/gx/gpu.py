"""Which GPUs a function asks for: a string such as "A100-80GB:2", or an older object of this module."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Union

    GPU = Union[None, str, "Card", Sequence[Union[str, "Card"]]]

NAMES = (
    "T4", "L4", "A10", "A10G", "L40S", "A100", "A100-40GB", "A100-80GB",
    "RTX-PRO-6000", "H100", "H100!", "H200", "B200", "B200+", "B300", "any",
)  # fmt: skip
"""The names that people give; the host knows the cards and may know more."""


class Card:
    """A model of GPU and a number of them, as older programs write it: ``gpu.A100(memory=80, count=2)``."""

    name = ""

    def __init__(self, count: int = 1) -> None:
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise _invalid(f"gpu.{type(self).__name__}: count={count!r}; it must be 1 or more")
        self.count = count

    def __str__(self) -> str:
        return self.name if self.count == 1 else f"{self.name}:{self.count}"

    def __repr__(self) -> str:
        return f"gpu.{type(self).__name__}({str(self)!r})"


class T4(Card):
    """NVIDIA T4, 16 GB."""

    name = "T4"


class L4(Card):
    """NVIDIA L4, 24 GB."""

    name = "L4"


class A10G(Card):
    """NVIDIA A10G, 24 GB."""

    name = "A10G"


class A100(Card):
    """NVIDIA A100 with 40 or 80 GB: ``size="80GB"``, or ``memory=80``."""

    def __init__(self, *, count: int = 1, size: Optional[str] = None, memory: int = 0) -> None:
        super().__init__(count)
        asked = {str(size).upper().replace(" ", "") if size is not None else "", f"{memory}GB" if memory else ""} - {""}
        if len(asked) > 1 or not asked <= {"40GB", "80GB"}:
            raise _invalid(f"gpu.A100: size={size!r}, memory={memory!r}; there are A100 with 40GB and 80GB")
        self.name = f"A100-{asked.pop() if asked else '40GB'}"


class L40S(Card):
    """NVIDIA L40S, 48 GB."""

    name = "L40S"


class H100(Card):
    """NVIDIA H100, 80 GB."""

    name = "H100"


class H200(Card):
    """NVIDIA H200, 141 GB."""

    name = "H200"


class B200(Card):
    """NVIDIA B200, 192 GB."""

    name = "B200"


class Any(Card):
    """Any GPU."""

    name = "any"


def parse(gpu: GPU) -> List[str]:
    """What a function's ``gpu=`` means, in order of preference; [] = none."""
    if gpu is None:
        return []
    if isinstance(gpu, (list, tuple)):
        return [_one(item) for item in gpu]
    return [_one(gpu)]


def _one(gpu: object) -> str:
    if isinstance(gpu, Card):
        from gx._notices import older

        older(f"gpu.{type(gpu).__name__}(...)", f'gpu="{gpu}"')
        return str(gpu)
    if not isinstance(gpu, str):
        raise _invalid(f"gpu= is a string such as \"A100-80GB:2\" or a list of them, not a {type(gpu).__name__}")
    name, colon, count = gpu.strip().partition(":")
    if not name or colon and (not count.strip().isdigit() or int(count) < 1):
        raise _invalid(f'gpu="{gpu}": a GPU is a name and, behind a colon, how many: "T4", "A100-80GB:2"')
    if name.strip().upper() not in [known.upper() for known in NAMES]:
        raise _invalid(f'gpu="{gpu}": unknown; there are {", ".join(NAMES)}')
    return gpu.strip()


def _invalid(message: str) -> Exception:
    from gx.exception import InvalidError

    return InvalidError(message)
