"""Batches: inputs that come one by one and are run together, as lists.

The host forms a batch and announces it; its inputs come right behind. Where the
rest of the runner has a frame, a batch is its first input's frame that knows
the others.
"""

from __future__ import annotations

from gx import _wire
from gx._runner import errors
from gx._signature import Signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from gx._wire import Frame

    Row = Tuple[Tuple[Any, ...], Dict[str, Any]]


class Batch(tuple):
    """The first input's frame, with all of them as ``frames``."""

    frames: List[Frame]


class Collector:
    """Puts inputs together as the host has announced them."""

    def __init__(self) -> None:
        self._expected = 0
        self._frames: List[Frame] = []

    def announce(self, count: int) -> None:
        """The next ``count`` inputs are one batch."""
        self._expected = count

    def add(self, frame: Frame) -> Optional[Batch]:
        """Takes an input; returns the batch that it makes whole. One that was not announced is a batch by itself."""
        self._frames.append(frame)
        if len(self._frames) < self._expected:
            return None
        batch = Batch(self._frames[0])
        batch.frames, self._frames, self._expected = self._frames, [], 0
        return batch


def gather(batch: Batch, function: Callable, refuse: Callable[[Frame, BaseException], None]) -> Row:
    """The arguments of a batch: each parameter is a list with one value of each input.

    Parameters that only some inputs give have their default in the others. An
    input whose arguments can't be unpickled, or do not fit the function, is
    refused, and the batch goes on without it. Raises TypeError if none is left.
    """
    signature = Signature(function)
    bound: List[Tuple[Frame, Row]] = []
    for frame in batch.frames:
        try:
            args, kwargs = _loaded(frame)
            bound.append((frame, signature.bind(args, kwargs)))
        except Exception as error:
            refuse(frame, error)
    names = list(dict.fromkeys([name for _, row in bound for name in row[1]]))
    most = max([len(row[0]) for _, row in bound], default=0)
    batch.frames, rows = [], []
    for frame, row in bound:
        misfit = _fill(signature, row, names, most)
        if misfit is None:
            batch.frames.append(frame)
            rows.append(row)
        else:
            refuse(frame, misfit)
    if not rows:
        raise TypeError("no input of the batch can be run")
    columns = {name: [row[1][name] for row in rows] for name in names}
    args = []
    for name in signature.positional:
        if name not in columns:
            break  # the rest has its defaults, or is given by name
        args.append(columns.pop(name))
    args += [[row[0][i] for row in rows] for i in range(most)]
    return tuple(args), columns


def _loaded(frame: Frame) -> Any:
    try:
        return _wire.loads(frame[3])
    except Exception as error:
        raise errors.not_loadable(error) from None


def _fill(signature: Signature, row: Row, names: List[str], most: int) -> Optional[TypeError]:
    """Gives a row the defaults of what other inputs of the batch give; an error if there are none."""
    rest, given = row
    for name in names:
        if name not in given:
            if name not in signature.defaults:
                return TypeError(f"{signature.name}() needs a value for {name!r}, which other inputs of its batch have")
            given[name] = signature.defaults[name]
    if len(rest) != most:
        return TypeError(f"{signature.name}() got {len(rest)} further arguments, and other inputs of its batch have {most}")
    return None


def scatter(batch: Batch, value: Any, function: Any) -> List[Any]:
    """The values of a batch's inputs, one each. Raises InvalidError if these are not as many."""
    name = getattr(function, "__qualname__", None) or "the function"
    if isinstance(value, (str, bytes, bytearray, dict)) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        raise errors.make(
            "InvalidError",
            f"{name} is batched, so it returns a list with one value for each input; it returned a {type(value).__name__}",
        )
    if len(value) != len(batch.frames):
        raise errors.make(
            "InvalidError",
            f"{name} is batched, and returned {len(value)} values for a batch of {len(batch.frames)} inputs; "
            "it returns one value for each input, in their order",
        )
    return list(value)
