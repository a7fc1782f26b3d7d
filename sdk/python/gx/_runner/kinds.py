"""Types of what a function may return, without importing the modules that name them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator


async def _nothing() -> None:
    pass


async def _no_items() -> AsyncIterator[None]:
    yield


_coroutine = _nothing()
COROUTINE: Any = type(_coroutine)
_coroutine.close()
GENERATOR: Any = type((lambda: (yield))())
ASYNC_GENERATOR: Any = type(_no_items())
PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})
"""What is certainly neither."""
