"""The inputs of a map: from iterators to tuples of arguments."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Iterable, Iterator, Tuple


def some(iterators: Tuple, name: str, way: str) -> None:
    if not iterators:
        from gx.exception import InvalidError

        raise InvalidError(f"{name}.{way}() needs at least one iterator of inputs")


def tuples(items: Iterable) -> Iterator[tuple]:
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


def aio_results(map: Any, iterables: tuple, star: bool) -> AsyncIterator[Any]:
    if any([hasattr(i, "__aiter__") for i in iterables]):
        return map.results_aio(iterables, _zip_aio(iterables, star), True)  # type: ignore[no-any-return]
    inputs = tuples(iterables[0]) if star else zip(*iterables)
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
