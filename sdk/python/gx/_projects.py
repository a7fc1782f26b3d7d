"""Local projects that say in files what they need: pyproject.toml, and the lock files of uv and Poetry.

They are read where an app is started, and never in a container.
"""

from __future__ import annotations

import os

from gx import _files
from gx._recipe import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, List


def project(folder: str, lock: str, needed: bool, what: str, why: str) -> List[Dict[str, Any]]:
    """The files of a local project that say what it needs."""
    files = _files.one(os.path.join(folder, "pyproject.toml"), "/pyproject.toml", what)
    path = os.path.join(folder, lock)
    if needed or os.path.exists(path):
        files += lock_file(path, "/" + lock, what, why)
    return files


def lock_file(path: str, remote: str, what: str, why: str) -> List[Dict[str, Any]]:
    """A lock file, which must be there; ``why`` says what to do if it is not."""
    if not os.path.exists(path):
        raise invalid(f"{what}: there is no {path}: {why}")
    return _files.one(path, remote, what)


def pyproject_packages(path: str, optional: Iterable[str], what: str) -> List[str]:
    """The dependencies that a pyproject.toml names."""
    text = _files.read_text(path, what)
    try:
        project = _toml()(text).get("project")
    except ValueError as error:
        raise invalid(f"{what}: {path} is not TOML: {error}") from None
    if not isinstance(project, dict) or "dependencies" not in project:
        raise invalid(f"{what}: {path} has no project.dependencies")
    packages = list(project["dependencies"])
    extras = project.get("optional-dependencies", {})
    for name in optional:
        if name not in extras:
            raise invalid(f"{what}: {path} has no optional dependencies {name!r}; it has {', '.join(sorted(extras)) or 'none'}")
        packages += extras[name]
    return packages


def _toml() -> Callable[[str], Dict[str, Any]]:
    """A reader of TOML: Python's own from 3.11 on, else one that is installed, else pip's."""
    for module in ("tomllib", "tomli", "pip._vendor.tomli"):
        try:
            loads = __import__(module, fromlist=["loads"]).loads
        except ImportError:
            continue
        return loads  # type: ignore[no-any-return]
    raise invalid("Image.pip_install_from_pyproject: this Python can't read TOML; use Python 3.11 or newer, or install tomli")
