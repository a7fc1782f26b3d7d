"""Functions and classes that are found by name, on the host."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

    from gx._client import Client


class Named:
    """Where a function or class of another app is: looked up when it is first used, on each connection anew."""

    def __init__(self, app_name: str, name: str, environment: Optional[str] = None, version: Optional[int] = None) -> None:
        self.version = version  # of the app, that is meant; None = the current one
        self.app_name = app_name
        self.name = name
        self.environment = environment
        self._client: Any = None  # that self._found came over
        self._found: Dict[str, Any] = {}

    def connect(self, what: str) -> Client:
        """A connection to the host. Raises ConnectionError."""
        from gx._host import any_client

        return any_client()

    def id(self, client: Client) -> str:
        """Its id there. Raises NotFoundError."""
        return str(self.found(client)["function"])

    def found(self, client: Any = None) -> Dict[str, Any]:
        """What the host tells of it. Raises NotFoundError."""
        client = client or self.connect(self.name)
        if client is not self._client:
            from gx._client import reply
            from gx._environment import current

            asked: Dict[str, Any] = {"environment": current(self.environment), "app": self.app_name, "name": self.name}
            if self.version is not None:
                asked["version"] = self.version
            self._found = reply(client.request("function.find", **asked))
            self._client = client
        return self._found

    def expect(self, is_class: bool) -> Dict[str, Any]:
        """``found``, of which kind it must be. Raises InvalidError."""
        found = self.found()
        if bool(found.get("class")) != is_class:
            from gx.exception import InvalidError

            right = "gx.Cls.from_name" if found.get("class") else "gx.Function.from_name"
            kind = "a class" if found.get("class") else "a function"
            raise InvalidError(f"{self.name} of app {self.app_name} is {kind}: use {right}({self.app_name!r}, {self.name!r})")
        return found

    def generators(self) -> List[str]:
        """The names of its methods that are generators."""
        return [str(m["name"]) for m in self.found().get("methods") or () if m.get("generator")]


def described(*args: Any, **kwargs: Any) -> None:
    """Stands for a function whose signature is not known here."""


def not_here(name: str) -> Callable:
    """What is called in the place of code that this program does not have."""

    def missing(*args: Any, **kwargs: Any) -> Any:
        from gx.exception import ExecutionError

        raise ExecutionError(f"{name} was found by its name, so its code is not in this program: call {name}.remote(...)")

    missing.__name__ = missing.__qualname__ = name
    return missing


def check(app_name: Any, name: Any, what: str, version: Any = None) -> None:
    """Raises InvalidError for what can't be names, or a version's number."""
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        from gx.exception import InvalidError

        raise InvalidError(f"{what}(..., version={version!r}): versions are numbers, from 1")
    if not isinstance(app_name, str) or not isinstance(name, str) or not app_name or not name:
        from gx.exception import InvalidError

        raise InvalidError(f"{what}({app_name!r}, {name!r}): both are names, of an app and of what is in it")
