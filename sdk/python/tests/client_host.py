"""A host for tests of the client: it speaks frames over a real socket and runs functions in this process."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

SDK = Path(__file__).resolve().parents[1]
if str(SDK) not in sys.path:
    sys.path.insert(0, str(SDK))

from gx import _client, _wire  # noqa: E402


class Host:
    """One connection. ``functions`` maps ids to what answers their inputs."""

    def __init__(self, **functions: Callable) -> None:
        self.functions: Dict[str, Callable] = dict(functions)
        self.seen: List[Tuple[int, int, int]] = []  # (type, call, index) of what came
        self.opened: Dict[int, dict] = {}
        self.shuffle: Optional[random.Random] = None  # answers in another order
        self.hold = threading.Event()  # inputs are answered while it is set
        self.hold.set()
        self.logged = 0  # sequence number that answers carry
        self.kept: Dict[str, Dict[int, bytes]] = {}  # answers of spawned calls, encoded without their call
        self.hello: dict = {}
        self.instances: Dict[Any, Any] = {}  # of classes, by function and parameters
        self.outstanding = self.most = 0
        ours, theirs = socket.socketpair()
        self.theirs = theirs
        self.connection = _wire.Connection(ours, self._handle, descriptors=True)
        self._pending: List[Any] = []
        self._more = threading.Condition()
        self._closed = False
        # One reads and one answers: a host never stops reading because it can't write.
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._serve)]
        for thread in self._threads:
            thread.start()

    def client(self, **options: Any) -> _client.Client:
        """Connects a client with it."""
        return _client.connected(self.theirs.detach(), options.pop("sync", lambda line: None))

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def count(self, kind: int) -> int:
        """How many frames of a type came."""
        return len([1 for type, _, _ in self.seen if type == kind])

    def came(self, kind: int, times: int = 1) -> bool:
        """Whether so many frames of a type come soon."""
        end = time.monotonic() + 60
        while self.count(kind) < times and time.monotonic() < end:
            time.sleep(0.002)
        return self.count(kind) == times

    def _read(self) -> None:
        try:
            self.connection.wait(lambda: False)
        except (_wire.Closed, OSError, _wire.ProtocolError):
            pass
        with self._more:
            self._closed = True
            self._more.notify()

    def _serve(self) -> None:
        try:
            while True:
                with self._more:
                    self._more.wait_for(lambda: self._pending or self._closed)
                    if self._closed:
                        return
                    batch, self._pending = self._pending, []
                if self.shuffle is not None:
                    self.shuffle.shuffle(batch)
                for frame in batch:
                    self.hold.wait()
                    self._answer(frame)
        except (_wire.Closed, OSError, _wire.ProtocolError):
            return

    def _handle(self, frame: Any) -> None:
        type, call, index, body, _, _ = frame
        self.seen.append((type, call, index))
        if type == _wire.HELLO:
            self.hello = _wire.from_json(body)
            self._send(_wire.encode(_wire.READY, body=_wire.to_json({"descriptors": True})))
        elif type == _wire.OPEN:
            self.opened[call] = _wire.from_json(body)
            if self.opened[call]["kind"] == "spawn":
                self.kept[f"fc-{call}"] = {}
            if self.opened[call]["kind"] != "call":
                self._send(_wire.encode(_wire.OPENED, call, body=_wire.to_json({"call_id": f"fc-{call}"})))
        elif type == _wire.INPUT:
            self.outstanding += 1
            self.most = max(self.most, self.outstanding)
            with self._more:
                self._pending.append(frame)
                self._more.notify()
        elif type == _wire.END:
            self.opened[call]["inputs"] = index
        elif type == _wire.REQUEST:
            self._request(call, _wire.from_json(body))

    def _send(self, data: bytes) -> None:
        self.connection.send(data)

    def _answer(self, frame: Any) -> None:
        _, call, index, body, _, _ = frame
        self.outstanding -= 1
        opened = self.opened[call]
        spawned = opened["kind"] == "spawn"
        function = self.functions.get(opened["function"])
        try:
            if function is None:
                fail = _wire.to_json({"kind": "refused", "message": f"no function {opened['function']}"})
                self._send(_wire.encode(_wire.FAIL, call, index, fail))
                return
            args, kwargs = _wire.loads(body)
            if opened.get("method"):
                function = self._method(function, opened)
            value = function(*args, **kwargs)
            if opened["kind"] == "generator":
                for item in value:
                    self.connection.send_payload(_wire.ITEM, call, index, _wire.dumps(item))
                value = None
            if isinstance(value, Fail):
                self._send(_wire.encode(_wire.FAIL, call, index, _wire.to_json({"kind": value.kind, "message": value.message})))
                return
            payload = _wire.dumps(value)
            if spawned:
                self.kept[f"fc-{call}"][index] = bytes(_wire.whole(payload))
            elif self.logged and len(payload) < _wire.INLINE_MAX:
                data = bytes(_wire.whole(payload))
                self._send(_wire.encode(_wire.RESULT, call, index, data, flags=_wire.FLAG_LOGGED, logged=self.logged))
            else:
                self.connection.send_payload(_wire.RESULT, call, index, payload)
        except (_wire.Closed, OSError):
            raise
        except BaseException as error:
            self._send(_wire.encode(_wire.ERROR, call, index, error_body(error)))

    def _method(self, kind: Any, opened: dict) -> Callable:
        """A method of the instance with these parameters; instances are kept as a pool of containers would."""
        key = (opened["function"], opened.get("params"))
        if key not in self.instances:
            params = base64.b64decode(opened.get("params", ""))
            args, kwargs = pickle.loads(params) if params else ((), {})
            self.instances[key] = kind(*args, **kwargs)
        return getattr(type(self.instances[key]), opened["method"])._raw.__get__(self.instances[key])  # type: ignore[no-any-return]

    def _request(self, number: int, body: dict) -> None:
        params = body["params"]
        kept = self.kept.get(params["call_id"])
        if kept is None:
            reply: dict = {"error": {"kind": "not_found", "message": f"no call {params['call_id']}"}}
        elif body["op"] == "call.get" and params["index"] in kept:
            self.connection.send_payload(_wire.RESULT, number, params["index"], kept[params["index"]])
            reply = {"result": {"status": "done"}}
        elif body["op"] == "call.get":
            reply = {"result": {"status": "pending"}}
        elif body["op"] == "call.info":
            inputs = self.opened[int(params["call_id"][3:])]["inputs"]
            reply = {"result": {"inputs": inputs, "call_id": params["call_id"]}}
        else:
            reply = {"result": {}}
        self._send(_wire.encode(_wire.REPLY, number, body=_wire.to_json(reply)))


class Fail:
    """A function returns it to have the host give the input up."""

    def __init__(self, kind: str, message: str = "because") -> None:
        self.kind = kind
        self.message = message


def error_body(error: BaseException) -> bytes:
    """An exception as a runner sends it."""
    head = {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "Traceback (most recent call last):\n"
        + "".join(traceback.format_tb(error.__traceback__)[1:])
        + f"{type(error).__name__}: {error}\n",
        "file": "/root/app.py",
        "line": 3,
    }
    try:
        pickled = bytes(_wire.whole(_wire.dumps(error)))
    except Exception:
        pickled = b""
    return _wire.error_body(head, pickled)


class Gx:
    """gx's end of the control socket. ``host`` answers the app's calls."""

    def __init__(self, load: Optional[Callable[[dict], Dict[str, Callable]]] = None) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.lines: List[dict] = []
        self.failure: Optional[dict] = None
        self.host: Optional[Host] = None
        self.logged = 0
        self._load = load or local_functions
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits until the other end is closed."""
        self.theirs.close()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.ours.close()

    def said(self, key: str) -> List[Any]:
        """What was said in lines with this key."""
        return [line[key] for line in self.lines if key in line]

    def _serve(self) -> None:
        with self.ours.makefile("rb") as lines:
            for line in lines:
                said = json.loads(line)
                self.lines.append(said)
                if "start" in said:
                    self._start(said["start"])
                elif "sync" in said:
                    self._tell({"synced": said["sync"]})
                elif "stop" in said:
                    self._tell({"stopped": {}})
        if self.host is not None:
            self.host.close()

    def _tell(self, line: dict) -> None:
        try:
            self.ours.sendall(json.dumps(line).encode() + b"\n")
        except OSError:
            pass  # the program has ended

    def _start(self, start: dict) -> None:
        if self.failure is not None:
            self._tell({"failed": self.failure})
            return
        functions = self._load(start["manifest"])
        self.host = Host(**functions)
        self.host.logged = self.logged
        ids = {name: name for name in functions}
        line = json.dumps({"started": {"app": "ap-1", "functions": ids}}).encode() + b"\n"
        socket.send_fds(self.ours, [line], [self.host.theirs.fileno()]) if hasattr(socket, "send_fds") else self._send_fd(line)
        self.host.theirs.close()

    def _send_fd(self, line: bytes) -> None:
        import array

        assert self.host is not None
        fds = array.array("i", [self.host.theirs.fileno()])
        self.ours.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])


def local_functions(manifest: dict) -> Dict[str, Callable]:
    """The functions of a manifest, from the local files that it names."""
    files = {f["remote"]: f["local"] for mount in manifest["mounts"] for f in mount["files"]}
    found: Dict[str, Callable] = {}
    spaces: Dict[str, dict] = {}
    for function in manifest["functions"]:
        path = files["/root/" + function["module"].replace(".", "/") + ".py"]
        if path not in spaces:
            spaces[path] = {"__name__": "container_" + function["module"], "__file__": path}
            folder = os.path.dirname(path)
            sys.path.insert(0, folder)
            try:
                exec(compile(Path(path).read_text(), path, "exec"), spaces[path])
            finally:
                sys.path.remove(folder)
        found[function["name"]] = spaces[path][function["qualname"]]._raw
    return found
