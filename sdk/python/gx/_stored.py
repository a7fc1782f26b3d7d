"""What dicts and queues have in common: they are objects that the host keeps, by name or for a while."""

from __future__ import annotations

from gx import _environment
from gx._questions import asking, question, run, run_aio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Type

    from gx._questions import Steps

MAX_DATA = 60 << 20
"""The most bytes that are sent in one question."""


class Stored:
    """An object that the host keeps. It is looked up when it is first used."""

    _kind = ""  # "dict"
    _prefix = ""  # what its ids begin with

    def __init__(self, name: str = "", environment: Optional[str] = None, create: bool = False, id: str = "") -> None:
        self._name = name
        self._environment = environment
        self._create = create
        self._found = id

    def __repr__(self) -> str:
        what = repr(self._name) if self._name else f"<{self._found or 'without a name'}>"
        return f"gx.{type(self).__name__}({what})"

    def __reduce__(self) -> Any:
        # An argument of a function, or a part of one, names the same object there.
        return _restore, (type(self), self._name, _environment.current(self._environment), self._create, self._found)

    def _id(self) -> Steps:
        """The object's id on the host. Raises NotFoundError, InvalidError for what is no name."""
        if not self._found:
            environment = _environment.current(self._environment)
            result, _ = yield question(f"{self._kind}.find", environment=environment, name=self._name, create_if_missing=self._create)
            self._found = str(result["id"])
        return self._found

    @property
    def object_id(self) -> str:
        """The object's id; it is looked up if need be."""
        return str(run(self._id()))

    @property
    def name(self) -> Optional[str]:
        """Its name; None if it has none."""
        if not self._name and self._found:
            result, _ = run(_found(self))
            self._name = str(result["name"])
        return self._name or None

    @classmethod
    def _named(cls, name: Any, environment: Optional[str], create: bool) -> Any:
        if not isinstance(name, str):
            from gx.exception import InvalidError

            raise InvalidError(f"a {cls._kind} has a name, and {name!r} is a {type(name).__name__}")
        return cls(name, environment, bool(create))

    @classmethod
    def _by_id(cls, id: Any) -> Any:
        if not isinstance(id, str) or not id.startswith(cls._prefix + "-"):
            from gx.exception import InvalidError

            raise InvalidError(f"{id!r} is no id of a {cls._kind}; they begin with '{cls._prefix}-'")
        return cls(id=id)


def _restore(cls: Type[Stored], name: str, environment: str, create: bool, id: str) -> Stored:
    return cls(name, environment, create, id)


def _found(stored: Stored) -> Steps:
    answer = yield question(f"{stored._kind}.find", id=stored._found)
    return answer


class Ephemeral:
    """A block in which there is an object without a name; it is deleted at the block's end, and if the program ends before."""

    def __init__(self, cls: Type[Stored], fill: Optional[Callable[[Any], Steps]] = None) -> None:
        self._cls = cls
        self._fill = fill
        self._let_go: Callable[[], None] = lambda: None
        self._object: Any = None

    def _begin(self) -> Steps:
        from gx._ask import hold

        result, _ = yield question(f"{self._cls._kind}.ephemeral")
        self._object = self._cls(id=str(result["id"]))
        self._let_go = hold(f"{self._cls._kind}.hold", id=result["id"])
        if self._fill is not None:
            yield from self._fill(self._object)
        return self._object

    def _end(self) -> Steps:
        from gx.exception import NotFoundError

        try:
            yield question(f"{self._cls._kind}.delete", id=self._object._found)
        except NotFoundError:
            pass  # it was deleted by its id
        self._let_go()

    def __enter__(self) -> Any:
        return run(self._begin())

    def __exit__(self, *_: object) -> None:
        run(self._end())

    async def __aenter__(self) -> Any:
        return await run_aio(self._begin())

    async def __aexit__(self, *_: object) -> None:
        await run_aio(self._end())


class Manager:
    """``objects`` of a kind: makes, lists and deletes those that have names."""

    def __init__(self, cls: Type[Stored]) -> None:
        self._cls = cls

    def _create(
        self, name: str, *, allow_existing: bool = False, environment_name: Optional[str] = None, client: Any = None
    ) -> Steps:
        """Makes an object. Raises AlreadyExistsError unless ``allow_existing``, InvalidError for what is no name."""
        from gx.exception import AlreadyExistsError

        made = self._cls._named(name, environment_name, False)
        try:
            yield question(f"{self._cls._kind}.create", name=name, environment=_environment.current(environment_name))
        except AlreadyExistsError:
            if not allow_existing:
                raise
        yield from made._id()

    def _list(
        self, *, max_objects: Optional[int] = None, created_before: Any = None, environment_name: Optional[str] = None, client: Any = None
    ) -> Steps:
        """Those that have names, the newest first; at most ``max_objects``, made before ``created_before`` (a datetime, or its text)."""
        if max_objects is not None and max_objects < 0:
            from gx.exception import InvalidError

            raise InvalidError(f"max_objects={max_objects}: it is a number of objects")
        if max_objects == 0:
            return []
        environment = _environment.current(environment_name)
        result, _ = yield question(f"{self._cls._kind}.list", environment=environment, max=max_objects or 0, before=_seconds(created_before))
        return [self._cls(str(o["name"]), environment_name, False, str(o["id"])) for o in result["objects"]]

    def _delete(
        self, name: str, *, allow_missing: bool = False, environment_name: Optional[str] = None, client: Any = None
    ) -> Steps:
        """Deletes an object and all that it holds. Raises NotFoundError unless ``allow_missing``."""
        from gx.exception import NotFoundError

        try:
            yield question(f"{self._cls._kind}.delete", name=name, environment=_environment.current(environment_name))
        except NotFoundError:
            if not allow_missing:
                raise

    create = asking(_create)
    list = asking(_list)
    delete = asking(_delete)


def _seconds(when: Any) -> float:
    """A time in seconds since 1970; 0 for None. A time without a zone is the machine's own."""
    if when is None:
        return 0
    from datetime import datetime

    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    return float(when.timestamp())


def pickled(value: Any, what: str) -> Any:
    """The bytes of a value. Raises SerializationError."""
    from gx._frames import TooLarge
    from gx._payload import dumps, whole

    try:
        return whole(dumps(value))
    except TooLarge as error:
        from gx.exception import RequestSizeError

        raise RequestSizeError(f"{what}: {error}") from None
    except Exception as error:
        from gx.exception import SerializationError

        raise SerializationError(f"{what} cannot be pickled: {type(error).__name__}: {error}") from error


def unpickled(data: Any, what: str) -> Any:
    """The value of bytes. Raises DeserializationError."""
    from gx._payload import loads

    try:
        return loads(data)
    except Exception as error:
        from gx.exception import DeserializationError

        raise DeserializationError(f"{what} cannot be unpickled here: {type(error).__name__}: {error}") from error


def parts(data: memoryview, lengths: Any) -> Any:
    """The byte strings that lie one after the other in an answer."""
    at = 0
    for length in lengths:
        yield data[at : at + length]
        at += length
