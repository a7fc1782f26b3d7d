"""Values that functions get as environment variables, and that nobody else sees."""

from __future__ import annotations

import os
import sys

from gx import _environment
from gx._dual import Dual
from gx._questions import asking, question, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, ClassVar, Dict, Iterable, List, Mapping, Optional, Sequence

    from gx._questions import Steps

MAX_VALUE = 32 << 10  # bytes, as app.MaxSecretValue


class Secret:
    """Environment variables of a function: ``secrets=[Secret.from_name("token"), Secret.from_dict({...})]``.

    Of several secrets later ones win, and ``env=`` wins over all. In lines of
    the log a value of 6 characters or more is shown as the variable's name.
    """

    objects: ClassVar[SecretManager]

    def __init__(self, read: Callable[[], Dict[str, str]], what: str) -> None:
        # Read when the app is started: the file, or the variable, is where the
        # app is started, and not in the containers that import the same code.
        self._read = read
        self._what = what
        self._name = ""
        self._environment: Optional[str] = None
        self._required: List[str] = []

    def __repr__(self) -> str:
        return f"gx.Secret.{self._what}"

    def __reduce__(self) -> Any:
        if self._name:
            return _restore, (self._name, _environment.current(self._environment), self._required)
        # A pickle may be kept, with arguments or with a function that is sent by value.
        return _elsewhere, (self._what,)

    @property
    def name(self) -> Optional[str]:
        """The name of one that the host keeps; None of others."""
        return self._name or None

    @property
    def object_id(self) -> str:
        """The id of one that the host keeps: it is looked up. Raises NotFoundError, InvalidError for one without a name."""
        return str(run(_look_up(self))["id"])

    @staticmethod
    def from_dict(env_dict: Mapping[str, Optional[str]] = {}) -> Secret:
        """These variables; those that are None are left out."""
        values = checked(env_dict, "Secret.from_dict")
        return Secret(lambda: values, f"from_dict(<{len(values)} values>)")

    @staticmethod
    def from_local_environ(env_keys: Iterable[str]) -> Secret:
        """The variables of these names, from the environment that the app is started in."""
        if isinstance(env_keys, str):
            raise _invalid(f"Secret.from_local_environ takes a list of names: [{env_keys!r}]")
        keys = list(env_keys)
        checked(dict.fromkeys(keys, ""), "Secret.from_local_environ")

        def read() -> Dict[str, str]:
            missing = [key for key in keys if key not in os.environ]
            if missing:
                raise _invalid(f"Secret.from_local_environ: not set here: {', '.join(missing)}")
            return checked({key: os.environ[key] for key in keys}, "Secret.from_local_environ")

        return Secret(read, f"from_local_environ({keys})")

    @staticmethod
    def from_dotenv(path: Optional[str] = None, *, filename: str = ".env") -> Secret:
        """The variables of a .env file, searched for upward from ``path`` (default: the working directory)."""
        start = os.path.abspath(os.fspath(path) if path is not None else os.curdir)
        if path is not None and os.path.isfile(start):
            if str(path).endswith(".py"):  # __file__
                start = os.path.dirname(start)
            else:
                start, filename = os.path.dirname(start), os.path.basename(start)
        elif path is not None and str(path).endswith(".py"):
            start = os.path.dirname(start)

        def read() -> Dict[str, str]:
            folder = start
            while True:
                file = os.path.join(folder, filename)
                sys.audit("gx.input", file)  # `gx serve` watches for it
                if os.path.isfile(file):
                    return _from_file(file)
                if os.path.dirname(folder) == folder:
                    raise _invalid(f"Secret.from_dotenv: there is no {filename} in {start} or above")
                folder = os.path.dirname(folder)

        return Secret(read, f"from_dotenv({filename!r})")

    @staticmethod
    def from_name(
        name: str, *, environment_name: Optional[str] = None, required_keys: Sequence[str] = [], client: Any = None
    ) -> Secret:
        """The secret that the host keeps by this name.

        Its values are found out when a container starts: one that starts after a
        change has the new ones. Without it, or without one of ``required_keys``,
        the app does not start, and neither does a container.
        """
        if not isinstance(name, str) or not name:
            raise _invalid(f"Secret.from_name: a secret has a name, and {name!r} is none")
        if isinstance(required_keys, str):
            raise _invalid(f"Secret.from_name: required_keys= is a list of names: [{required_keys!r}]")
        required = list(required_keys)
        checked(dict.fromkeys(required, ""), f"Secret.from_name({name!r}, required_keys=...)")
        return _restore(name, environment_name, required)

    @staticmethod
    def lookup(
        name: str, *, environment_name: Optional[str] = None, required_keys: Sequence[str] = [], client: Any = None
    ) -> Secret:
        """The older name of ``from_name``, which looks it up at once. Raises NotFoundError."""
        from gx._notices import older

        older("Secret.lookup", "Secret.from_name")
        found = Secret.from_name(name, environment_name=environment_name, required_keys=required_keys)
        run(_look_up(found))
        return found

    @staticmethod
    def create_deployed(name: str, env_dict: Mapping[str, Optional[str]], *, environment_name: Optional[str] = None, **_: Any) -> str:
        """The older name of ``Secret.objects.create``, which takes the place of one that there is; its id."""
        from gx._notices import older

        older("Secret.create_deployed", "Secret.objects.create")
        return str(run(_write("secret.create", name, environment_name, env_dict, overwrite=True))["id"])

    def _update(self, env_dict: Mapping[str, Optional[str]]) -> Steps:
        """Sets these variables of a secret that the host keeps, and leaves its others as they are.

        Containers that start from now on have them. Raises NotFoundError, and
        InvalidError for a secret without a name, or for what can be no variables.
        """
        _named(self, "update")
        yield from _write("secret.update", self._name, self._environment, env_dict)

    update = asking(_update)

    def _hydrate(self, client: Any = None) -> Steps:
        """Looks up one that the host keeps. Raises NotFoundError."""
        if self._name:
            yield from _look_up(self)
        return self

    hydrate = asking(_hydrate)

    def _manifest(self) -> Dict[str, Any]:
        """As app.Secret has it."""
        if not self._name:
            values = self._read()
            return {"values": {key: values[key] for key in sorted(values)}}
        fields = {"name": self._name, "environment": self._environment, "required": self._required}
        return {name: value for name, value in fields.items() if value}


