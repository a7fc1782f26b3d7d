"""A function's parameters, read from its code: the module inspect takes longer to import than most programs run."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

_VARARGS, _VARKEYWORDS = 0x04, 0x08  # of co_flags


class Signature:
    """What a function can be called with. Of a bound method the first parameter is left out; of callables without code nothing is known."""

    def __init__(self, function: Any, skip: int = 0) -> None:
        self.name = str(getattr(function, "__qualname__", None) or "the function")
        raw = getattr(function, "__func__", function)
        skip += raw is not function
        code = getattr(raw, "__code__", None)
        self.known = code is not None
        self.positional: List[str] = []
        self.keyword: List[str] = []  # only by keyword
        self.unnamed = 0  # of the positional ones, how many can't be given by keyword
        self.defaults: Dict[str, Any] = {}
        self.rest = self.more = True  # takes *args, takes **kwargs
        if code is None:
            return
        names, count = code.co_varnames, code.co_argcount
        self.positional = list(names[skip:count])
        self.keyword = list(names[count : count + code.co_kwonlyargcount])
        self.unnamed = max(0, code.co_posonlyargcount - skip)
        defaults = raw.__defaults__ or ()
        self.defaults = {**dict(zip(names[count - len(defaults) : count], defaults)), **(raw.__kwdefaults__ or {})}
        self.rest = bool(code.co_flags & _VARARGS)
        self.more = bool(code.co_flags & _VARKEYWORDS)

    def bind(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
        """The same arguments by name, behind those that only ``*args`` takes. Raises TypeError as a call would."""
        given = dict(zip(self.positional, args))
        rest = args[len(self.positional) :]
        if rest and not self.rest:
            raise TypeError(f"{self.name}() takes {len(self.positional)} arguments, and {len(args)} were given")
        for name, value in kwargs.items():
            if name in given:
                raise TypeError(f"{self.name}() got two values for argument {name!r}")
            if not self.more and name not in self.keyword and name not in self.positional[self.unnamed :]:
                raise TypeError(f"{self.name}() has no parameter {name!r}" + self._near(name))
            given[name] = value
        missing = [name for name in (*self.positional, *self.keyword) if name not in given and name not in self.defaults]
        if missing:
            raise TypeError(f"{self.name}() needs a value for {', '.join(map(repr, missing))}")
        return rest, given

    def _near(self, name: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(name, [*self.positional, *self.keyword], 1)
        return f"; did you mean {near[0]!r}?" if near else ""
