"""Where in the user's own files something was said."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

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


def at(place: Tuple[str, int]) -> str:
    """ "(app.py, line 3)", for messages."""
    import os

    file, line = place
    try:
        near = os.path.relpath(file)
    except (OSError, ValueError):
        near = file
    return f"({file if near.startswith('..') else near}, line {line})"


def resolves(url: str) -> bool:
    """Whether this machine finds the address of a URL's host name."""
    import _socket

    host, _, port = url.partition("://")[2].partition("/")[0].rpartition(":")
    try:
        return bool(_socket.getaddrinfo(host, int(port)))
    except OSError:
        return False
