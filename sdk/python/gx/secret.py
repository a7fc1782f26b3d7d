"""Values that functions get as environment variables."""

from __future__ import annotations

import os
import sys

from gx._planned import PlannedName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Iterable, List, Mapping, NoReturn, Optional


class Secret:
    """Environment variables for functions: ``secrets=[Secret.from_dict({...})]``. Later ones win."""

    objects = PlannedName("gx.Secret.objects: named secrets")
    name = PlannedName("gx.Secret.name: named secrets")
    update = PlannedName("gx.Secret.update: named secrets")

    def __init__(self, read: Callable[[], Dict[str, str]], what: str) -> None:
        # Read when the app is started: the file, or the variable, is where the
        # app is started, and not in the containers that import the same code.
        self._read = read
        self._what = what

    def __repr__(self) -> str:
        return f"gx.Secret.{self._what}"

    @staticmethod
    def from_dict(env_dict: Mapping[str, Optional[str]] = {}) -> Secret:
        """These variables; those that are None are left out."""
        values: Dict[str, str] = {}
        for name, value in env_dict.items():
            if value is None:
                continue
            if not isinstance(name, str) or not isinstance(value, str):
                raise _invalid(f"Secret.from_dict: {name!r} has a {type(value).__name__}; names and values are strings")
            values[_checked(name)] = value
        return Secret(lambda: values, f"from_dict(<{len(values)} values>)")

    @staticmethod
    def from_local_environ(env_keys: Iterable[str]) -> Secret:
        """The variables of these names, from the environment that the app is started in."""
        if isinstance(env_keys, str):
            raise _invalid(f"Secret.from_local_environ takes a list of names: [{env_keys!r}]")
        keys = [_checked(key) for key in env_keys]

        def read() -> Dict[str, str]:
            missing = [key for key in keys if key not in os.environ]
            if missing:
                raise _invalid(f"Secret.from_local_environ: not set here: {', '.join(missing)}")
            return {key: os.environ[key] for key in keys}

        return Secret(read, f"from_local_environ({keys})")

    @staticmethod
    def from_dotenv(path: Optional[str] = None, *, filename: str = ".env") -> Secret:
        """The variables of a .env file, searched for upward from ``path`` (default: the working directory)."""
        start = os.path.abspath(os.fspath(path) if path is not None else os.curdir)
        if path is not None and os.path.isfile(start):
            start, filename = os.path.dirname(start), os.path.basename(start)
        elif path is not None and str(path).endswith(".py"):
            start = os.path.dirname(start)  # __file__

        def read() -> Dict[str, str]:
            folder = start
            while True:
                file = os.path.join(folder, filename)
                sys.audit("gx.input", file)  # `gx serve` watches for it
                if os.path.isfile(file):
                    with open(file, encoding="utf-8") as f:
                        return parse_dotenv(f.read(), file)
                if os.path.dirname(folder) == folder:
                    raise _invalid(f"Secret.from_dotenv: there is no {filename} in {start} or above")
                folder = os.path.dirname(folder)

        return Secret(read, f"from_dotenv({filename!r})")

    @staticmethod
    def from_name(name: str, *, required_keys: List[str] = [], **_: object) -> NoReturn:
        """Planned: a secret that the host keeps."""
        _planned(f"gx.Secret.from_name({name!r}): named secrets")

    @staticmethod
    def lookup(name: str, **_: object) -> NoReturn:
        """The older name of ``from_name``."""
        _planned(f"gx.Secret.lookup({name!r}) (now Secret.from_name): named secrets")


def parse_dotenv(text: str, file: str) -> Dict[str, str]:
    """Reads lines of NAME=value: comments, ``export``, quotes, and ${NAME} in what is not in single quotes.

    Raises InvalidError that names the line.
    """
    values: Dict[str, str] = {}
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at].strip()
        at += 1
        if not line or line.startswith("#"):
            continue
        if line.startswith("export "):
            line = line[len("export ") :].lstrip()
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier():
            raise _invalid(f"{file}, line {number}: expected NAME=value")
        quote = value[:1]
        if quote in ("'", '"'):
            end = _closing(value, quote)
            while end < 0 and at < len(lines):  # the value goes on in the next line
                value += "\n" + lines[at]
                at += 1
                end = _closing(value, quote)
            if end < 0:
                raise _invalid(f"{file}, line {number}: the quote of {name} is not closed")
            value = value[1:end]
            if quote == '"':
                for escape, meant in (("\\n", "\n"), ("\\t", "\t"), ('\\"', '"'), ("\\\\", "\\")):
                    value = value.replace(escape, meant)
        else:
            value = value.split(" #")[0].split("\t#")[0].rstrip()
        values[name] = value if quote == "'" else _expanded(value, values)
    return values


def _closing(value: str, quote: str) -> int:
    at = 1
    while at < len(value):
        if value[at] == "\\" and quote == '"':
            at += 1
        elif value[at] == quote:
            return at
        at += 1
    return -1


def _expanded(value: str, known: Dict[str, str]) -> str:
    out = ""
    while "${" in value:
        before, _, rest = value.partition("${")
        name, close, after = rest.partition("}")
        if not close:
            break
        name, _, default = name.partition(":-")
        out += before + (known.get(name) or os.environ.get(name) or default)
        value = after
    return out + value


def _checked(name: str) -> str:
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise _invalid(f"{name!r} is no name of an environment variable")
    return name


def environment(secrets: Iterable[object], env: Optional[Mapping[str, Optional[str]]], what: str) -> Dict[str, str]:
    """The variables of a function: those of its secrets, in their order, then ``env``."""
    values: Dict[str, str] = {}
    for secret in secrets:
        if not isinstance(secret, Secret):
            raise _invalid(f"{what}: secrets= is a list of gx.Secret, and has a {type(secret).__name__}")
        values.update(secret._read())
    if env:
        values.update(Secret.from_dict(env)._read())
    return values


def _invalid(message: str) -> Exception:
    from gx.exception import InvalidError

    return InvalidError(message)


def _planned(what: str) -> NoReturn:
    from gx._planned import planned

    planned(what)
