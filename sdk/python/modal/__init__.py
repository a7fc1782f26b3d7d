"""The package gx under the name that existing programs import.

``modal.X`` is ``gx.X``, and ``import modal.X`` gives the module ``gx.X``
itself, so that a class is the same whichever way it was imported.
"""

from __future__ import annotations

import sys

import gx
from gx import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, List, Optional, Sequence

    from gx import *  # noqa: F403

__all__ = gx.__all__  # noqa: PLE0605


class _Alias:
    """Finds modal.X by importing gx.X."""

    @staticmethod
    def find_spec(name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        if not name.startswith("modal."):
            return None
        from importlib.machinery import ModuleSpec
        from importlib.util import find_spec

        theirs = "gx." + name[len("modal.") :]
        found = sys.modules.get(theirs)
        if found is None and find_spec(theirs) is None:
            return None
        return ModuleSpec(name, _Loader(theirs), is_package=hasattr(found, "__path__"))  # type: ignore[arg-type]


class _Loader:
    """Puts the module of the other name in place."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._spec: Any = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        __import__(self._name)
        module = sys.modules[self._name]
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # it stays what it is


sys.meta_path.insert(0, _Alias)


def __getattr__(name: str) -> Any:
    try:
        value = getattr(gx, name)
    except AttributeError:
        raise AttributeError(f"module 'modal' has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return dir(gx)
