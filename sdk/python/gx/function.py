"""Functions that run in containers, and the calls of them."""

from __future__ import annotations

from gx import _wire
from gx._callee import Callee, Declared
from gx._dual import Dual
from gx.function_call import FunctionCall as FunctionCall
from gx.function_call import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

    from gx._client import Client
    from gx._logs import Logs
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
    def app(self) -> Optional[App]:
        """The app that the function belongs to; None for one that was found by name."""
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

    def __reduce__(self) -> Tuple[Callable, Tuple[Any, Any]]:
        """Pickled as plain functions are: by module and name."""
        if "_variant_of" in self.__dict__:
            return _variant, (self.__dict__["_variant_of"], self._options)
        from gx._references import reference

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

    def _code(self) -> str:
        """The digest of what decides its results, "" if it is not known."""
        from gx._code import code_of

        return code_of(self._raw)

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
        if kind == "map" and self._callee.code is None:
            self._callee.code = self._code()
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
        from gx._inputs import some

        some(input_iterators, self._name, "map")
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
        from gx._inputs import aio_results, some

        some(input_iterators, self._name, "map")
        map = self._begin(kwargs, order_outputs, return_exceptions)
        return aio_results(map, input_iterators, False)

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
        from gx._inputs import tuples

        map = self._begin(kwargs, order_outputs, return_exceptions)
        return map.results((input_iterator,), tuples(input_iterator))  # type: ignore[no-any-return]

    def _starmap_aio(
        self,
        input_iterator: Any,
        *,
        kwargs: Optional[Dict[str, Any]] = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: Optional[bool] = None,
    ) -> AsyncIterator[Any]:
        from gx._inputs import aio_results

        map = self._begin(kwargs, order_outputs, return_exceptions)
        return aio_results(map, (input_iterator,), True)

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
        from gx._inputs import some

        some(input_iterators, self._name, "spawn_map")
        map = self._begin(kwargs, False, True, "spawn")
        return FunctionCall(map.spawn(zip(*input_iterators)))

    spawn_map = Dual(_spawn_map)

    # -- of other apps --

    @staticmethod
    def from_name(
        app_name: str, name: str, *, version: Optional[int] = None, environment_name: Optional[str] = None, client: Any = None
    ) -> Function:
        """A function of an app that runs on the host, by the names of both. It is looked up when it is first used.

        With ``version`` it is as in that version of the app, if that is kept. Using it raises
        NotFoundError if there is none, and InvalidError if it is a class.
        """
        from gx._named import check
        from gx._named_function import NamedFunction  # a kind of Function, so it comes after this class

        check(app_name, name, "gx.Function.from_name", version)
        return NamedFunction(app_name, name, environment_name, version)

    @staticmethod
    def lookup(app_name: str, name: str, *, environment_name: Optional[str] = None, **_: Any) -> Function:
        """The older name of ``from_name``; looks the function up at once."""
        from gx._notices import older

        older("gx.Function.lookup", "gx.Function.from_name")
        found = Function.from_name(app_name, name, environment_name=environment_name)
        found._hydrate()
        return found

    def _hydrate(self, client: Any = None) -> Function:
        """Finds the function on the host now, which otherwise its first use does."""
        self._connect()
        return self

    hydrate = Dual(_hydrate)

    # -- variants --

    def with_options(
        self,
        *,
        cpu: Any = None,
        memory: Any = None,
        gpu: Any = None,
        env: Optional[Dict[str, Optional[str]]] = None,
        secrets: Any = None,
        volumes: Any = None,
        retries: Any = None,
        max_containers: Optional[int] = None,
        buffer_containers: Optional[int] = None,
        scaledown_window: Optional[float] = None,
        timeout: Optional[float] = None,
        region: Any = None,
        cloud: Optional[str] = None,
        routing_region: Optional[str] = None,
        **older: Any,
    ) -> Function:
        """A variant whose containers have other resources or bounds; this function stays as it is.

        What is not given is as here. The variant has containers of its own. Units are those of ``@app.function``.
        """
        from gx._variant import options

        given = {
            "cpu": cpu, "memory": memory, "gpu": gpu, "env": env, "secrets": secrets, "volumes": volumes, "retries": retries,
            "max_containers": max_containers, "buffer_containers": buffer_containers, "scaledown_window": scaledown_window,
            "timeout": timeout, "region": region, "cloud": cloud, "routing_region": routing_region, **older,
        }  # fmt: skip
        return self._with(options(self._name, given))

    def with_concurrency(self, *, max_inputs: int, target_inputs: Optional[int] = None) -> Function:
        """A variant whose containers take up to ``max_inputs`` inputs at once."""
        from gx._variant import concurrency

        return self._with(concurrency(self._name, max_inputs, target_inputs))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Function:
        """A variant that gets lists of up to ``max_batch_size`` values, collected for at most ``wait_ms`` milliseconds."""
        from gx._variant import batching

        return self._with(batching(self._name, max_batch_size, wait_ms, self._generator))

    def _with(self, options: Dict[str, Any]) -> Function:
        from gx._variant import merged

        variant: Function = object.__new__(type(self))
        variant.__dict__.update(self.__dict__)
        variant._options = merged(self._options, options)
        variant._client = variant._callee = None
        variant.__dict__["_variant_of"] = self.__dict__.get("_variant_of", self)
        return variant

    # -- while it runs --

    def _ask(self, op: str, **params: Any) -> Any:
        from gx._client import reply

        client = self._connect()
        return reply(client.request(op, function=self._callee.function, **self._callee.fields(), **params))

    def _update_autoscaler(
        self,
        *,
        min_containers: Optional[int] = None,
        max_containers: Optional[int] = None,
        buffer_containers: Optional[int] = None,
        scaledown_window: Optional[float] = None,
    ) -> None:
        """Sets other bounds for the function's containers, until its app ends. What is not given stays."""
        bounds = {
            "min_containers": min_containers, "max_containers": max_containers, "buffer_containers": buffer_containers,
            "scaledown_window": scaledown_window,
        }  # fmt: skip
        self._ask("function.scale", **{name: value for name, value in bounds.items() if value is not None})

    update_autoscaler = Dual(_update_autoscaler)

    def _get_current_stats(self) -> FunctionStats:
        """How many inputs wait for a container, and how many containers there are."""
        stats = self._ask("function.stats")
        return FunctionStats(int(stats["backlog"]), int(stats["num_total_runners"]), int(stats.get("num_running_inputs", 0)))

    get_current_stats = Dual(_get_current_stats)

    def _get_web_url(self) -> str:
        """The address of a web endpoint, while its app runs. Raises InvalidError if it is none.

        It is http://LABEL.localhost:PORT, or http://localhost:PORT/LABEL where
        this machine does not resolve names below localhost; of an instance with
        parameters its query has them.
        """
        self._connect()
        assert self._callee is not None
        urls = self._ask("function.web", method=self._callee.method)
        from gx._parameters import query
        from gx._place import resolves

        return str(urls["url"] if resolves(urls["url"]) else urls["path_url"]) + query(self._callee.params, urls.get("parameters") or ())

    get_web_url = Dual(_get_web_url)

    @property
    def web_url(self) -> str:
        """The older name of ``get_web_url()``."""
        from gx._notices import older

        older("Function.web_url", "Function.get_web_url()")
        return self._get_web_url()

    @property
    def logs(self) -> Logs:
        """What the function has printed: ``fetch``, ``tail`` and ``stream``. Of a method it is what its class has."""
        from gx._logs import Logs

        return Logs(self._logged)

    def _logged(self) -> Tuple[str, Dict[str, Any]]:
        self._connect()
        return self._callee.function, {"function": self._callee.function}


class FunctionStats:
    """How busy a function is: inputs that no container has begun, containers, inputs that these are at."""

    def __init__(self, backlog: int, num_total_runners: int, num_running_inputs: int = 0) -> None:
        self.backlog = backlog
        self.num_total_runners = num_total_runners
        self.num_running_inputs = num_running_inputs

    def __repr__(self) -> str:
        return f"FunctionStats(backlog={self.backlog}, num_total_runners={self.num_total_runners}, num_running_inputs={self.num_running_inputs})"


def _variant(function: Function, options: Optional[Dict[str, Any]]) -> Function:
    return function._with(options or {})
