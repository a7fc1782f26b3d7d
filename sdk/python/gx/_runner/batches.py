"""Batches: inputs that come one by one and are run together, as lists.

The host forms a batch and announces it; its inputs come right behind. Where the
rest of the runner has a frame, a batch is its first input's frame that knows
the others.
"""

from __future__ import annotations

from gx import _wire
from gx._runner import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

    from gx._wire import Frame

    Row = Tuple[Tuple[Any, ...], Dict[str, Any]]

_VARARGS, _VARKEYWORDS = 0x04, 0x08  # of co_flags
_MISSING: Any = object()


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
    parameters = _Parameters(function)
    frames: List[Frame] = []
    rows: List[Row] = []
    for frame in batch.frames:
        try:
            try:
                args, kwargs = _wire.loads(frame[3])
            except Exception as error:
                raise errors.not_loadable(error) from None
            rows.append(parameters.named(args, kwargs))
        except Exception as error:
            refuse(frame, error)
        else:
            frames.append(frame)
    names = list(dict.fromkeys([name for _, given in rows for name in given]))
    most = max([len(rest) for rest, _ in rows], default=0)
    for frame, row in list(zip(frames, rows)):
        absent = parameters.absent(row, names, most)
        if absent is not None:
            refuse(frame, absent)
            rows.remove(row)
            frames.remove(frame)
    batch.frames = frames
    if not frames:
        raise TypeError("no input of the batch can be run")
    columns = {name: [row[1][name] for row in rows] for name in names}
    args = []
    for name in parameters.positional:
        if name not in columns:
            break  # the rest has its defaults, or is given by name
        args.append(columns.pop(name))
    args += [[row[0][i] for row in rows] for i in range(most)]
    return tuple(args), columns


class _Parameters:
    """What a function is called with, read from its code; of other callables the arguments are taken as they are."""

    def __init__(self, function: Any) -> None:
        self.name = str(getattr(function, "__qualname__", None) or "the function")
        raw = getattr(function, "__func__", function)
        code = getattr(raw, "__code__", None)
        self.positional: List[str] = []
        self.defaults: Dict[str, Any] = {}
        self._known: Iterable[str] = ()
        self._required: List[str] = []
        self._anything = True  # **kwargs
        self._rest = True  # *args
        if code is None:
            return
        names = code.co_varnames[: code.co_argcount]
        keyword = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        defaults = raw.__defaults__ or ()
        self.defaults = {**dict(zip(names[len(names) - len(defaults) :], defaults)), **(raw.__kwdefaults__ or {})}
        self.positional = list(names[1:] if raw is not function else names)
        self._known = frozenset(self.positional[max(0, code.co_posonlyargcount - (raw is not function)) :]) | frozenset(keyword)
        self._required = [name for name in (*self.positional, *keyword) if name not in self.defaults]
        self._anything = bool(code.co_flags & _VARKEYWORDS)
        self._rest = bool(code.co_flags & _VARARGS)

    def named(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Row:
        """The same arguments by name, beside those that only ``*args`` takes. Raises TypeError."""
        given = dict(zip(self.positional, args))
        rest = args[len(self.positional) :]
        if rest and not self._rest:
            raise TypeError(f"{self.name}() takes {len(self.positional)} arguments, and {len(args)} were given")
        for name, value in kwargs.items():
            if name in given:
                raise TypeError(f"{self.name}() got two values for argument {name!r}")
            if name not in self._known and not self._anything:
                raise TypeError(f"{self.name}() got an unexpected argument {name!r}")
            given[name] = value
        for name in self._required:
            if name not in given:
                raise TypeError(f"{self.name}() misses the argument {name!r}")
        return rest, given

    def absent(self, row: Row, names: List[str], most: int) -> Optional[TypeError]:
        """Gives a row the defaults of what other inputs of the batch give; an error if there are none."""
        rest, given = row
        for name in names:
            if name not in given:
                if name not in self.defaults:
                    return TypeError(f"{self.name}() misses the argument {name!r}, which other inputs of its batch have")
                given[name] = self.defaults[name]
        if len(rest) != most:
            return TypeError(f"{self.name}() has {len(rest)} further arguments, and other inputs of its batch have {most}")
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
