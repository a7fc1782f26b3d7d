"""Methods that ask the host, written once for both ways of waiting.

Such a method is a generator: it yields questions, is sent their answers, and
returns its result. ``asking`` makes of it a method that blocks, and a coroutine
as its ``aio``.
"""

from __future__ import annotations

from gx._dual import Dual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Generator, Tuple

    from gx._wire import Buffer

    Question = Tuple[str, Buffer, dict]
    Steps = Generator[Question, Tuple[Any, memoryview], Any]


def question(op: str, data: Buffer = b"", **params: Any) -> Question:
    """What such a generator yields; the answer is (result, bytes), see gx._ask."""
    return op, data, params


def run(steps: Steps) -> Any:
    """Asks what a generator yields, and returns what it returns."""
    from gx._ask import ask

    try:
        op, data, params = next(steps)
        while True:
            try:
                answer = ask(op, data, **params)
            except BaseException as error:
                op, data, params = steps.throw(error)
            else:
                op, data, params = steps.send(answer)
    except StopIteration as end:
        return end.value


async def run_aio(steps: Steps) -> Any:
    """As run, in an event loop."""
    from gx._ask import ask_aio

    try:
        op, data, params = next(steps)
        while True:
            try:
                answer = await ask_aio(op, data, **params)
            except BaseException as error:
                op, data, params = steps.throw(error)
            else:
                op, data, params = steps.send(answer)
    except StopIteration as end:
        return end.value


def asking(method: Callable[..., Steps]) -> Dual:
    """The method, and its coroutine as ``aio``."""

    def blocking(*args: Any, **kwargs: Any) -> Any:
        return run(method(*args, **kwargs))

    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        return await run_aio(method(*args, **kwargs))

    name = method.__name__.lstrip("_")
    function: Any
    for function in (blocking, asynchronous):
        function.__doc__ = method.__doc__
        function.__name__ = name
        function.__qualname__ = method.__qualname__.replace(method.__name__, name)
        function.__module__ = method.__module__
        function.__wrapped__ = method  # whose parameters it has
    return Dual(blocking, asynchronous)
