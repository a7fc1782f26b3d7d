"""Which files of a folder are left out: ``ignore=``, ``.gxignore`` and ``.dockerignore``."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Tuple

    from gx.file_pattern_matcher import FilePatternMatcher

GXIGNORE = ".gxignore"
DOCKERIGNORE = ".dockerignore"

DEFAULT: Any = ()
"""``ignore=`` of who has not given it; it is told from a list by what it is."""


class Ignoring:
    """What is left out of one folder; it is asked with paths relative to that, as strings."""

    def __init__(self, given: Optional[Callable[[Any], bool]] = None) -> None:
        self._given = given
        self._paths = False  # what was given wants Path objects
        self._files: List[Tuple[FilePatternMatcher, str, str]] = []  # (patterns, what comes before a path, file)
        self.used = ""  # a .dockerignore that has left something out
        if given is not None:
            from gx.file_pattern_matcher import FilePatternMatcher

            self._paths = not isinstance(given, FilePatternMatcher)

    def add(self, folder: str, before: str, docker: bool) -> None:
        """Adds the ignore file of a folder, if it has one, unless it names what ``before`` says, which was asked for."""
        from gx.file_pattern_matcher import FilePatternMatcher

        for name in (GXIGNORE, DOCKERIGNORE) if docker else (GXIGNORE,):
            path = os.path.join(folder, name)
            sys.audit("gx.input", path)
            if os.path.isfile(path):
                patterns = FilePatternMatcher.from_file(path)
                if not (before and patterns(before)):
                    self._files.append((patterns, before + "/" if before else "", path))
                return

    def __bool__(self) -> bool:
        return self._given is not None or bool(self._files)

    def __call__(self, relative: str) -> bool:
        """Whether a file, or an empty folder, is left out."""
        if self._given is not None:
            if self._paths:
                from pathlib import Path

                if self._given(Path(relative)):
                    return True
            elif self._given(relative):
                return True
        for patterns, before, path in self._files:
            if patterns(before + relative):
                self._note(path)
                return True
        return False

    def prunes(self, relative: str) -> bool:
        """Whether nothing below a folder has to be looked at."""
        if self._given is not None and not self._paths and getattr(self._given, "prunes")(relative):
            return True
        for patterns, before, path in self._files:
            if patterns.prunes(before + relative):
                self._note(path)
                return True
        return False

    def _note(self, path: str) -> None:
        if not self.used and path.endswith(DOCKERIGNORE):
            self.used = path


class Ignore:
    """What is left out of folders that are added with ``ignore=``; ignore files are read when that is asked.

    What ``ignore`` says and, besides, the ``.gxignore`` in the folder and in the working directory that it is below.
    Without ``ignore``, a ``.dockerignore`` counts where there is no ``.gxignore``. Raises InvalidError for what is no
    pattern.
    """

    def __init__(self, ignore: Any = DEFAULT) -> None:
        self._docker = ignore is DEFAULT
        self._given: Optional[Callable[[Any], bool]] = None
        if not self._docker:  # a container that has it so need not load what reads patterns
            from gx.file_pattern_matcher import matcher

            self._given = matcher(ignore)

    def of(self, folder: str) -> Ignoring:
        """What is left out of one folder."""
        made = Ignoring(self._given)
        made.add(folder, "", self._docker)
        here = os.getcwd().rstrip("/")
        if folder.startswith(here + "/") and folder != here + "/":
            made.add(here, folder[len(here) + 1 :], self._docker)
        return made
