"""What a class that ``@app.cls()`` decorates consists of."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List

_COROUTINE, _ASYNC_GENERATOR = 0x80, 0x200  # of co_flags


def members(kind: type) -> Dict[str, Any]:
    """What decorators have marked, by name: the most derived of each, those of bases first.

    Decorators tell what a member is by its attribute ``_gx_roles``, see
    gx.partial_function; ``_raw`` is the user's function.
    """
    found: Dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        found.update(vars(owner))
    return {name: member for name, member in found.items() if getattr(member, "_gx_roles", ())}


def hooks(instance: Any, *roles: str) -> List[Callable]:
    """The instance's hooks, in the order of these roles."""
    kind = type(instance)
    own = members(kind)
    return [
        getattr(member, "_raw", member).__get__(instance, kind)
        for role in roles
        for member in own.values()
        if role in member._gx_roles
    ]


def is_async(function: Any) -> bool:
    """Whether a call of it makes a coroutine or an async generator."""
    while True:
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)  # partial, bound method
        if inner is None or inner is function:
            break
        function = inner
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)
    return code is not None and bool(code.co_flags & (_COROUTINE | _ASYNC_GENERATOR))
