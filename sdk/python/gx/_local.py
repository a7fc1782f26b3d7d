"""An instance of a user's class in this process: a container's own, or one for ``.local()``."""

from __future__ import annotations

from _thread import RLock

from gx._members import hooks, is_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Tuple

    from gx.cls import Obj


class Local:
    """The instance that belongs to a handle. It is made when it is needed, and its enter hooks run once."""

    def __init__(self, handle: Obj) -> None:
        self._handle = handle
        self._made: Any = None
        self._entered = False  # or just being entered: hooks may call methods
        self._lock = RLock()

    @classmethod
    def of_container(cls, handle: Obj, instance: Any) -> Local:
        """An instance that the runner has made, and enters itself."""
        local = cls(handle)
        local._entered = True
        local._made = _linked(instance, handle)
        return local

    def instance(self) -> Any:
        """The instance; perhaps its hooks have not run."""
        if self._made is None:
            with self._lock:
                if self._made is None:
                    args, kwargs = self._handle._gx_arguments
                    self._made = _linked(self._handle._gx_cls._raw(*args, **kwargs), self._handle)
        return self._made

    def attribute(self, name: str) -> Any:
        """An attribute of the instance. What the constructor has set is there before the hooks have run."""
        instance = self.instance()
        if not self._entered and name not in getattr(instance, "__dict__", ()):
            kind = type(instance)
            if not hasattr(kind, name):
                from difflib import get_close_matches

                near = get_close_matches(name, [known for known in dir(kind) if not known.startswith("_")], 1)
                hint = f"; did you mean {near[0]!r}?" if near else "; what enter hooks set is there once a method has run here"
                raise AttributeError(f"{kind.__name__} has no attribute {name!r}{hint}")
            if callable(getattr(kind, name)):
                self.enter()
        return getattr(instance, name)

    def call(self, raw: Callable, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        """Runs a method here."""
        if self._entered:
            return raw.__get__(self.instance())(*args, **kwargs)
        todo = hooks(self.instance(), "enter_snap", "enter")
        if is_async(raw) and any(map(is_async, todo)):
            return self._call_aio(raw, todo, args, kwargs)
        self.enter()
        return raw.__get__(self._made)(*args, **kwargs)

    def enter(self) -> None:
        """Runs the enter hooks, if they have not run."""
        instance = self.instance()
        with self._lock:
            if self._entered:
                return
            self._entered = True
            try:
                for hook in hooks(instance, "enter_snap", "enter"):
                    value = hook()
                    if hasattr(value, "__await__"):
                        _complete(value, hook)
            except BaseException:
                self._entered = False
                raise

    def _call_aio(self, raw: Any, todo: List[Callable], args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        """An async method behind async hooks: they run on the caller's loop."""
        if raw.__code__.co_flags & 0x200:  # an async generator
            return self._items(raw, todo, args, kwargs)
        return self._value(raw, todo, args, kwargs)

    async def _value(self, raw: Any, todo: List[Callable], args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        await self._enter_aio(todo)
        return await raw(self._made, *args, **kwargs)

    async def _items(self, raw: Any, todo: List[Callable], args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        await self._enter_aio(todo)
        async for item in raw(self._made, *args, **kwargs):
            yield item

    async def _enter_aio(self, todo: List[Callable]) -> None:
        if self._entered:
            return
        self._entered = True
        try:
            for hook in todo:
                value = hook()
                if hasattr(value, "__await__"):
                    await value
        except BaseException:
            self._entered = False
            raise


def _linked(instance: Any, handle: Obj) -> Any:
    """Lets the instance's methods find the handle, and with it their remote variants."""
    try:
        instance.__dict__["_gx_handle"] = handle
    except AttributeError:
        pass  # a class with __slots__: its methods are plain ones on self
    return instance


def _complete(value: Any, hook: Any) -> None:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(_awaited(value))
        return
    value.close()
    from gx.exception import InvalidError

    raise InvalidError(
        f"{hook.__qualname__} is async, and a plain method was called while an event loop runs: await an async method first"
    )


async def _awaited(value: Any) -> Any:
    return await value