class SecretManager:
    """``gx.Secret.objects``: makes, lists and deletes the secrets that the host keeps."""

    def _create(
        self,
        name: str,
        env_dict: Mapping[str, Optional[str]],
        *,
        allow_existing: bool = False,
        environment_name: Optional[str] = None,
        client: Any = None,
    ) -> Steps:
        """Makes a secret. Raises AlreadyExistsError; with ``allow_existing`` one that there is stays as it is, values and all."""
        from gx.exception import AlreadyExistsError

        try:
            yield from _write("secret.create", name, environment_name, env_dict)
        except AlreadyExistsError:
            if not allow_existing:
                raise

    def _list(
        self, *, max_objects: Optional[int] = None, created_before: Any = None, environment_name: Optional[str] = None, client: Any = None
    ) -> Steps:
        """Those that there are, the newest first; at most ``max_objects``, made before ``created_before`` (a datetime, or its text)."""
        from gx._stored import _seconds

        if max_objects is not None and max_objects < 0:
            raise _invalid(f"max_objects={max_objects}: it is a number of objects")
        if max_objects == 0:
            return []
        environment = _environment.current(environment_name)
        result, _ = yield question("secret.list", environment=environment, max=max_objects or 0, before=_seconds(created_before))
        return [_restore(str(o["name"]), environment_name, []) for o in result["objects"]]

    def _delete(
        self, name: str, *, allow_missing: bool = False, environment_name: Optional[str] = None, client: Any = None
    ) -> Steps:
        """Deletes a secret. Containers that have it keep it. Raises NotFoundError unless ``allow_missing``."""
        from gx.exception import NotFoundError

        try:
            yield question("secret.delete", name=name, environment=_environment.current(environment_name))
        except NotFoundError:
            if not allow_missing:
                raise

    create: Dual = asking(_create)
    list: Dual = asking(_list)
    delete: Dual = asking(_delete)


Secret.objects = SecretManager()


def _restore(name: str, environment: Optional[str], required: List[str]) -> Secret:
    secret = Secret(dict, f"from_name({name!r})")
    secret._name, secret._environment, secret._required = name, environment, required
    return secret


def _elsewhere(what: str) -> Secret:
    def read() -> Dict[str, str]:
        raise _invalid(f"the values of gx.Secret.{what} stayed in the program that made it: give the function the secret by secrets=")

    return Secret(read, what)


def _look_up(secret: Secret) -> Steps:
    _named(secret, "object_id")
    environment = _environment.current(secret._environment)
    result, _ = yield question("secret.find", name=secret._name, environment=environment)
    return result


def _named(secret: Secret, what: str) -> None:
    if not secret._name:
        raise _invalid(f"{secret!r} has no name, so the host does not keep it: {what} is for what Secret.from_name gives")


def _write(op: str, name: str, environment: Optional[str], env_dict: Mapping[str, Optional[str]], **params: Any) -> Steps:
    from gx._frames import to_json

    values = checked(env_dict, f"secret {name!r}")
    result, _ = yield question(op, to_json(values), name=name, environment=_environment.current(environment), **params)
    return result


def _from_file(file: str) -> Dict[str, str]:
    from gx import _dotenv

    try:
        values = _dotenv.read(file)
    except _dotenv.Wrong as error:
        raise _invalid(f"{file}, {error}") from None
    except OSError as error:
        raise _invalid(f"Secret.from_dotenv: {file} cannot be read: {error.strerror}") from None
    return checked(values, file)


def checked(values: Mapping[str, Optional[str]], what: str) -> Dict[str, str]:
    """What can be variables and their values, without those that are None. Raises InvalidError, which shows no value."""
    if not hasattr(values, "items"):
        raise _invalid(f"{what}: variables are a dict, not a {type(values).__name__}")
    out: Dict[str, str] = {}
    for name, value in values.items():
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            raise _invalid(
                f"{what}: {str(name)[:80]!r} is no name of an environment variable: it has letters, digits and underscores, "
                "and begins with no digit"
            )
        if value is None:
            continue
        if not isinstance(value, str):
            raise _invalid(f"{what}: the value of {name} is a {type(value).__name__}; values are strings")
        try:
            length = len(value.encode())
        except UnicodeEncodeError:
            raise _invalid(f"{what}: the value of {name} is no text (UTF-8)") from None
        if length > MAX_VALUE:
            raise _invalid(f"{what}: the value of {name} has {length} bytes; at most {MAX_VALUE} are allowed: put what is larger into a volume")
        if "\0" in value:
            raise _invalid(f"{what}: the value of {name} has a zero byte, which an environment variable can't have")
        out[name] = value
    return out


def manifest(secrets: Iterable[object], what: str) -> List[Dict[str, Any]]:
    """A list of secrets as app.Secret has them, in its order."""
    made = []
    for secret in secrets:
        if not isinstance(secret, Secret):
            raise _invalid(f"{what}: secrets= is a list of gx.Secret, and has a {type(secret).__name__}")
        one = secret._manifest()
        if one != {"values": {}}:
            made.append(one)
    return made


def _invalid(message: str) -> Exception:
    from gx.exception import InvalidError

    return InvalidError(message)
