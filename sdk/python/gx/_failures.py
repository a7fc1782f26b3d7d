"""Answers that are no results, as exceptions."""

from __future__ import annotations

from gx import _wire, exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_KINDS = {
    "timeout": exception.FunctionTimeoutError,
    "oom": exception.ResourceExhaustedError,
    "lost": exception.ExecutionError,
    "deadlock": exception.ExecutionError,
    "start": exception.ExecutionError,
    "cancelled": exception.InputCancellation,
    "refused": exception.InvalidError,
    "too_large": exception.RequestSizeError,
    "internal": exception.InternalError,
    "not_found": exception.NotFoundError,
    "expired": exception.OutputExpiredError,
    "exists": exception.AlreadyExistsError,
    "conflict": exception.ConflictError,
}
_MISSING: Any = object()


def failure(body: Mapping) -> BaseException:
    """The exception for a wire.FailBody."""
    name = str(body.get("kind"))
    if name in ("full", "empty"):
        import queue

        kind: Callable[[str], BaseException] = queue.Full if name == "full" else queue.Empty
    else:
        kind = _KINDS.get(name, exception.RemoteError)
    return kind(str(body.get("message") or f"the host gave the input up ({body.get('kind')})"))


def answer_error(frame: _wire.Frame) -> BaseException:
    """The exception that an ERROR or FAIL frame is."""
    if frame[0] == _wire.FAIL:
        return failure(_wire.from_json(frame[3]))
    head, pickled = _wire.read_error_body(frame[3])
    error = _unpickled(head, pickled)
    traceback = str(head.get("traceback") or "")
    if traceback:
        try:
            error.__cause__ = exception.RemoteTraceback(traceback, str(head.get("file") or ""), int(head.get("line") or 0))
        except AttributeError:
            pass  # an exception that takes no attributes
    return error


def _unpickled(head: dict, pickled: Any) -> BaseException:
    text = f"{head.get('type')}: {head.get('message')}"
    if not len(pickled):
        return exception.ExecutionError(f"{text}\n(the exception itself could not be pickled)")
    try:
        error = _loaded(pickled)
    except Exception as why:
        return exception.ExecutionError(f"{text}\n(the exception itself could not be unpickled here: {type(why).__name__}: {why})")
    if not isinstance(error, BaseException):
        return exception.ExecutionError(text)
    return error


def _loaded(pickled: Any) -> Any:
    """Unpickles an exception.

    Pickle calls the class with the exception's ``args``, which is an error
    where its ``__init__`` takes others. Such an exception is made without it:
    its args and attributes are in the pickle.
    """
    try:
        return _wire.loads(pickled)
    except TypeError:
        from _pickle import Unpickler
        from functools import partial
        from io import BytesIO

        class Rebuilding(Unpickler):
            def find_class(self, module: str, name: str) -> Any:
                found = super().find_class(module, name)
                if isinstance(found, type) and issubclass(found, BaseException):
                    return partial(found.__new__, found)
                return found

        try:
            return Rebuilding(BytesIO(pickled)).load()
        except Exception:
            pass
        raise


def result(frame: _wire.Frame) -> Any:
    """The value of a RESULT or ITEM frame. Raises DeserializationError."""
    try:
        return _wire.loads(frame[3])
    except Exception as error:
        raise exception.DeserializationError(
            f"what the function returned cannot be unpickled here: {type(error).__name__}: {error}"
            + (
                f". Install {error.name!r} here too, or return plain data"
                if isinstance(error, ModuleNotFoundError) and error.name
                else ""
            )
        ) from error


def not_picklable(function: Callable, name: str, args: tuple, kwargs: dict, error: BaseException) -> BaseException:
    """What is told when the arguments of a call cannot be pickled: which, and why."""
    where, value = _culprit(function, args, kwargs)
    if value is _MISSING:
        return exception.SerializationError(f"the arguments of {name} cannot be pickled: {type(error).__name__}: {error}")
    return exception.SerializationError(
        f"argument {where} of {name} cannot be pickled: it is of type {_type_name(value)}: {type(error).__name__}: {error}. "
        "Give the function what it needs to make such an object itself, such as a path or a configuration"
    )


def _culprit(function: Callable, args: tuple, kwargs: dict) -> tuple:
    """(how the first argument that cannot be pickled is called, it)."""
    code = getattr(function, "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code is not None else ()
    for i, value in enumerate(args):
        if not _picklable(value):
            return (f"{names[i]!r}" if i < len(names) else f"number {i + 1}"), value
    for name, value in kwargs.items():
        if not _picklable(value):
            return f"{name!r}", value
    return "", _MISSING


def _picklable(value: object) -> bool:
    try:
        _wire.dumps(value)
    except Exception:
        return False
    return True


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
