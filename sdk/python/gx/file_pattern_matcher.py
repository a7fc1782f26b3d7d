"""Patterns that say which files are left out, as in .dockerignore."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

    Ignore = Union[None, Sequence[str], Callable[[Any], bool]]


class FilePatternMatcher:
    """Matches paths against patterns; calling it with a path tells whether the path matches.

    A pattern is relative to the folder that is copied: ``*`` and ``?`` stand
    for characters but the slash, ``**`` for any number of folders, ``[a-z]``
    for a character; a pattern that matches a folder matches all below it; one
    that begins with ``!`` takes back what earlier ones have matched. The last
    pattern that matches decides. ``~matcher`` matches what the matcher does not.
    Raises InvalidError for what is no pattern.
    """

    def __init__(self, *pattern: str) -> None:
        self._rules: List[Tuple[bool, str]] = []
        self._compiled: Optional[List[Tuple[bool, Any]]] = None  # made when it is needed
        self._inverted = False
        for text in pattern:
            if not isinstance(text, str):
                raise _invalid(f"FilePatternMatcher takes strings, not a {type(text).__name__}")
            self._add(text)

    @staticmethod
    def from_file(file_path: Any) -> FilePatternMatcher:
        """The patterns in a file, one a line; lines that begin with # are comments. Raises OSError if it can't be read."""
        with open(os.fspath(file_path), encoding="utf-8-sig", errors="surrogateescape") as f:
            lines = f.read().splitlines()
        made = FilePatternMatcher()
        for number, line in enumerate(lines, 1):
            if not line.startswith("#"):
                try:
                    made._add(line)
                except Exception as error:
                    raise _invalid(f"{os.fspath(file_path)}, line {number}: {error}") from None
        return made

    def _add(self, text: str) -> None:
        text = text.strip()
        negative = text.startswith("!")
        if negative:
            text = text[1:].strip()
            if not text:
                raise _invalid("'!' takes nothing back; write '!PATTERN'")
        if not text:
            return
        text = os.path.normpath(text.replace("\\", "/") if os.sep == "\\" else text).strip("/")
        if text and text != ".":
            _translated(text)  # so that what is no pattern is said where it is written
            self._rules.append((not negative, text))

    def __call__(self, path: Any) -> bool:
        """Whether the path, relative to the folder, matches."""
        text = os.path.normpath(os.fspath(path)).replace(os.sep, "/").lstrip("/")
        return self._matches(text) is not self._inverted

    def _matches(self, text: str) -> bool:
        if self._compiled is None:
            self._compiled = _grouped(self._rules)
        matches = False
        for positive, expression in self._compiled:
            if positive is not matches and expression.match(text):
                matches = positive
        return matches

    def __invert__(self) -> FilePatternMatcher:
        other = FilePatternMatcher()
        other._rules = self._rules
        other._inverted = not self._inverted
        return other

    def prunes(self, folder: str) -> bool:
        """Whether a folder, and all that may be below it, matches, so that nobody need look at it."""
        if self._inverted:
            return not any([positive and _reaches(pattern, folder) for positive, pattern in self._rules])
        if not self._matches(folder):
            return False
        return not any([not positive and _reaches(pattern, folder) for positive, pattern in self._rules])


def _reaches(pattern: str, folder: str) -> bool:
    """Whether a pattern may match something in a folder: False is certain, True is not."""
    for want, have in zip(pattern.split("/"), folder.split("/")):
        if any([c in want for c in "*?[\\"]):
            return True
        if want != have:
            return False
    return True


def _grouped(rules: List[Tuple[bool, str]]) -> List[Tuple[bool, Any]]:
    """The rules in order, each with a regular expression for those of one sign that follow on each other."""
    groups: List[Tuple[bool, List[str]]] = []
    for positive, pattern in rules:
        if not groups or groups[-1][0] is not positive:
            groups.append((positive, []))
        groups[-1][1].append(pattern)
    return [(positive, _expression(patterns)) for positive, patterns in groups]


def _expression(patterns: List[str]) -> Any:
    """A regular expression for what any of some patterns, without their signs, matches."""
    import re

    return re.compile(f"(?:{'|'.join(map(_translated, patterns))})(?:/.*)?\\Z", re.DOTALL)


def _translated(pattern: str) -> str:
    """A pattern as a regular expression. Raises InvalidError; needs no ``re``, which containers do without."""
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
            negative = pattern[at : at + 1] in ("!", "^")
            at += negative
            end = pattern.find("]", at + 1)
            if end < 0:
                raise _invalid(f"{pattern!r} is no pattern for files: a '[' without its ']'")
            out += _any_of(pattern, pattern[at:end], negative)
            at = end + 1
        elif char == "\\" and at < len(pattern):
            out += _literal(pattern[at])
            at += 1
        else:
            out += _literal(char)
    return out


def _any_of(pattern: str, inside: str, negative: bool) -> str:
    """A class of characters, such as ``a-z_``, as a regular expression."""
    out, at = "", 0
    while at < len(inside):
        low = high = inside[at]
        at += 1
        if inside[at : at + 1] == "-" and at + 1 < len(inside):
            high = inside[at + 1]
            at += 2
        if low > high:
            raise _invalid(f"{pattern!r} is no pattern for files: {low}-{high} is no range")
        out += _literal(low) + ("-" + _literal(high) if high != low else "")
    return f"(?!/)[{'^' if negative else ''}{out}]"


def _literal(char: str) -> str:
    return char if char.isalnum() or ord(char) > 127 else "\\" + char


def matcher(ignore: Ignore) -> Callable[[Any], bool]:
    """What an ``ignore=`` parameter means. Raises InvalidError."""
    if ignore is None:
        return FilePatternMatcher()
    if callable(ignore):
        return ignore
    if isinstance(ignore, str):
        raise _invalid(f"ignore= is a list of patterns: [{ignore!r}]")
    return FilePatternMatcher(*ignore)


def _invalid(message: str) -> Exception:
    from gx.exception import InvalidError

    return InvalidError(message)


NON_PYTHON_FILES = ~FilePatternMatcher("**/*.py")
"""Matches whatever is not a Python file."""
