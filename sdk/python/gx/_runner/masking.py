"""Takes the values of secrets out of an exception before it leaves the container.

The host sees to what is printed, and to the text of tracebacks (package redact);
what is pickled only the runner can change.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Tuple

SHORTEST = 6  # bytes of a value that is hidden, as redact.Shortest
_DEPTH = 6  # of containers within an exception's arguments


def masker(secrets: Dict[str, str]) -> Callable[[str], str]:
    """What replaces the values in a text, and those of their lines that are long enough, by the names in brackets."""
    pairs: List[Tuple[str, str]] = []
    for name, value in secrets.items():
        for part in {value, value.strip(), *[line.strip() for line in value.split("\n")]}:
            if len(part.encode()) >= SHORTEST:
                pairs.append((part, f"[{name}]"))
    pairs.sort(key=lambda pair: (-len(pair[0]), pair[1]))

    def mask(text: str) -> str:
        for part, shown in pairs:
            if part in text:
                text = text.replace(part, shown)
        return text

    return mask


def hide(error: BaseException, mask: Callable[[str], str]) -> None:
    """Masks the arguments and attributes of an exception, and of those that led to it, in place."""
    seen, todo = set(), [error]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        todo += [e for e in (one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())) if isinstance(e, BaseException)]
        try:
            args = tuple([_masked(value, mask, _DEPTH) for value in one.args])
            if any([new is not old for new, old in zip(args, one.args)]):
                one.args = args
            for holder in ("filename", "filename2", "strerror", "msg", "reason", "name", "path", "text"):
                value = getattr(one, holder, None)
                if isinstance(value, str) and mask(value) != value:
                    setattr(one, holder, mask(value))
            for name, value in list(vars(one).items()):
                new = _masked(value, mask, _DEPTH)
                if new is not value:
                    setattr(one, name, new)
        except Exception:
            continue  # an exception of the user's that lets nobody change it


def _masked(value: Any, mask: Callable[[str], str], depth: int) -> Any:
    """The value itself where nothing is hidden in it."""
    if type(value) is str:
        new = mask(value)
        return value if new == value else new
    if type(value) in (bytes, bytearray):
        old = value.decode("utf-8", "surrogateescape")
        text = mask(old)
        return value if text == old else type(value)(text.encode("utf-8", "surrogateescape"))
    if depth == 0:
        return value
    if type(value) in (list, tuple, set, frozenset):
        items = [_masked(item, mask, depth - 1) for item in value]
        return type(value)(items) if any([new is not old for new, old in zip(items, value)]) else value
    if type(value) is dict:
        pairs = [(_masked(k, mask, depth - 1), _masked(v, mask, depth - 1)) for k, v in value.items()]
        return dict(pairs) if any([k is not a or v is not b for (k, v), (a, b) in zip(pairs, value.items())]) else value
    return value
