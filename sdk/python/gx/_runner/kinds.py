"""Types of what a function may return, without importing the modules that name them."""

from __future__ import annotations


async def _nothing() -> None:
    pass


async def _no_items():  # type: ignore[no-untyped-def]
    yield


_coroutine = _nothing()
COROUTINE = type(_coroutine)
_coroutine.close()
GENERATOR = type((lambda: (yield))())
ASYNC_GENERATOR = type(_no_items())
PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})
"""What is certainly neither."""
