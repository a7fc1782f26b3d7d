"""What the user is told once per run: older names, parameters without effect."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Set

_said: Set[str] = set()
_waiting: List[str] = []  # until there is somebody to tell
_tell: Optional[Callable[[str], None]] = None


def notice(text: str) -> None:
    """Tells the user something, once. In a container nothing is said: it was said where the app was started."""
    if text in _said:
        return
    _said.add(text)
    from gx._runner import state

    if state.runner is not None:
        return
    if _tell is not None:
        _tell(text)
    else:
        _waiting.append(text)


def older(name: str, present: str) -> None:
    """Says that a name is an older one."""
    notice(f"{name} is an older name; the present one is {present}")


def older_names() -> bool:
    """Whether the program has used an older name."""
    return any([" is an older name; " in text for text in _said])


def deliver(tell: Callable[[str], None]) -> None:
    """Sends what was said, and what will be, to the user."""
    global _tell
    _tell = tell
    for text in _waiting:
        tell(text)
    _waiting.clear()
