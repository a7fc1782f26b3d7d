"""Classes whose methods share containers, and their instances."""

from __future__ import annotations

from gx._callee import Declared
from gx._dual import Dual
from gx._place import invalid
from gx.function import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from gx._parameters import Constructor
    from gx._settings import Settings
    from gx.app import App
    from gx.partial_function import Marked


class Cls:
    """A class of an app. ``@app.cls()`` makes it; calling it makes an instance, whose methods can be called remotely.

    ``origin`` says where it is on a host, see gx._callee.
    """

    def __init__(self, app: Optional[App], raw: type, name: str, settings: Settings, origin: Any = None) -> None:
        from gx._members import members
        from gx._parameters import Constructor

        self._app: Any = app
        self._raw: Any = raw
        self._name = name
        self._settings = settings
        self._origin: Any = origin or Declared(app, name)
        self._options: Optional[Dict[str, Any]] = None  # of a variant
        self._members: Dict[str, Marked] = members(raw)
        self._constructor: Constructor = Constructor(raw)
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
            self.__dict__[attribute] = getattr(raw, attribute)

    def __repr__(self) -> str:
        return f"gx.Cls({self._name!r})"

    @property
    def app(self) -> Optional[App]:
        """The app that the class belongs to."""
        return self._app  # type: ignore[no-any-return]

    @property
    def object_id(self) -> Optional[str]:
        """The class's id while its app runs."""
        return self._app._function_id(self._name) if self._app is not None else None

    @classmethod
    def _of_container(cls, raw: type, name: str) -> Cls:
        """The class that this container runs, where no module declares it (serialized=True)."""
        from gx._callee import Own
        from gx._settings import Settings

        return cls(None, raw, name, Settings(f"class {name}", {}), Own())

    def _attach(
        self, instance: Any, arguments: Tuple[Tuple[Any, ...], Dict[str, Any]], params: bytes, options: Optional[Dict[str, Any]]
    ) -> None:
        """Makes the methods of an instance, which the runner has made and enters, callable remotely as well."""
        from gx._local import Local

        handle = Obj(_variant(self, options), *arguments)
        handle.__dict__.update(_gx_params=params, _gx_local=Local.of_container(handle, instance))

    def __call__(self, *args: Any, **kwargs: Any) -> Obj:
        """An instance. Nothing runs yet: containers make their own, and here one is made when it is used here.

        Raises InvalidError if the parameters are wrong.
        """
        try:
            given = self._constructor.bind(args, kwargs)
        except TypeError as error:
            raise invalid(str(error)) from None
        return Obj(self, *given)

    def __mro_entries__(self, bases: Tuple[Any, ...]) -> Tuple[type, ...]:
        """As a base of another class it is the plain class."""
        return (self._raw,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_raw":  # copying and pickling ask before there is anything
            raise AttributeError(name)
        return getattr(self._raw, name)

    def __reduce__(self) -> Any:
        from gx._references import reference

        original = self.__dict__.get("_variant_of")
        return reference(self) if original is None else (_variant, (original, self._options))

    def _methods(self) -> List[Dict[str, Any]]:
        """As app.Function has them."""
        made = []
        for name, member in self._members.items():
            if "method" in member._gx_roles:
                method: Dict[str, Any] = {"name": name}
                if "web" in member._marks:
                    method["web"] = member._marks["web"][1]
                elif _generates(member):
                    method["generator"] = True
                made.append(method)
        return made

    def _method_of(self, object: Obj, name: str) -> Optional[Function]:
        """A method of an instance that can be called remotely, or all of them ("")."""
        member = self._members.get(name)
        if name and (member is None or "method" not in member._gx_roles):
            return None
        return Method(object, name, member)

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
        scaledown_window: Optional[int] = None,
        timeout: Optional[int] = None,
        region: Any = None,
        cloud: Optional[str] = None,
        routing_region: Optional[str] = None,
        **older: Any,
    ) -> Cls:
        """A variant whose containers have other resources, secrets or bounds; see ``Function.with_options``."""
        from gx._variant import options as made

        given = {
            "cpu": cpu, "memory": memory, "gpu": gpu, "env": env, "secrets": secrets, "volumes": volumes, "retries": retries,
            "max_containers": max_containers, "buffer_containers": buffer_containers, "scaledown_window": scaledown_window,
            "timeout": timeout, "region": region, "cloud": cloud, "routing_region": routing_region, **older,
        }  # fmt: skip
        return self._with(made(self._settings.what, given))

    def with_concurrency(self, *, max_inputs: int, target_inputs: Optional[int] = None) -> Cls:
        """A variant whose containers take up to ``max_inputs`` inputs at once."""
        from gx._variant import concurrency

        return self._with(concurrency(self._settings.what, max_inputs, target_inputs))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Cls:
        """A variant whose method gets lists of up to ``max_batch_size`` values, after at most ``wait_ms`` milliseconds."""
        from gx._variant import batching

        return self._with(batching(self._settings.what, max_batch_size, wait_ms))

    def _with(self, options: Dict[str, Any]) -> Cls:
        from gx._variant import merged

        return _variant(self, merged(self._options, options))

    # -- of other apps --

    @staticmethod
    def from_name(
        app_name: str, name: str, *, version: Optional[int] = None, environment_name: Optional[str] = None, client: Any = None
    ) -> Cls:
        """A class of an app that runs on the host, by the names of both. It is looked up when it is first used.

        With ``version`` it is as in that version of the app, if that is kept. Using it raises
        NotFoundError if there is none, and InvalidError if it is a function.
        """
        from gx._named import check
        from gx._named_cls import NamedCls  # a kind of Cls, so it comes after this class

        check(app_name, name, "gx.Cls.from_name", version)
        return NamedCls(app_name, name, environment_name, version)

    @staticmethod
    def lookup(app_name: str, name: str, *, environment_name: Optional[str] = None, **_: Any) -> Cls:
        """The older name of ``from_name``; looks the class up at once."""
        from gx._notices import older

        older("gx.Cls.lookup", "gx.Cls.from_name")
        return Cls.from_name(app_name, name, environment_name=environment_name)._hydrate()

    def _hydrate(self, client: Any = None) -> Cls:
        """Finds the class on the host now, which otherwise its first use does."""
        self._origin.id(self._origin.connect(self._name))
        return self

    hydrate = Dual(_hydrate)


