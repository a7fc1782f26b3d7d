"""Methods that exist twice: ``thing.method()`` blocks, ``await thing.method.aio()`` does not."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional


class Bound:
    """A method of one object, with its async variant as ``aio``."""

    __slots__ = ("_blocking", "_async", "_object")

    def __init__(self, blocking: Callable, asynchronous: Callable, object: Any) -> None:
        self._blocking = blocking
        self._async = asynchronous
        self._object = object

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._blocking(self._object, *args, **kwargs)

    @property
    def aio(self) -> Callable:
        """The async variant, with the same parameters."""
        return self._async.__get__(self._object)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<method {self._blocking.__qualname__} of {self._object!r}>"

    @property
    def __doc__(self) -> Optional[str]:  # type: ignore[override]
        return self._blocking.__doc__


class Dual:
    """A class attribute that is both variants of a method. Without an async one it runs in a thread."""

    __slots__ = ("blocking", "asynchronous")

    def __init__(self, blocking: Callable, asynchronous: Optional[Callable] = None) -> None:
        self.blocking = blocking
        self.asynchronous = asynchronous or in_thread(blocking)

    def __get__(self, object: Any, owner: Any = None) -> Any:
        if object is None:
            return self
        return Bound(self.blocking, self.asynchronous, object)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Called on the class: the object is the first argument."""
        return self.blocking(*args, **kwargs)


class StaticDual:
    """Both variants of a static method."""

    __slots__ = ("blocking", "aio")

    def __init__(self, blocking: Callable, asynchronous: Optional[Callable] = None) -> None:
        self.blocking = blocking
        self.aio = asynchronous or in_thread(blocking)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.blocking(*args, **kwargs)


def in_thread(blocking: Callable) -> Callable:
    """An async variant that runs the blocking one in a thread of its own."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        from contextvars import copy_context
        from functools import partial

        pool = ThreadPoolExecutor(1, "gx-aio")
        try:
            context = copy_context()
            return await asyncio.get_running_loop().run_in_executor(pool, partial(context.run, blocking, *args, **kwargs))
        finally:
            pool.shutdown(wait=False)

    run.__doc__ = blocking.__doc__
    run.__name__ = getattr(blocking, "__name__", "run")
    return run
