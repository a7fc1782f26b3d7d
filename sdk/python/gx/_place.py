"""Where in the user's own files something was said."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Tuple

SDK = __file__.rsplit("/", 2)[0] + "/"
"""The folder that has the packages gx and modal, with a slash at its end."""
_OWN = (SDK + "gx/", SDK + "modal/", "<frozen")


def is_own(file: str) -> bool:
    """Whether a file is part of the SDK."""
    return file.startswith(_OWN)


def caller() -> Tuple[str, int]:
    """File and line of the innermost call from outside the SDK."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def defined(raw: Callable) -> Tuple[str, int]:
    """File and line of a function, ("", 0) if it has none."""
    inner: Any = raw
    while hasattr(inner, "func") and not hasattr(inner, "__code__"):  # functools.partial
        inner = inner.func
    if isinstance(inner, type):  # where its first method is
        codes = [getattr(getattr(member, "_raw", member), "__code__", None) for member in vars(inner).values()]
        lines = [(code.co_filename, code.co_firstlineno) for code in codes if code is not None]
        own = [line for line in lines if line[0] == getattr(sys.modules.get(inner.__module__), "__file__", None)]
        return min(own, default=("", 0))
    code = getattr(inner, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else ("", 0)


def at(place: Tuple[str, int]) -> str:
    """ "(app.py, line 3)", for messages."""
    import os

    file, line = place
    try:
        near = os.path.relpath(file)
    except (OSError, ValueError):
        near = file
    return f"({file if near.startswith('..') else near}, line {line})"


def invalid(message: str, place: Tuple[str, int] = ("", 0)) -> Exception:
    """InvalidError with this message and the user's line: ``place`` if that is known, else the caller's."""
    from gx.exception import InvalidError

    return InvalidError(f"{message} {at(place if place[0] else caller())}")


def resolves(url: str) -> bool:
    """Whether this machine finds the address of a URL's host name."""
    import _socket

    host, _, port = url.partition("://")[2].partition("/")[0].rpartition(":")
    try:
        return bool(_socket.getaddrinfo(host, int(port)))
    except OSError:
        return False
