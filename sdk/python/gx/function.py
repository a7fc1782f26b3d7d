"""Functions that run in containers, and the calls of them."""

from __future__ import annotations

from gx import _wire
from gx._callee import Callee, Declared
from gx._dual import Dual
from gx.function_call import FunctionCall as FunctionCall
from gx.function_call import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Callable, Dict, Iterable, Iterator, List, NoReturn, Optional, Tuple

    from gx._client import Client
    from gx._settings import Settings
    from gx.app import App

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # of co_flags


class Function:
    """A function of an app. ``@app.function()`` makes it; it is still callable as the plain function."""

    def __init__(
        self, app: Optional[App], raw: Callable, name: str, settings: Settings, generator: Optional[bool] = None
    ) -> None:
        self._app: Any = app
        self._raw = raw
        self._name = name
        self._settings = settings
        self._method = ""  # of a class, with its constructor's arguments
        self._params = b""
        self._options: Optional[Dict[str, Any]] = None  # of a variant
        self._origin: Any = Declared(app, name)  # where it is on a host
        self._client: Optional[Client] = None  # that self._callee belongs to
        self._callee: Any = None
        flags = getattr(getattr(raw, "__code__", None), "co_flags", 0)
        asked = settings.is_generator if generator is None else generator
        self._generator = bool(flags & (_GENERATOR | _ASYNC_GENERATOR)) if asked is None else asked
        self._async = bool(flags & (_COROUTINE | _ASYNC_GENERATOR))
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "__wrapped__"):
            found = raw if attribute == "__wrapped__" else getattr(raw, attribute, None)
            if found is not None:
                self.__dict__[attribute] = found

    def __repr__(self) -> str:
        return f"gx.Function({self._name!r})"

    @property
    def app(self) -> App:
        """The app that the function belongs to."""
        return self._app  # type: ignore[no-any-return]

    @property
    def is_generator(self) -> bool:
        """Whether the function is a generator, async or not."""
        return self._generator

    @property
    def object_id(self) -> Optional[str]:
        """The function's id while its app runs."""
        return self._app._function_id(self._origin.name) if self._app is not None else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function here, as ``local`` does."""
        return self._raw(*args, **kwargs)

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function here, in this process."""
        return self._raw(*args, **kwargs)

    def __reduce__(self) -> Tuple[Callable, Tuple[str, str]]:
        """Pickled as plain functions are: by module and name."""
        return reference(self)

    @property
    def _described(self) -> Callable:
        """What its arguments are for, to say of them in messages."""
        return self._raw

    def get_raw_f(self) -> Callable:
        """The plain function."""
        return self._raw

    # -- how the host is reached --

    def _connect(self) -> Client:
        client: Client = self._origin.connect(self._name)
        if client is not self._client:
            self._callee = Callee(self._origin.id(client), self._method, self._params, self._options)
            self._client = client
        return client

    def _pickled(self, args: tuple, kwargs: dict) -> Any:
        try:
            return _wire.dumps((args, kwargs))
        except _wire.TooLarge as error:
            from gx._client import too_large

            raise too_large(error) from None
        except Exception as error:
            from gx._failures import not_picklable

            raise not_picklable(self._described, self._name, args, kwargs, error) from error

    def _no_generator(self, way: str) -> None:
        if self._generator:
            from gx.exception import InvalidError

            raise InvalidError(
                f"{self._name} is a generator function, so {self._name}.{way}() cannot return its value: "
                f"iterate over {self._name}.remote_gen(...)"
            )

    # -- one input --

    def _remote(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function in a container and returns its value, or raises what it raises."""
        if self._generator:
            self._no_generator("remote")
        client = self._connect()
        frame = client.call(self._callee, self._pickled(args, kwargs))
        return value(frame)

    async def _remote_aio(self, *args: Any, **kwargs: Any) -> Any:
        self._no_generator("remote.aio")
        from gx import _aio

        client = self._connect()
        return value(await _aio.call(client, self._callee, self._pickled(args, kwargs)))

    remote = Dual(_remote, _remote_aio)

    def _remote_gen(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Runs a generator function in a container and yields its items as they come."""
        self._needs_generator()
        from gx._generator import items

        return items(self._connect(), self._callee, self._pickled(args, kwargs))

    def _remote_gen_aio(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self._needs_generator()
        from gx._generator import items_aio

        return items_aio(self._connect(), self._callee, self._pickled(args, kwargs))

    remote_gen = Dual(_remote_gen, _remote_gen_aio)

    def _needs_generator(self) -> None:
        if not self._generator:
            from gx.exception import InvalidError

            raise InvalidError(f"{self._name} is not a generator function: call {self._name}.remote(...)")

    def _spawn(self, *args: Any, **kwargs: Any) -> FunctionCall:
        """Starts the function in a container and returns at once; the FunctionCall has the value later."""
        self._no_generator("spawn")
        client = self._connect()
        return FunctionCall(client.spawn(self._callee, self._pickled(args, kwargs)))

    async def _spawn_aio(self, *args: Any, **kwargs: Any) -> FunctionCall:
        self._no_generator("spawn.aio")
        from gx import _aio

        client = self._connect()
        return FunctionCall(await _aio.spawn(client, self._callee, self._pickled(args, kwargs)))

    spawn = Dual(_spawn, _spawn_aio)

    # -- many inputs --

    def _begin(self, kwargs: Optional[dict], ordered: bool, return_exceptions: bool, kind: str = "map") -> Any:
        self._no_generator("map")
        from gx._map import Map

        client = self._connect()
        return Map(client, self._callee, self._name, self._described, dict(kwargs or {}), ordered, return_exceptions, kind)

    def _map(
        self,
        *input_iterators: Iterable,
        kwargs: Optional[Dict[str, Any]] = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: Optional[bool] = None,
    ) -> Iterator[Any]:
        """Runs the function for each input, in parallel, and yields the values.

        Inputs are taken as needed, so the iterators may be endless. Several
        iterators give one argument each, until the shortest ends. ``kwargs``
        go to every input. Values come in the order of the inputs, or with
        ``order_outputs=False`` as they are ready. The first exception ends the
        map, unless ``return_exceptions``: then it is yielded in its place.
        """
        _some(input_iterators, self._name, "map")
        map = self._begin(kwargs, order_outputs, return_exceptions)
        return map.results(input_iterators, zip(*input_iterators))  # type: ignore[no-any-return]

    def _map_aio(
        self,
        *input_iterators: Any,
        kwargs: Optional[Dict[str, Any]] = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: Optional[bool] = None,
    ) -> AsyncIterator[Any]:
        _some(input_iterators, self._name, "map")
        map = self._begin(kwargs, order_outputs, return_exceptions)
        return _aio_results(map, input_iterators, False)

    map = Dual(_map, _map_aio)

    def _starmap(
        self,
        input_iterator: Iterable,
        *,
        kwargs: Optional[Dict[str, Any]] = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: Optional[bool] = None,
    ) -> Iterator[Any]:
        """As ``map``, for an iterator of tuples of arguments."""
        map = self._begin(kwargs, order_outputs, return_exceptions)
        return map.results((input_iterator,), _tuples(input_iterator))  # type: ignore[no-any-return]

    def _starmap_aio(
        self,
        input_iterator: Any,
        *,
        kwargs: Optional[Dict[str, Any]] = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: Optional[bool] = None,
    ) -> AsyncIterator[Any]:
        map = self._begin(kwargs, order_outputs, return_exceptions)
        return _aio_results(map, (input_iterator,), True)

    starmap = Dual(_starmap, _starmap_aio)

    def _for_each(
        self, *input_iterators: Iterable, kwargs: Optional[Dict[str, Any]] = None, ignore_exceptions: bool = False
    ) -> None:
        """Runs the function for each input, in parallel, and waits until all have ended."""
        for _ in self._map(*input_iterators, kwargs=kwargs, order_outputs=False, return_exceptions=ignore_exceptions):
            pass

    async def _for_each_aio(
        self, *input_iterators: Any, kwargs: Optional[Dict[str, Any]] = None, ignore_exceptions: bool = False
    ) -> None:
        async for _ in self._map_aio(
            *input_iterators, kwargs=kwargs, order_outputs=False, return_exceptions=ignore_exceptions
        ):
            pass

    for_each = Dual(_for_each, _for_each_aio)

    def _spawn_map(self, *input_iterators: Iterable, kwargs: Optional[Dict[str, Any]] = None) -> FunctionCall:
        """Starts the function for each input and returns when all inputs are given; see FunctionCall.iter."""
        _some(input_iterators, self._name, "spawn_map")
        map = self._begin(kwargs, False, True, "spawn")
        return FunctionCall(map.spawn(zip(*input_iterators)))

    spawn_map = Dual(_spawn_map)

    # -- what later parts of gx bring --

    @staticmethod
    def from_name(app_name: str, name: str, **_: Any) -> NoReturn:
        """Planned: a function of a deployed app."""
        _planned("gx.Function.from_name: deployed apps")

    @staticmethod
    def lookup(app_name: str, name: str, **_: Any) -> NoReturn:
        """The older name of ``from_name``."""
        _planned("gx.Function.lookup (now Function.from_name): deployed apps")

    def with_options(self, **_: Any) -> NoReturn:
        """Planned: a variant of the function with other resources."""
        _planned("Function.with_options")

    def with_concurrency(self, **_: Any) -> NoReturn:
        """Planned: a variant of the function with input concurrency."""
        _planned("Function.with_concurrency")

    def with_batching(self, **_: Any) -> NoReturn:
        """Planned: a variant of the function with dynamic batching."""
        _planned("Function.with_batching")

    def update_autoscaler(self, **_: Any) -> NoReturn:
        """Planned: other bounds for the containers of a running function."""
        _planned("Function.update_autoscaler")

    def get_current_stats(self) -> NoReturn:
        """Planned: how many inputs wait and containers run."""
        _planned("Function.get_current_stats")

    def get_web_url(self) -> NoReturn:
        """Planned: the address of a web endpoint."""
        _planned("Function.get_web_url: web endpoints")

    @property
    def web_url(self) -> NoReturn:
        """The older name of ``get_web_url()``."""
        _planned("Function.web_url (now get_web_url()): web endpoints")

    @property
    def logs(self) -> NoReturn:
        """Planned: the function's log lines."""
        _planned("Function.logs")


def reference(value: Any) -> Tuple[Callable, Tuple[str, str]]:
    """How a function or class of an app is pickled: by the name that it has in its module."""
    import sys

    from gx._sources import module_place

    module = value._raw.__module__
    names = [name for name, other in vars(sys.modules[module]).items() if other is value]
    if not names:
        raise TypeError(f"{value!r} has no name in its module {module!r}, by which it could be found elsewhere")
    return _named, (module_place(module)[0], names[0])


def _named(module: str, name: str) -> Any:
    """The function of this name in a module; how functions are unpickled."""
    import sys

    __import__(module)
    return getattr(sys.modules[module], name)


def _some(iterators: Tuple, name: str, way: str) -> None:
    if not iterators:
        from gx.exception import InvalidError

        raise InvalidError(f"{name}.{way}() needs at least one iterator of inputs")


def _tuples(items: Iterable) -> Iterator[tuple]:
    """Items of a starmap as argument tuples."""
    return map(_as_tuple, items)


def _as_tuple(item: Any) -> tuple:
    if type(item) is tuple:
        return item
    try:
        return tuple(item)
    except TypeError:
        from gx.exception import InvalidError

        raise InvalidError(f"starmap() needs tuples of arguments, and got a {type(item).__name__}") from None


def _aio_results(map: Any, iterables: tuple, star: bool) -> AsyncIterator[Any]:
    if any([hasattr(i, "__aiter__") for i in iterables]):
        return map.results_aio(iterables, _zip_aio(iterables, star), True)  # type: ignore[no-any-return]
    inputs = _tuples(iterables[0]) if star else zip(*iterables)
    return map.results_aio(iterables, inputs, False)  # type: ignore[no-any-return]


async def _zip_aio(iterables: tuple, star: bool) -> AsyncIterator[tuple]:
    """Like zip, where some are async iterators."""
    iterators = [i.__aiter__() if hasattr(i, "__aiter__") else iter(i) for i in iterables]
    while True:
        values = []
        for iterator in iterators:
            try:
                values.append(await iterator.__anext__() if hasattr(iterator, "__anext__") else next(iterator))
            except (StopIteration, StopAsyncIteration):
                return
        yield _as_tuple(values[0]) if star else tuple(values)


def _planned(what: str) -> NoReturn:
    from gx._planned import planned

    planned(what)
