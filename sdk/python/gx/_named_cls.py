"""Classes that are found by name, on the host; ``gx.Cls.from_name`` makes them."""

from __future__ import annotations

from gx._named import Named, not_here
from gx._named_function import NamedFunction
from gx.cls import Cls, Obj
from gx.function import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, NoReturn, Optional, Tuple


class NamedCls(Cls):
    """A class whose code is not here: its parameters are checked by its containers, its methods' names by the host."""

    def __init__(self, app_name: str, name: str, environment: Optional[str] = None, version: Optional[int] = None) -> None:
        from gx._settings import Settings

        self._app = None
        self._raw = not_here(name)
        self._name = name
        self._settings = Settings(f"class {name}", {})
        self._origin = Named(app_name, name, environment, version)
        self._options: Optional[Dict[str, Any]] = None
        self._members = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Obj:
        """An instance, which is looked up when one of its methods is called."""
        return Obj(self, args, {name: kwargs[name] for name in sorted(kwargs)})

    def __mro_entries__(self, bases: Tuple[Any, ...]) -> NoReturn:
        raise TypeError(f"{self._name} was found by its name, so its code is not in this program, and no class can be derived from it")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self!r} has no attribute {name!r}")

    def __reduce__(self) -> Any:
        return _found, (self._origin.app_name, self._name, self._options, self._origin.environment, self._origin.version)

    @property
    def object_id(self) -> Optional[str]:
        """The class's id, once it has been looked up."""
        return self._origin._found.get("function")  # type: ignore[no-any-return]

    def _hydrate(self, client: Any = None) -> Cls:
        self._origin.expect(True)
        return self

    def _method_of(self, object: Obj, name: str) -> Optional[Function]:
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no method {name!r}")
        return NamedMethod(object, name)


class NamedMethod(NamedFunction):
    """A method of an instance of such a class."""

    def __init__(self, object: Obj, name: str) -> None:
        cls = object._gx_cls
        super().__init__(cls._origin.app_name, f"{cls._name}.{name}" if name else cls._name)
        self._object = object
        self._method = name
        self._params = object._gx_bytes()
        self._options = cls._options
        self._origin = cls._origin

    def _describe(self) -> None:
        methods = {str(m["name"]): bool(m.get("generator")) for m in self._origin.expect(True).get("methods") or ()}
        if self._method and self._method not in methods:
            from gx.exception import NotFoundError

            raise NotFoundError(
                f"class {self._origin.name} of app {self._origin.app_name} has no method {self._method!r}; it has {', '.join(methods)}"
            )
        self._generator = methods.get(self._method, False)
        self._known = self._origin._client

    def _with(self, options: Dict[str, Any]) -> Function:
        return getattr(self._object._gx_with(options), self._method)  # type: ignore[no-any-return]

    def __reduce__(self) -> Any:
        return getattr, (self._object, self._method)


def _found(
    app_name: str, name: str, options: Optional[Dict[str, Any]], environment: Optional[str], version: Optional[int] = None
) -> Cls:
    found: Cls = NamedCls(app_name, name, environment, version)
    return found._with(options) if options else found
