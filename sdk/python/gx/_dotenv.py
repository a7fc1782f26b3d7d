"""Reads .env files. cmd/gx/dotenv in Go is the same for the command line, and describes the grammar.

Both are held to one table of cases, cmd/gx/dotenv/testdata/cases.json.
"""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Tuple

MAX_FILE = 1 << 20  # bytes
_NAME = re.compile(r"[A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$\{([^}:]*)(?::-([^}]*))?\}")
_COMMENT = re.compile(r"[ \t]#")
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Wrong(Exception):
    """What is wrong with a file, and in which line (0: with the whole). It shows no value."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


def read(path: str) -> Dict[str, str]:
    """The variables of a file. Raises Wrong, OSError."""
    with open(path, "rb") as file:
        return parse(file.read(MAX_FILE + 1))


def parse(data: bytes) -> Dict[str, str]:
    """The variables of a file's content. Raises Wrong."""
    if len(data) > MAX_FILE:
        raise Wrong(0, f"it is larger than {MAX_FILE} bytes, which is what is allowed")
    try:
        data.decode()
        end = data.find(b"\0")
    except UnicodeDecodeError as error:
        end = error.start
        if b"\0" in data[:end]:
            end = data.index(b"\0")
    if end >= 0:
        raise Wrong(1 + _unified(data[:end].decode()).count("\n"), "it has a byte that is no text (UTF-8)")
    text = data.decode()
    return _Parser(_unified(text[1:] if text.startswith("\ufeff") else text)).run()


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.values: Dict[str, str] = {}

    def run(self) -> Dict[str, str]:
        self.skip("\n \t")
        while self.at < len(self.text):
            self.entry()
            self.skip("\n \t")
        return self.values

    def entry(self) -> None:
        """Reads a comment, or a variable."""
        line = 1 + self.text.count("\n", 0, self.at)
        if self.here() == "#":
            self.rest()
            return
        name = self.word()
        if name == "export" and self.skip(" \t") and self.here() not in ("", "="):
            name = self.word()
        self.skip(" \t")
        if not name or name[0].isdigit() or self.here() != "=":
            raise Wrong(line, "expected NAME=value, with letters, digits and underscores in the name")
        self.at += 1
        blank = self.skip(" \t") > 0
        quote = self.here()
        if quote not in ('"', "'") or not quote:
            self.values[name] = self.expanded(_plain(self.rest(), blank))
            return
        value, closed = self.quoted(quote)
        if not closed:
            raise Wrong(line, f"the quote of {name} is not closed")
        blank = self.skip(" \t") > 0
        rest = self.rest()
        if rest and (not blank or rest[0] != "#"):
            raise Wrong(line, f"something follows the closing quote of {name}")
        self.values[name] = self.expanded(value) if quote == '"' else value

    def here(self) -> str:
        """The next character; "" at the end."""
        return self.text[self.at : self.at + 1]

    def skip(self, some: str) -> int:
        """Passes over these characters, and says how many there were."""
        begin = self.at
        while self.at < len(self.text) and self.text[self.at] in some:
            self.at += 1
        return self.at - begin

    def word(self) -> str:
        """Takes what may be a name."""
        found = _NAME.match(self.text, self.at)
        assert found is not None  # it matches nothing, too
        self.at = found.end()
        return found.group()

    def rest(self) -> str:
        """Takes what is left of the line, and its end."""
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        line, self.at = self.text[self.at : end], min(end + 1, len(self.text))
        return line

    def quoted(self, quote: str) -> Tuple[str, bool]:
        """Takes a value with its quotes; whether it is closed."""
        parts: List[str] = []
        self.at += 1
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == quote:
                return "".join(parts), True
            following = self.here()
            if character == "\\" and following in _ESCAPES and (quote == '"' or following in "\\'"):
                character = _ESCAPES[following]
                self.at += 1
            parts.append(character)
        return "", False

    def expanded(self, value: str) -> str:
        """The value with what its references stand for."""

        def stands(found: re.Match) -> str:
            name, default = found.groups()
            return self.values.get(name) or os.environ.get(name) or default or ""

        return _REFERENCE.sub(stands, value)


def _plain(text: str, blank: bool) -> str:
    """A value without quotes; ``blank``: a blank precedes it."""
    if blank and text.startswith("#"):
        return ""
    found = _COMMENT.search(text)
    return (text[: found.start()] if found else text).rstrip(" \t")
