"""Calls that go on by themselves."""

from __future__ import annotations

from gx import _wire
from gx._dual import Dual, StaticDual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Dict, Iterator, List, Optional

    from gx._client import Client
    from gx._logs import Logs
    from gx.call_graph import InputInfo


class FunctionCall:
    """A call that goes on by itself; any program with a connection to the same host can find it by its id."""

    def __init__(self, object_id: str) -> None:
        self._object_id = object_id

    def __repr__(self) -> str:
        return f"gx.FunctionCall({self._object_id!r})"

    @property
    def object_id(self) -> str:
        """The call's id, "fc-..."."""
        return self._object_id

    @staticmethod
    def from_id(function_call_id: str, client: Any = None) -> FunctionCall:
        """The call with this id. Whether it exists is found out when it is used."""
        if not isinstance(function_call_id, str) or not function_call_id.startswith("fc-"):
            from gx.exception import InvalidError

            raise InvalidError(f"{function_call_id!r} is no id of a call; they begin with 'fc-'")
        return FunctionCall(function_call_id)

    def _get(self, timeout: Optional[float] = None, *, index: int = 0) -> Any:
        """The value of the call, or of one of its inputs, when it is there.

        Raises what the function raised; TimeoutError after ``timeout`` seconds
        (0: at once if it is not there yet); OutputExpiredError if the host
        does not keep it any more.
        """
        client = _any_client()
        return self._got(client.request("call.get", **_asked(self._object_id, timeout, index)), client, timeout)

    async def _get_aio(self, timeout: Optional[float] = None, *, index: int = 0) -> Any:
        from gx import _aio

        client = _any_client()
        frames = await _aio.request(client, "call.get", **_asked(self._object_id, timeout, index))
        return self._got(frames, client, timeout)

    get = Dual(_get, _get_aio)

    def _got(self, frames: List[_wire.Frame], client: Client, timeout: Optional[float]) -> Any:
        from gx._client import reply

        status = reply(frames)
        if len(frames) == 1:
            from gx.exception import InternalError, TimeoutError

            if status.get("status") != "pending":
                raise InternalError(f"the host's answer for call {self._object_id} has no value")
            raise TimeoutError(f"call {self._object_id} has no result after {timeout or 0:g} s")
        if frames[0][5]:
            client.sync(frames[0][5])
        return value(frames[0])

    def _iter(self, *, start: int = 0, end: Optional[int] = None) -> Iterator[Any]:
        """The values of the call's inputs from number ``start`` to before ``end`` (default: all), in order."""
        if end is None:
            end = self._num_inputs()
        for index in range(start, end):
            yield self._get(index=index)

    async def _iter_aio(self, *, start: int = 0, end: Optional[int] = None) -> AsyncIterator[Any]:
        if end is None:
            end = (await self._info_aio())["inputs"]
        for index in range(start, end or 0):
            yield await self._get_aio(index=index)

    iter = Dual(_iter, _iter_aio)

    def _info(self) -> Dict[str, Any]:
        from gx._client import reply

        return reply(_any_client().request("call.info", call_id=self._object_id))  # type: ignore[no-any-return]

    async def _info_aio(self) -> Dict[str, Any]:
        from gx import _aio
        from gx._client import reply

        return reply(await _aio.request(_any_client(), "call.info", call_id=self._object_id))  # type: ignore[no-any-return]

    def _num_inputs(self) -> int:
        """How many inputs the call has."""
        return int(self._info()["inputs"])

    async def _num_inputs_aio(self) -> int:
        return int((await self._info_aio())["inputs"])

    num_inputs = Dual(_num_inputs, _num_inputs_aio)

    def _cancel(self, terminate_containers: bool = False) -> None:
        """Cancels what has not ended; with ``terminate_containers`` the containers that run it are ended."""
        from gx._client import reply

        reply(_any_client().request("call.cancel", call_id=self._object_id, terminate=bool(terminate_containers)))

    async def _cancel_aio(self, terminate_containers: bool = False) -> None:
        from gx import _aio
        from gx._client import reply

        client = _any_client()
        reply(await _aio.request(client, "call.cancel", call_id=self._object_id, terminate=bool(terminate_containers)))

    cancel = Dual(_cancel, _cancel_aio)

    @staticmethod
    def _gather(*function_calls: FunctionCall) -> List[Any]:
        """The values of several calls; raises the first exception in their order."""
        return [call._get() for call in function_calls]

    @staticmethod
    async def _gather_aio(*function_calls: FunctionCall) -> List[Any]:
        import asyncio

        return list(await asyncio.gather(*[call._get_aio() for call in function_calls]))

    gather = StaticDual(_gather.__func__, _gather_aio.__func__)  # type: ignore[attr-defined]

    def _get_call_graph(self) -> List[InputInfo]:
        """The call's inputs, and under each those of the calls that its code has made (at most 10,000 in all)."""
        from gx._client import reply
        from gx.call_graph import InputInfo

        graph = reply(_any_client().request("call.graph", call_id=self._object_id))
        return [InputInfo(fields) for fields in graph["inputs"]]

    get_call_graph = Dual(_get_call_graph)

    @property
    def logs(self) -> Logs:
        """What the call has printed: ``fetch``, ``tail``, and ``stream``, which ends with the call."""
        from gx._logs import Logs

        return Logs(lambda: (self._object_id, {"call": self._object_id}))


def value(frame: _wire.Frame) -> Any:
    """The value of an answer; what the function raised is raised."""
    from gx._failures import answer_error, result

    if frame[0] == _wire.RESULT:
        return result(frame)
    raise answer_error(frame)


def _asked(call_id: str, timeout: Optional[float], index: int) -> Dict[str, Any]:
    return {"call_id": call_id, "index": int(index), "timeout": None if timeout is None else float(timeout)}


def _any_client() -> Client:
    """The connection of whatever app runs in this process."""
    from gx._host import any_client

    return any_client()
