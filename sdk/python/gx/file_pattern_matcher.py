"""Patterns that say which files are left out, as in .dockerignore."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Sequence, Tuple, Union

    Ignore = Union[None, Sequence[str], Callable[[Any], bool]]


class FilePatternMatcher:
    """Matches paths against patterns; calling it with a path tells whether the path matches.

    A pattern is relative to the folder that is copied: ``*`` and ``?`` stand
    for characters but the slash, ``**`` for any number of folders, ``[a-z]``
    for a character; a pattern that matches a folder matches all below it; one
    that begins with ``!`` takes back what earlier ones have matched. The last
    pattern that matches decides. ``~matcher`` matches what the matcher does not.
    """

    def __init__(self, *pattern: str) -> None:
        self._rules: List[Tuple[bool, str]] = []
        self._compiled: Any = None  # the same with regular expressions, when they are needed
        self._inverted = False
        for text in pattern:
            if not isinstance(text, str):
                from gx.exception import InvalidError

                raise InvalidError(f"FilePatternMatcher takes strings, not a {type(text).__name__}")
            self._add(text)

    @staticmethod
    def from_file(file_path: Any) -> FilePatternMatcher:
        """The patterns in a file, one a line; lines that begin with # are comments."""
        with open(os.fspath(file_path), encoding="utf-8-sig") as f:
            return FilePatternMatcher(*[line for line in f.read().splitlines() if not line.startswith("#")])

    def _add(self, text: str) -> None:
        text = text.strip()
        negative = text.startswith("!")
        if negative:
            text = text[1:].strip()
        text = os.path.normpath(text.replace("\\", "/") if os.sep == "\\" else text).strip("/") if text else ""
        if text and text != ".":
            self._rules.append((not negative, text))

    def __call__(self, path: Any) -> bool:
        """Whether the path, relative to the folder, matches."""
        text = os.path.normpath(os.fspath(path)).replace(os.sep, "/").lstrip("/")
        if self._compiled is None:
            self._compiled = [(positive, _compiled(pattern)) for positive, pattern in self._rules]
        matches = False
        for positive, expression in self._compiled:
            if positive is not matches and expression.match(text):
                matches = positive
        return matches is not self._inverted

    def __invert__(self) -> FilePatternMatcher:
        other = FilePatternMatcher()
        other._rules = self._rules
        other._inverted = not self._inverted
        return other

    def can_prune(self) -> bool:
        """Whether a folder that matches has nothing in it that does not."""
        return not self._inverted and all([positive for positive, _ in self._rules])


def _compiled(pattern: str) -> Any:
    """A regular expression for one pattern, without its sign."""
    import re

    out, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
                out += "(?:.*/)?"
            else:
                out += ".*"
            continue
        at += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                out += "\\["
                continue
            inside = pattern[at:end].replace("\\", "\\\\")
            out += "[" + ("^" + inside[1:] if inside[:1] in "!^" else inside) + "]"
            at = end + 1
        elif char == "\\" and at < len(pattern):
            out += re.escape(pattern[at])
            at += 1
        else:
            out += re.escape(char)
    return re.compile(f"(?:{out})(?:/.*)?\\Z", re.DOTALL)


def matcher(ignore: Ignore) -> Callable[[Any], bool]:
    """What an ``ignore=`` parameter means."""
    if ignore is None:
        return FilePatternMatcher()
    if callable(ignore):
        return ignore
    if isinstance(ignore, str):
        from gx.exception import InvalidError

        raise InvalidError(f"ignore= is a list of patterns: [{ignore!r}]")
    return FilePatternMatcher(*ignore)


NON_PYTHON_FILES = ~FilePatternMatcher("**/*.py")
"""Matches whatever is not a Python file."""
