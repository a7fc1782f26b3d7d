"""What a class is made with: parameters by ``gx.parameter()``, or those of its ``__init__``.

Instances with equal values share containers, and the host tells values apart
by the bytes of their pickle. So these are canonical: every argument by name,
sorted, without those that equal their default, and pickled without memory of
which objects are the same.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence, Tuple

    from gx._signature import Signature

    Arguments = Tuple[Tuple[Any, ...], Dict[str, Any]]

TYPES = (str, int, float, bool, bytes)
_BY_NAME = {kind.__name__: kind for kind in TYPES}
_COMPARABLE = frozenset((*TYPES, type(None)))


class Parameter:
    """One ``gx.parameter()``; ``kind`` and ``name`` are known when its class is declared."""

    def __init__(self, default: Any, init: bool) -> None:
        self.default = default  # ...: none
        self.init = init
        self.name = ""
        self.kind: type = object

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def checked(self, value: Any) -> Any:
        """The value, if it is of the parameter's type; an int for a float becomes one. Raises TypeError."""
        if type(value) is self.kind:
            return value
        if self.kind is float and type(value) is int:
            return float(value)
        if isinstance(value, self.kind) and type(value) is not bool:
            return self.kind(value)  # numpy.float64, enum.IntEnum, ...
        raise TypeError(f"the parameter {self.name!r} is {_a(self.kind.__name__)}, and got {value!r}, {_a(type(value).__name__)}")


def declared(kind: type) -> Dict[str, Parameter]:
    """The parameters of a class and its bases by name, those of bases first. Raises TypeError if one is declared wrongly."""
    found: Dict[str, Parameter] = {}
    for owner in reversed(kind.__mro__):
        for name, value in vars(owner).items():
            if isinstance(value, Parameter):
                _resolve(owner, name, value)
                found[name] = value
            elif name in found:
                del found[name]  # a class has put something else in its place
    return found


def _resolve(owner: type, name: str, parameter: Parameter) -> None:
    if parameter.kind is not object:
        return
    annotations = vars(owner).get("__annotations__") or getattr(owner, "__annotations__", {})
    example = f"{name}: int = gx.parameter()"
    if name not in annotations:
        raise TypeError(f"the parameter {name!r} needs a type: {example}")
    kind = annotations[name]
    if isinstance(kind, str):
        text = kind.strip("'\" ")
        kind = _BY_NAME.get(text)
        if kind is None:
            import sys

            try:
                kind = eval(text, dict(vars(sys.modules[owner.__module__])))  # it is the user's own file
            except Exception:
                kind = text
    if kind not in TYPES:
        shown = getattr(kind, "__name__", None) or str(kind)
        raise TypeError(f"the parameter {name!r} is annotated as {shown}; a parameter is str, int, float, bool or bytes: {example}")
    parameter.kind = kind
    if parameter.default is not ...:
        try:
            parameter.default = parameter.checked(parameter.default)
        except TypeError:
            parameter.kind = object
            raise TypeError(f"the parameter {name!r} is {_a(kind.__name__)}, and its default {parameter.default!r} is not") from None


def initialize(self: Any, **given: Any) -> None:
    """The ``__init__`` of classes that have parameters."""
    kind = type(self)
    for name, parameter in declared(kind).items():
        if name in given and parameter.init:
            value = parameter.checked(given.pop(name))
        elif parameter.default is not ...:
            value = parameter.default
        else:
            raise TypeError(f"{kind.__name__} needs a value for its parameter {name!r}")
        setattr(self, name, value)
    if given:
        raise TypeError(f"{kind.__name__} has no parameter {next(iter(given))!r}")


class Constructor:
    """How a class is called."""

    def __init__(self, kind: type) -> None:
        self.name = kind.__name__
        self.parameters = {name: parameter for name, parameter in declared(kind).items() if parameter.init}
        self._init = kind.__init__  # type: ignore[misc]

    def bind(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Arguments:
        """The canonical (args, kwargs). Raises TypeError."""
        if self.parameters:
            return (), self._given(args, kwargs)
        if self._init is object.__init__:
            if args or kwargs:
                raise TypeError(f"{self.name} has no parameters: declare them as class attributes, x: int = gx.parameter()")
            return (), {}
        signature = self.signature()
        if not signature.known:
            return args, _sorted(kwargs)
        rest, given = signature.bind(args, kwargs)
        if rest or signature.unnamed:  # in front of *args, and where there is no name, arguments have their place
            count = len(signature.positional) if rest else signature.unnamed
            front = [given.pop(name) if name in given else signature.defaults[name] for name in signature.positional[:count]]
            return (*front, *rest), _sorted(_without_defaults(given, signature.defaults))
        return (), _sorted(_without_defaults(given, signature.defaults))

    def _given(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Dict[str, Any]:
        if args:
            raise TypeError(f"{self.name} takes its parameters by name: {self.name}({next(iter(self.parameters))}={args[0]!r})")
        for name in kwargs:
            if name not in self.parameters:
                raise TypeError(f"{self.name} has no parameter {name!r}; it has {', '.join(self.parameters)}")
        missing = [name for name, parameter in self.parameters.items() if name not in kwargs and parameter.default is ...]
        if missing:
            raise TypeError(f"{self.name} needs a value for its parameter {' and '.join(map(repr, missing))}")
        given = {name: self.parameters[name].checked(value) for name, value in kwargs.items()}
        return _sorted(_without_defaults(given, {name: parameter.default for name, parameter in self.parameters.items()}))

    def queried(self) -> List[Dict[str, Any]]:
        """The parameters that the query of a web request gives, as the manifest has them."""
        found: List[Dict[str, Any]] = []
        for name, parameter in self.parameters.items():
            if parameter.kind is not bytes:
                found.append({"name": name, "type": parameter.kind.__name__})
                if parameter.default is not ...:
                    found[-1]["default"] = _text(parameter.default)
        return found

    def needed(self) -> bool:
        """Whether there is no instance without parameters."""
        try:
            self.bind((), {})
        except TypeError:
            return True
        return False

    def signature(self) -> Signature:
        """The parameters of ``__init__``."""
        from gx._signature import Signature

        signature = Signature(self._init, skip=1)
        signature.name = self.name
        return signature


def pickled(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> bytes:
    """The bytes that stand for these arguments; none for none. Raises what pickle raises."""
    if not args and not kwargs:
        return b""
    from _pickle import Pickler
    from io import BytesIO

    buffer = BytesIO()
    pickler = Pickler(buffer, 4)
    pickler.fast = True  # equal values are written equally, whether they are one object or two
    try:
        pickler.dump((args, kwargs))
    except (ValueError, RecursionError):  # an object that refers to itself
        buffer = BytesIO()
        Pickler(buffer, 4).dump((args, kwargs))
    return buffer.getvalue()


def query(params: bytes, names: Sequence[str]) -> str:
    """The query of a URL, with its ``?``, by which a web request gives a class these pickled arguments; only those of ``names``."""
    if not params:
        return ""
    from _pickle import loads
    from urllib.parse import urlencode

    given = loads(params)[1]  # they were pickled here
    text = urlencode([(name, _text(given[name])) for name in names if name in given])
    return text and "?" + text


def _text(value: Any) -> str:
    """A value as a query gives it."""
    return str(value).lower() if type(value) is bool else str(value)


def _without_defaults(given: Dict[str, Any], defaults: Dict[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in given.items() if not (name in defaults and _same(value, defaults[name]))}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and type(one) in _COMPARABLE and bool(one == other)


def _sorted(given: Dict[str, Any]) -> Dict[str, Any]:
    return {name: given[name] for name in sorted(given)}


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"
