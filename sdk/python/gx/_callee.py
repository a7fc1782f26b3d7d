"""Whom a call is for, and where that is found."""

from __future__ import annotations

from gx import _wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

    from gx._client import Client
    from gx.app import App


class Callee:
    """A function by its id; of a class a method, with what its constructor is given; of a variant its options.

    ``params`` and ``options`` name a pool of containers by their bytes, so
    equal ones must be written equally: see gx._parameters and gx._variant.
    """

    __slots__ = ("function", "method", "params", "options", "code", "_openings")

    def __init__(self, function: str, method: str = "", params: bytes = b"", options: Optional[Dict[str, Any]] = None) -> None:
        self.function = function
        self.method = method
        self.params = params
        self.options = options
        self.code: Optional[str] = None  # its digest, by which results of maps are kept; "" = not known, None = not asked
        self._openings: Dict[Tuple[str, bool], bytes] = {}

    def opening(self, kind: str, unordered: bool = False) -> bytes:
        """The body of an OPEN frame (wire.OpenBody)."""
        body = self._openings.get((kind, unordered))
        if body is None:
            fields: Dict[str, Any] = {"function": self.function, "kind": kind, **self.fields()}
            if self.method:
                fields["method"] = self.method
            if unordered:
                fields["unordered"] = True
            if self.code and kind == "map":
                fields["code"] = self.code
            body = self._openings[kind, unordered] = _wire.to_json(fields)
        return body

    def fields(self) -> Dict[str, Any]:
        """What tells its pool from others of the function, as JSON has it."""
        fields: Dict[str, Any] = {}
        if self.params:
            from binascii import b2a_base64

            fields["params"] = b2a_base64(self.params, newline=False).decode()
        if self.options:
            fields["options"] = self.options
        return fields


class Declared:
    """Where a function or class of an app of this program is: with the app's host, while the app runs."""

    def __init__(self, app: Any, name: str) -> None:
        self.app: App = app
        self.name = name

    def connect(self, what: str) -> Client:
        """The connection that leads there. Raises ExecutionError if the app does not run."""
        return self.app._client or self.app._connect(what)

    def id(self, client: Client) -> str:
        """Its id there."""
        found = self.app._function_id(self.name)
        if not found:
            from gx.exception import NotFoundError

            raise NotFoundError(f"the running app has no function {self.name!r}: it was declared after the app was started")
        return found


class Own:
    """The function or class that this container runs, where no module declares it."""

    name = ""

    def connect(self, what: str) -> Client:
        """The container's connection. Raises ExecutionError in processes that it has forked."""
        from gx._client import in_container

        client = in_container()
        if client is None:
            from gx.exception import ExecutionError

            raise ExecutionError(f"{what} can't be called remotely from a process that its container has started")
        return client

    def id(self, client: Client) -> str:
        """Its id on the host."""
        from gx._runner import state

        assert state.runner is not None and state.runner.start is not None
        return str(state.runner.start["function"])
