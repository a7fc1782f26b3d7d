"""Exceptions, as gx shows them to the user (sdk.Exception)."""

from __future__ import annotations

import os

from gx._place import is_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple


class Mistake(Exception):
    """A mistake in how gx was called, or in the file that it was given."""

    def __init__(self, kind: str, message: str, hint: str = "", place: Tuple[str, int] = ("", 0), traceback: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint
        self.place = place
        self.traceback = traceback

    def report(self) -> Dict[str, Any]:
        """As sdk.Exception has it."""
        return _filled(
            kind=self.kind, message=str(self), hint=self.hint, traceback=self.traceback,
            file=near(self.place[0]), line=self.place[1],
        )  # fmt: skip


def of_user(error: BaseException, locals: Dict[str, str]) -> Dict[str, Any]:
    """What the user's code raised while it ran. ``locals`` maps files of containers to local ones."""
    from gx.exception import RemoteTraceback

    file, line = place(error)
    cause = error.__cause__
    if isinstance(cause, RemoteTraceback) and cause.file in locals:
        file, line = locals[cause.file], cause.line
    return _filled(
        kind="user", type=type_name(error), message=message(error), traceback=text(error), file=near(file), line=line
    )


def type_name(error: BaseException) -> str:
    """The type as Python prints it, but for the modules that everybody knows."""
    kind = type(error)
    if kind.__module__ in ("builtins", "__main__", "gx.exception"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def message(error: BaseException) -> str:
    """str(error), whatever that does."""
    try:
        return str(error)
    except Exception as broken:
        return f"<str() of it raised {type(broken).__name__}>"


def text(error: BaseException) -> str:
    """The traceback without frames of gx. What happened in a container comes last, as the innermost part."""
    import traceback

    from gx.exception import RemoteTraceback

    remote = error.__cause__ if isinstance(error.__cause__, RemoteTraceback) else None
    whole = traceback.TracebackException(type(error), error, error.__traceback__)
    for part in _chain(whole):
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if not is_own(f.filename)])
    if remote is None:
        return "".join(whole.format())
    lines = ["Traceback (most recent call last):\n", *whole.stack.format()] if whole.stack else []
    if error.__context__ is not None and not error.__suppress_context__:
        pass  # the context of an exception with a cause is not shown
    if lines:
        lines.append("In the container:\n")
    return "".join(lines) + remote.text.rstrip() + "\n"


def place(error: BaseException) -> Tuple[str, int]:
    """File and line of the innermost frame of the user's own code."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno
    found = ("", 0)
    step = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not is_own(file) and not _library(file):
            found = (file, step.tb_lineno)
        step = step.tb_next
    return found


def near(file: str) -> str:
    """A file as the user would name it from here."""
    if not file:
        return ""
    try:
        relative = os.path.relpath(file)
    except (OSError, ValueError):
        return file
    return file if relative.startswith("..") else relative


def _library(file: str) -> bool:
    import sys

    return file.startswith(("<", sys.base_prefix + "/lib/python")) or "/site-packages/" in file or "/dist-packages/" in file


def _chain(whole: Any) -> List[Any]:
    seen: List[Any] = []
    todo: List[Optional[Any]] = [whole]
    while todo:
        part = todo.pop()
        if part is None or any([part is other for other in seen]):
            continue
        seen.append(part)
        todo += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    return seen


def _filled(**fields: Any) -> Dict[str, Any]:
    return {name: value for name, value in fields.items() if value or name in ("kind", "message")}
