"""What is wrong with a class that ``@app.cls()`` decorates, as far as it can be seen before it runs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    from gx._settings import Settings

_GENERATOR, _ASYNC_GENERATOR = 0x20, 0x200  # of co_flags
_LIFECYCLE = {"__enter__": "enter", "__aenter__": "enter", "__exit__": "exit", "__aexit__": "exit"}


def check(kind: type, settings: Settings) -> None:
    """Raises TypeError, and gives a class with parameters its ``__init__``; ``settings`` learn of batching."""
    from gx._members import members
    from gx.function import Function

    for name, member in vars(kind).items():
        if isinstance(member, Function):
            raise TypeError(f"its method {name} has @app.function(): use @gx.method()")
        if name in _LIFECYCLE:
            raise TypeError(
                f"{name} has no meaning for containers any more: rename it, and decorate it by @gx.{_LIFECYCLE[name]}() "
                "(it takes no argument but self)"
            )
    _check_constructor(kind)
    found = members(kind)
    methods = [name for name, member in found.items() if "method" in member._gx_roles]
    if not methods:
        raise TypeError("it has no method that can be called: decorate one by @gx.method()")
    _check_hooks(found)
    for name in methods:
        if name.startswith("_gx_") or name == "update_autoscaler":
            raise TypeError(f"a method can't be called {name}: instances have that name of their own")
        if "concurrent" in getattr(found[name], "_marks", ()):
            raise TypeError(f"@gx.concurrent is on its method {name}, and goes on the class, below @app.cls()")
    _check_batched(found, methods, settings)
    _check_web(kind, [name for name in methods if "web" in getattr(found[name], "_marks", ())])


def _check_constructor(kind: type) -> None:
    from gx._parameters import declared, initialize

    parameters = declared(kind)
    if not parameters:
        return
    own = kind.__init__  # type: ignore[misc]
    if own is not object.__init__ and own is not initialize:
        raise TypeError(
            f"it has both __init__ and parameters ({', '.join(parameters)}): "
            "let gx.parameter() declare all parameters, and do the rest in a method with @gx.enter()"
        )
    kind.__init__ = initialize  # type: ignore[misc]


def _check_hooks(found: Dict[str, Any]) -> None:
    from gx._signature import Signature

    for name, member in found.items():
        hook = [role for role in member._gx_roles if role != "method"]
        if not hook:
            continue
        raw = getattr(member, "_raw", member)
        signature = Signature(raw, skip=1)
        needed = [p for p in (*signature.positional, *signature.keyword) if p not in signature.defaults]
        if needed:
            raise TypeError(f"{name} is decorated by @gx.{hook[0].partition('_')[0]}(), and takes no argument but self; it has {', '.join(needed)}")
        if raw.__code__.co_flags & (_GENERATOR | _ASYNC_GENERATOR):
            raise TypeError(f"{name} is decorated by @gx.{hook[0].partition('_')[0]}(), and can't be a generator")


def _check_web(kind: type, endpoints: Any) -> None:
    from gx._parameters import Constructor

    if not endpoints:
        return
    constructor = Constructor(kind)
    if not constructor.needed():
        return
    web = f"its method {endpoints[0]} is a web endpoint"
    if not constructor.parameters:
        raise TypeError(
            f"{web}, and nobody could give its __init__ what it needs then: declare that by gx.parameter(), which a request's query gives, or give it defaults"
        )
    queried = [parameter["name"] for parameter in constructor.queried()]
    for name, parameter in constructor.parameters.items():
        if parameter.default is ... and name not in queried:
            raise TypeError(f"{web}, and its parameter {name!r} is {parameter.kind.__name__}, which no query can give: give it a default")


def _check_batched(found: Dict[str, Any], methods: Any, settings: Settings) -> None:
    batched = [name for name in methods if "batched" in getattr(found[name], "_marks", ())]
    if not batched:
        return
    if len(batched) > 1:
        raise TypeError(f"it has {len(batched)} batched methods ({', '.join(batched)}); a class has one at most")
    if len(methods) > 1:
        others = [name for name in methods if name not in batched]
        raise TypeError(f"its method {batched[0]} is batched, so it can have no other ({', '.join(others)}): move them to a class of their own")
    member = found[batched[0]]
    if member._raw.__code__.co_flags & (_GENERATOR | _ASYNC_GENERATOR):
        raise TypeError(f"its method {batched[0]} is batched, so it returns a list of values, and can't be a generator")
    settings.batched(*member._marks["batched"])
