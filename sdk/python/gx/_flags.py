"""Command line flags from the parameters of a function, by their annotations.

Signatures are read from the code object and annotations are taken apart by
hand: the modules inspect and typing take longer to import than gx has to start
a program, and most annotations are ``str``, ``int``, ``float`` or ``bool``.
"""

from __future__ import annotations

from gx._report import Mistake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from gx.cls import Cls

_MISSING: Any = object()
_VARARGS, _VARKEYWORDS = 0x04, 0x08  # of co_flags
_DATES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


class Flag:
    """One parameter."""

    def __init__(self, name: str, kind: Any, default: Any, positional: bool, command: str) -> None:
        self.name = name
        self.flag = "--" + name.replace("_", "-")
        self.default = default
        self._required = default is _MISSING
        self.positional = positional  # can't be given by keyword
        self.optional = False
        self.choices: Tuple[Any, ...] = ()
        self.kind = self._resolve(kind, command)

    def _resolve(self, kind: Any, command: str) -> str:
        """The kind of the flag's value: str, int, float, bool, datetime or choice."""
        if kind is _MISSING:
            given = self.default
            kind = type(given) if type(given) in (bool, int, float) else str
        for plain in (str, int, float, bool):
            if kind is plain:
                return str(plain.__name__)
        origin, arguments = getattr(kind, "__origin__", None), getattr(kind, "__args__", ())
        if origin is None and type(kind).__name__ in ("UnionType", "Union"):  # int | None
            origin = _union()
        if origin is not None and origin is _union():
            inner = [argument for argument in arguments if argument is not type(None)]
            if len(inner) == 1:
                self.optional = True
                if self.default is _MISSING:
                    self.default = None
                return self._resolve(inner[0], command)
        if origin is not None and origin is _literal():
            self.choices = arguments
            return "choice"
        name = f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', '')}"
        if name == "datetime.datetime":
            return "datetime"
        if name in ("pathlib.Path", "pathlib.PurePath", "pathlib._local.Path"):
            return "path"
        if name == "typing." or getattr(kind, "_name", None) == "Any" or kind is object:
            return "str"
        if not self._required:
            return "unknown"  # only an error if somebody gives it
        raise Mistake(
            "usage",
            f"{command}: the parameter {self.name} is annotated as {_type_text(kind)}, which a flag can't give",
            "annotate it as str, int, float, bool, datetime, Literal or Optional of one of these, give it a default,\n"
            "or call the function from a local entrypoint",
        )

    def convert(self, text: str) -> Any:
        """The value that a text means. Raises Mistake."""
        try:
            if self.kind == "int":
                return int(text)
            if self.kind == "float":
                return float(text)
            if self.kind == "bool":
                return _BOOLEANS[text.lower()]
            if self.kind == "datetime":
                return _date(text)
            if self.kind == "choice":
                return [choice for choice in self.choices if str(choice) == text][0]
            if self.kind == "path":
                from pathlib import Path

                return Path(text)
            if self.kind == "unknown":
                raise ValueError
        except (ValueError, KeyError, IndexError):
            raise Mistake("usage", f"{self.flag} takes {self.expects()}, not {text!r}") from None
        return text

    def expects(self) -> str:
        """What the flag takes, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join([str(choice) for choice in self.choices])
        return {
            "int": "an integer", "float": "a number", "bool": "true or false", "datetime": "a date such as 2026-05-30 or 2026-05-30T12:00:00",
            "path": "a path", "unknown": "a value that no text can give", "str": "a text",
        }[self.kind]  # fmt: skip

    def usage(self) -> str:
        """The flag as help shows it."""
        if self.kind == "bool":
            return f"{self.flag} / --no-{self.flag[2:]}"
        if self.kind == "choice":
            return f"{self.flag} [{'|'.join([str(choice) for choice in self.choices])}]"
        return f"{self.flag} {self.kind.upper() if self.kind != 'str' else 'TEXT'}"


class Command:
    """A function as a command. Of a batched one each flag gives a single value, not a list."""

    def __init__(self, raw: Callable, name: str, reference: str, skip: int = 0, batched: bool = False) -> None:
        self.raw = raw
        self.name = name
        self.reference = reference
        self.rest = ""  # the name of *args
        self.flags: List[Flag] = []
        while hasattr(raw, "__wrapped__"):
            raw = raw.__wrapped__
        code = getattr(raw, "__code__", None)
        if code is None:
            raise Mistake("usage", f"{name} has no parameters that could be read", "call it from a local entrypoint")
        self._read(raw, code, skip, batched)

    def _read(self, raw: Any, code: Any, skip: int = 0, batched: bool = False) -> None:
        annotations = _annotations(raw, self.name)
        if batched:
            annotations = {name: _element(kind) for name, kind in annotations.items()}
        count, kwonly = code.co_argcount, code.co_kwonlyargcount
        names = code.co_varnames
        defaults = raw.__defaults__ or ()
        if code.co_flags & _VARARGS:
            self.rest = names[count + kwonly]
        for i, name in enumerate(names[: count + kwonly]):
            if i < skip:
                continue
            if i < count:
                at = i - (count - len(defaults))
                default = defaults[at] if at >= 0 else _MISSING
            else:
                default = (raw.__kwdefaults__ or {}).get(name, _MISSING)
            self.flags.append(Flag(name, annotations.get(name, _MISSING), default, i < code.co_posonlyargcount, self.name))

    def parse(self, words: List[str]) -> Tuple[List[Any], Dict[str, Any]]:
        """The arguments that these words mean. Raises Mistake, and SystemExit for --help."""
        if self.rest and not self.flags:
            return list(words), {}
        known: Dict[str, Tuple[Flag, Any]] = {}
        for flag in self.flags:
            for spelled in {flag.flag, "--" + flag.name}:
                known[spelled] = (flag, True)
                if flag.kind == "bool":
                    known["--no-" + spelled[2:]] = (flag, False)
        values: Dict[str, Any] = {}
        rest: List[str] = []
        todo = list(words)[::-1]
        while todo:
            word = todo.pop()
            name, equals, value = word.partition("=")
            if word in ("--help", "-h") and "--help" not in known:
                print(self.help())
                raise SystemExit(0)
            if word == "--" and self.rest:
                rest += todo[::-1]
                break
            if name in known:
                flag, positive = known[name]
                values[flag.name] = self._value(flag, name, positive, value if equals else None, todo)
            elif self.rest:
                rest.append(word)
            else:
                raise self._unknown(word, name, list(known))
        return self._arguments(values, rest)

    def _value(self, flag: Flag, name: str, positive: bool, value: Optional[str], todo: List[str]) -> Any:
        if flag.kind == "bool":
            if value is None:
                return positive
            return flag.convert(value) is positive
        if value is None:
            if not todo or todo[-1].startswith("--") and todo[-1] != "--":
                raise Mistake("usage", f"{name} needs a value: it takes {flag.expects()}", self._see_help())
            value = todo.pop()
        return flag.convert(value)

    def _arguments(self, values: Dict[str, Any], rest: List[str]) -> Tuple[List[Any], Dict[str, Any]]:
        missing = [flag.flag for flag in self.flags if flag.default is _MISSING and flag.name not in values]
        if missing:
            raise Mistake("usage", f"{self.name} needs {', '.join(missing)}", self._see_help())
        arguments: List[Any] = []
        for flag in self.flags:
            if flag.positional or rest and flag.name in self._before_rest():
                arguments.append(values.pop(flag.name, flag.default))
        return arguments + rest, values

    def _before_rest(self) -> Tuple[str, ...]:
        raw = self.raw
        while hasattr(raw, "__wrapped__"):
            raw = raw.__wrapped__
        code = raw.__code__
        return tuple(code.co_varnames[: code.co_argcount])

    def _unknown(self, word: str, name: str, known: List[str]) -> Mistake:
        from difflib import get_close_matches

        if not word.startswith("-"):
            return Mistake("usage", f"{self.name} takes flags only; what is {word!r} for?", self._see_help())
        near = get_close_matches(name, known, 1)
        return Mistake("usage", f"{self.name} has no flag {name}", f"did you mean {near[0]}?" if near else self._see_help())

    def _see_help(self) -> str:
        return f"gx run {self.reference} --help shows its flags"

    def help(self) -> str:
        """The text for --help."""
        lines = [f"Usage: gx run {self.reference} [flags]" + (f" [{self.rest}...]" if self.rest else "")]
        doc = (self.raw.__doc__ or "").strip()
        if doc:
            lines += ["", *[line.strip() for line in doc.splitlines()]]
        lines += ["", "Flags:"]
        width = max([len(flag.usage()) for flag in self.flags] + [len("--help")])
        for flag in self.flags:
            note = "required" if flag.default is _MISSING else "" if flag.default is None else f"default: {flag.default}"
            lines.append(f"  {flag.usage():{width}}  {note}".rstrip())
        lines.append(f"  {'--help':{width}}  show this")
        return "\n".join(lines)


class MethodCommand(Command):
    """A method as a command: the parameters of its class are flags as well."""

    def __init__(self, cls: Cls, method: str, reference: str) -> None:
        member = cls._members[method]
        super().__init__(member._raw, f"{cls._name}.{method}", reference, skip=1, batched="batched" in member._marks)
        self._class = self._constructor(cls)
        both = [flag.name for flag in self._class for other in self.flags if flag.flag == other.flag]
        if both:
            raise Mistake(
                "usage",
                f"{self.name}: the class and the method both have a parameter {both[0]!r}, so no flag can say which is meant",
                "call it from a local entrypoint",
            )
        self.flags = [*self._class, *self.flags]

    def _constructor(self, cls: Cls) -> List[Flag]:
        constructor = cls._constructor
        if constructor.parameters:
            return [
                Flag(name, parameter.kind, _MISSING if parameter.default is ... else parameter.default, False, cls._name)
                for name, parameter in constructor.parameters.items()
            ]
        if cls._raw.__init__ is object.__init__:
            return []
        signature = constructor.signature()
        annotations = _annotations(cls._raw.__init__, cls._name)
        return [
            Flag(name, annotations.get(name, _MISSING), signature.defaults.get(name, _MISSING), False, cls._name)
            for name in (*signature.positional, *signature.keyword)
        ]

    def split(self, values: Dict[str, Any]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
        """What of the flags is for the class, and what is for the method."""
        own = [flag.name for flag in self._class]
        return {n: v for n, v in values.items() if n in own}, {n: v for n, v in values.items() if n not in own}


def _element(kind: Any) -> Any:
    """What a list is of: list[int], List[int], Sequence[int]."""
    arguments: Tuple[Any, ...] = getattr(kind, "__args__", ())
    if len(arguments) == 1 and getattr(kind, "__origin__", None) is not None:
        return arguments[0]
    return str if kind is list else kind


_BOOLEANS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
_BY_NAME = {"str": str, "int": int, "float": float, "bool": bool}


def _annotations(raw: Any, name: str) -> Dict[str, Any]:
    """A function's annotations as types."""
    annotations = dict(getattr(raw, "__annotations__", None) or {})
    annotations.pop("return", None)
    texts = {key: value for key, value in annotations.items() if isinstance(value, str)}
    if not texts:
        return annotations
    scope = getattr(raw, "__globals__", {})
    for key, value in texts.items():
        annotations[key] = _evaluated(value, scope, name)
    return annotations


def _evaluated(text: str, scope: Dict[str, Any], name: str) -> Any:
    """An annotation that is written as text, or stands in a file with ``from __future__ import annotations``."""
    text = text.strip()
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        text = text[1:-1].strip()
    if text in _BY_NAME and text not in scope:
        return _BY_NAME[text]
    head, bar, tail = text.rpartition("|")
    if bar and tail.strip() == "None":  # before Python 3.10 types have no |
        import typing

        return typing.Optional[_evaluated(head.strip(), scope, name)]
    try:
        return eval(text, dict(scope))  # it is the user's own file
    except Exception:
        import typing

        try:
            return eval(text, {**vars(typing), **scope})
        except Exception as error:
            raise Mistake("usage", f"{name}: the annotation {text!r} can't be understood: {error}") from None


def _union() -> Any:
    import typing

    return typing.Union


def _literal() -> Any:
    import typing

    return typing.Literal


def _date(text: str) -> Any:
    from datetime import datetime

    for form in _DATES:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return datetime.fromisoformat(text)


def _type_text(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or str(kind)