class Obj:
    """An instance of a class of an app, by its parameters: a name for containers, and if need be an instance here.

    Its own names begin with ``_gx_``; all others are the user's.
    """

    def __init__(self, cls: Cls, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        own = self.__dict__
        own["_gx_cls"] = cls
        own["_gx_arguments"] = (args, kwargs)
        own["_gx_params"] = None  # their pickle

    def __repr__(self) -> str:
        args, kwargs = self._gx_arguments
        shown = [repr(value) for value in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
        return f"{self._gx_cls._name}({', '.join(shown)})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_gx_") or name.startswith("__"):  # unpickling asks before there is anything
            raise AttributeError(name)
        found = self._gx_method(name)
        if found is None:
            return self._gx_here().attribute(name)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute of the instance here; those in containers do not have it."""
        setattr(self._gx_here().instance(), name, value)

    def __reduce__(self) -> Any:
        args, kwargs = self._gx_arguments
        return _instance, (self._gx_cls, args, kwargs, self._gx_params)

    def _gx_method(self, name: str) -> Optional[Function]:
        """The method that can be called remotely."""
        own = self.__dict__
        found = own.get(name)
        if found is None:
            found = self._gx_cls._method_of(self, name)
            if found is not None:
                own[name] = found
        return found  # type: ignore[no-any-return]

    def _gx_with(self, options: Dict[str, Any]) -> Obj:
        """The same instance of a variant."""
        args, kwargs = self._gx_arguments
        return _instance(self._gx_cls._with(options), args, kwargs, self._gx_params)

    def _gx_here(self) -> Any:
        """The instance in this process."""
        from gx._local import Local

        return self.__dict__.get("_gx_local") or self.__dict__.setdefault("_gx_local", Local(self))

    def _gx_bytes(self) -> bytes:
        """The parameters, as the host compares them."""
        made = self.__dict__["_gx_params"]
        if made is None:
            from gx._parameters import pickled

            args, kwargs = self._gx_arguments
            try:
                made = pickled(args, kwargs)
            except Exception as error:
                from gx._failures import not_picklable

                raise not_picklable(self._gx_cls._raw.__init__, self._gx_cls._name, (None, *args), kwargs, error) from error
            self.__dict__["_gx_params"] = made
        return made  # type: ignore[no-any-return]

    def _gx_update(
        self,
        *,
        min_containers: Optional[int] = None,
        max_containers: Optional[int] = None,
        scaledown_window: Optional[int] = None,
        buffer_containers: Optional[int] = None,
    ) -> None:
        """Sets other bounds for this instance's containers, while the app runs; see Function.update_autoscaler."""
        whole = self._gx_cls._method_of(self, "")
        assert whole is not None
        whole.update_autoscaler(
            min_containers=min_containers,
            max_containers=max_containers,
            scaledown_window=scaledown_window,
            buffer_containers=buffer_containers,
        )

    update_autoscaler = Dual(_gx_update)


class Method(Function):
    """A method of an instance. Without a name it stands for all methods of the instance."""

    def __init__(self, object: Obj, name: str, member: Optional[Marked]) -> None:
        cls = object._gx_cls
        generator = member is not None and _generates(member)
        raw: Any = cls._raw if member is None else member._raw
        super().__init__(cls._app, raw, f"{cls._name}.{name}" if name else cls._name, cls._settings, generator)
        self._object = object
        self._method = name
        self._params = object._gx_bytes()
        self._options = cls._options
        self._origin = cls._origin

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the method here, as ``local`` does."""
        return self._object._gx_here().call(self._raw, args, kwargs)

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the method here, on an instance in this process; before its first use the enter hooks run."""
        return self._object._gx_here().call(self._raw, args, kwargs)

    def _code(self) -> str:
        from gx._code import code_of

        return code_of(self._raw, self._object._gx_cls._raw)

    @property
    def _described(self) -> Callable:
        return self._raw.__get__(self._object)  # type: ignore[no-any-return]

    def _with(self, options: Dict[str, Any]) -> Function:
        return getattr(self._object._gx_with(options), self._method)  # type: ignore[no-any-return]

    def __reduce__(self) -> Any:
        return getattr, (self._object, self._method)


def _generates(member: Marked) -> bool:
    """Whether a method is a generator."""
    asked = member._marks.get("method")
    flags = getattr(getattr(member._raw, "__code__", None), "co_flags", 0)
    return bool(flags & 0x220) if asked is None else bool(asked)  # generator, async generator


def _variant(cls: Cls, options: Optional[Dict[str, Any]]) -> Cls:
    if options == cls._options:
        return cls
    made = object.__new__(type(cls))
    made.__dict__.update(cls.__dict__, _options=options, _variant_of=cls.__dict__.get("_variant_of", cls))
    return made


def _instance(cls: Cls, args: Tuple[Any, ...], kwargs: Dict[str, Any], params: Optional[bytes]) -> Obj:
    made = Obj(cls, args, kwargs)
    made.__dict__["_gx_params"] = params
    return made
