"""Functions that run while an image is built: what a build needs of them (app.BuildFunction)."""

from __future__ import annotations

from gx import _wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict


def fields(raw: Callable, args: Any, kwargs: Any, include_source: bool) -> Dict[str, Any]:
    """The function and files of the step, read from the user's files now. Raises InvalidError."""
    from gx._code import digest
    from gx._serialized import dumps, files, without_file
    from gx._sources import automatic, module_place

    name = raw.__qualname__
    by_value = without_file(raw.__module__) or "<locals>" in name or "<lambda>" in name
    arguments = _arguments(name, tuple(args), dict(kwargs))
    function: Dict[str, Any] = {"name": name, "key": digest(raw, arguments=arguments), "args": arguments}
    made: Dict[str, Any] = {"function": function}
    if by_value:
        function["payload"] = dumps(raw, f"run_function({name})", False)
    else:
        function["module"], function["qualname"] = module_place(raw.__module__)[0], name
    # By value, too: what it refers to in modules that can be imported is imported.
    made["files"] = (files() if by_value else []) + (automatic([raw.__module__]) if include_source else [])
    return made


def _arguments(name: str, args: tuple, kwargs: Dict[str, Any]) -> bytes:
    try:
        return bytes(_wire.whole(_wire.dumps((args, kwargs))))
    except Exception as error:
        from gx.exception import InvalidError

        raise InvalidError(f"the arguments for run_function({name}) can't be pickled: {type(error).__name__}: {error}") from None
