"""Functions that are found by name, on the host; ``gx.Function.from_name`` makes them."""

from __future__ import annotations

from gx._dual import Dual
from gx.function import Function
from gx.function_call import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

    from gx._client import Client


class NamedFunction(Function):
    """A function that is found by name; ``gx.Function.from_name`` makes it."""

    def __init__(self, app_name: str, name: str, environment: Optional[str] = None, version: Optional[int] = None) -> None:
        from gx._named import Named, not_here
        from gx._settings import Settings

        super().__init__(None, not_here(name), name, Settings(name, {}))
        self._origin = Named(app_name, name, environment, version)
        self._known: Any = None  # the client that has told what kind it is

    def _hydrate(self, client: Any = None) -> Function:
        self._describe()
        self._connect()
        return self

    hydrate = Dual(_hydrate)

    @property
    def is_generator(self) -> bool:
        """Whether the function is a generator, async or not."""
        self._describe()
        return self._generator

    @property
    def object_id(self) -> Optional[str]:
        """The function's id, once it has been looked up."""
        return self._callee.function if self._callee is not None else None

    @property
    def _described(self) -> Callable:
        from gx._named import described

        return described

    def __reduce__(self) -> Any:
        return _found_by_name, (self._origin.app_name, self._name, self._options, self._origin.environment, self._origin.version)

    def _describe(self) -> None:
        found = self._origin.expect(False)
        self._generator = bool(found.get("generator"))
        self._known = self._origin._client

    def _connect(self) -> Client:
        client: Client = self._origin.connect(self._name)
        if client is not self._known:
            self._describe()
        return super()._connect()

    def _code(self) -> str:
        return ""  # it is elsewhere

    def _no_generator(self, way: str) -> None:
        self._describe()
        super()._no_generator(way)

    def _needs_generator(self) -> None:
        self._describe()
        super()._needs_generator()

    def _remote(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function in a container and returns its value, or raises what it raises."""
        self._no_generator("remote")
        client = self._connect()
        return value(client.call(self._callee, self._pickled(args, kwargs)))

    remote = Dual(_remote, Function._remote_aio)


def _found_by_name(
    app_name: str, name: str, options: Optional[Dict[str, Any]], environment: Optional[str], version: Optional[int] = None
) -> Function:
    found = NamedFunction(app_name, name, environment, version)
    return found._with(options) if options else found
