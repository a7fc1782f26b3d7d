"""Exceptions of the user's code, as the host and the caller get them."""

from __future__ import annotations

import sys

from gx import _wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Dict, Iterator, Optional, Tuple

_OWN = __file__[: __file__.rindex("/") + 1]  # frames of files in here are not shown
_MESSAGE_MAX = 64 << 10  # characters
_TRACEBACK_MAX = 256 << 10  # characters


def body(error: BaseException) -> bytes:
    """The body of an ERROR or FAILED frame, without the values of secrets. It never raises an Exception."""
    mask = _mask()
    if mask is not None:
        from gx._runner import masking

        masking.hide(error, mask)
    try:
        pickled = _wire.whole(_wire.dumps(error))
        if len(pickled) > _wire.MAX_BODY // 2:
            pickled = b""
    except Exception:
        pickled = b""
    fields = head(error)
    if mask is not None:
        fields["message"], fields["traceback"] = mask(fields["message"]), mask(fields["traceback"])
    return _wire.error_body(fields, pickled)


def _mask() -> Optional[Callable[[str], str]]:
    """What hides the values of this container's secrets; None if there are none."""
    from gx._runner import state

    runner = state.runner
    return runner.mask if runner is not None else None


def head(error: BaseException) -> dict:
    """The fields of wire.ErrorBody."""
    kind = type(error)
    fields: Dict[str, Any] = {
        "type": _name(kind),
        "message": _cut(_message(error), _MESSAGE_MAX),
        "traceback": _cut(_traceback(error), _TRACEBACK_MAX),
    }
    file, line = _place(error)
    if file:
        fields["file"], fields["line"] = file, line
    if isinstance(error, ModuleNotFoundError) and isinstance(error.name, str):
        fields["module"] = error.name
    return fields


def make(kind: str, message: str) -> BaseException:
    """An exception of gx.exception, e.g. make("SerializationError", "...")."""
    try:
        from gx import exception  # type: ignore[attr-defined,unused-ignore]

        made: BaseException = getattr(exception, kind)(message)
        return made
    except Exception:  # the SDK is not whole: the name must still arrive
        stand_in: BaseException = type(kind, (Exception,), {"__module__": "gx.exception"})(message)
        return stand_in


def not_picklable(value: object, error: BaseException, function: object) -> BaseException:
    """What is told when a function's value can't be sent to the caller."""
    code = getattr(function, "__code__", None)
    where = f" ({code.co_filename}, line {code.co_firstlineno})" if code is not None else ""
    name = getattr(function, "__qualname__", None) or "the function"
    return make(
        "SerializationError",
        f"{name}{where} returned a value of type {_name(type(value))} that cannot be pickled: "
        f"{type(error).__name__}: {_message(error)}. Return something that pickle can take apart: "
        "plain data, bytes, or an object of a class that is defined at the top of a module",
    )


def not_loadable(error: BaseException) -> BaseException:
    """What is told when an input's arguments can't be unpickled here."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        made = ModuleNotFoundError(
            f"the arguments of this call need the module {error.name!r}, which the function's image does not have",
            name=error.name,
        )
        return made
    return make(
        "DeserializationError",
        f"the arguments of this call cannot be unpickled in the container: {type(error).__name__}: {_message(error)}",
    )


def _name(kind: type) -> str:
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<str() of this {type(error).__name__} raised {type(broken).__name__}>"


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n... {len(text) - most} characters left out ...\n{text[-most // 2 :]}"


def _traceback(error: BaseException) -> str:
    """As Python prints it, without the frames of the runner."""
    try:
        import traceback

        whole = traceback.TracebackException(type(error), error, error.__traceback__)
        for part in _chain(whole):
            part.stack = traceback.StackSummary.from_list(
                [f for f in part.stack if not f.filename.startswith((_OWN, "<frozen importlib"))]
            )
        return "".join(whole.format())
    except Exception as broken:  # an exception whose __str__ or __cause__ misbehaves
        return f"{_name(type(error))}: {_message(error)}\n(its traceback cannot be shown: {type(broken).__name__})\n"


def _chain(whole: Any) -> Iterator[Any]:
    seen, todo = set(), [whole]
    while todo:
        part = todo.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        todo += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]


def _place(error: BaseException) -> Tuple[str, int]:
    """File and line of the innermost frame of the user's own code."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno
    last = own = ("", 0)
    step: Optional[TracebackType] = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith((_OWN, "<frozen")):
            last = (file, step.tb_lineno)
            if not _library(file):
                own = last
        step = step.tb_next
    return own if own[0] else last


def _library(file: str) -> bool:
    """Whether a file belongs to Python or an installed package."""
    return (
        "/site-packages/" in file
        or "/dist-packages/" in file
        or file.startswith(("<", _OWN[: -len("_runner/")], f"{sys.base_prefix}/lib/python"))
    )
