"""The context of a Dockerfile's build: which local files it is given.

It is read where an app is started, and never in a container.
"""

from __future__ import annotations

import os
import sys

from gx._ignore import Ignoring
from gx._recipe import AUTO_DOCKERIGNORE, invalid
from gx._tree import tree
from gx.file_pattern_matcher import FilePatternMatcher, matcher
from gx.mount import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional


def context_files(context_dir: Optional[str], mount: Any, ignore: Any, dockerfile: str, what: str) -> List[Dict[str, Any]]:
    """The files of a build's context."""
    if mount is not None:
        if not isinstance(mount, Mount):
            raise invalid(f"{what}: context_mount= is a gx.Mount, not a {type(mount).__name__}")
        return mount._list()
    if context_dir is None:
        return []
    if ignore is AUTO_DOCKERIGNORE:
        for file in (dockerfile + ".dockerignore" if dockerfile else "", os.path.join(context_dir, ".dockerignore")):
            if file:
                sys.audit("gx.input", file)
            if file and os.path.isfile(file):
                return tree(context_dir, "/", Ignoring(FilePatternMatcher.from_file(file)), what)
        ignore = None
    return tree(context_dir, "/", Ignoring(matcher(ignore)), what)


def needs_context(dockerfile: str) -> bool:
    """Whether a Dockerfile copies anything from its context."""
    for line in dockerfile.splitlines():
        parts = line.split()
        if parts and parts[0].upper() in ("COPY", "ADD"):
            sources = [part for part in parts[1:] if not part.startswith("--")]
            if not any([part.startswith("--from=") for part in parts]) and not all(
                [part.startswith(("http://", "https://", "git@", "<<")) for part in sources[:-1]]
            ):
                return True
        if parts and parts[0].upper() == "RUN" and any([p.startswith("--mount=") and "bind" in p and "from=" not in p for p in parts]):
            return True
    return False
