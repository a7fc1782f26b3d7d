"""Classes in the runner, as the SDK's decorators make them: lifecycle, and methods that call methods."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import unittest
from itertools import count
from pathlib import Path
from typing import Any, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from host import Host, pythons  # noqa: E402

from gx import _wire  # noqa: E402

APP = """
import gx
app = gx.App()

class Base:
    @gx.enter()
    def base_enter(self): self.steps.append("base enter")
    @gx.enter(snap=True)
    def base_snap(self): self.steps = ["base snap"]
    @gx.exit()
    def base_exit(self): print("base exit", flush=True)
    @gx.method()
    def over(self): return "base"

@app.cls()
class Model(Base):
    size: int = gx.parameter(default=1)

    @gx.enter()
    def enter(self): self.steps.append("enter")
    @gx.enter(snap=True)
    def snap(self): self.steps.append("snap")
    @gx.exit()
    def exit(self): print("exit", self.size, flush=True)
    @gx.method()
    def info(self): return self.size, self.steps
    @gx.method()
    def over(self): return "model over " + super().over()
    @gx.method()
    def locally(self, x): return self.add(x), self.add.local(x), Model(size=5).add.local(x)
    @gx.method()
    def add(self, x): return self.size + x
    @gx.method()
    def remotely(self, x): return self.add.remote(x)
    @gx.method()
    def elsewhere(self, x): return Model(size=self.size + 1).add.remote(x)
    @gx.method()
    def pickled(self):
        import pickle
        return pickle.loads(pickle.dumps(self.add))(1)
"""


class Case(unittest.TestCase):
    python = sys.executable
    numbers = count(1)

    def host(self, app: str = APP, params: Any = None, **options: Any) -> Host:
        """A container of Model."""
        if params is not None:
            options["params"] = pickle.dumps(params)
        options.setdefault("qualname", "Model")
        options.setdefault("functions", {"Model": "fu-model"})
        host = Host(app, python=self.python, **{"class": True}, **options)
        self.addCleanup(host.__exit__)
        return host.ready()

    @staticmethod
    def send(host: Host, method: str, *args: Any, call: int) -> None:
        host.connection.send(_wire.encode(_wire.OPEN, call, 0, _wire.to_json({"method": method})))
        host.input(*args, call=call)

    def calls(self, host: Host, *calls: Tuple) -> List[Any]:
        """The values of several calls (method, arguments...)."""
        numbers = [next(self.numbers) for _ in calls]
        for number, (method, *args) in zip(numbers, calls):
            self.send(host, method, *args, call=number)
        return [host.value(call=number) for number in numbers]

    def ways(self) -> Any:
        """The app, for each way to run it: plain, on threads, on an event loop."""
        for text, concurrency in ((APP, 1), (APP, 3), (APP.replace("def enter(", "async def enter("), 1),
                                  (APP.replace("def exit(", "async def exit(").replace("def info(", "async def info("), 3)):  # fmt: skip
            with self.subTest(concurrency=concurrency, asynchronous="async" in text):
                yield text, concurrency


class Classes(Case):
    def test_hooks_run_in_order_and_once(self) -> None:
        for text, concurrency in self.ways():
            host = self.host(text, ((), {"size": 4}), concurrency=concurrency)
            steps = ["base snap", "snap", "base enter", "enter"]
            self.assertEqual(self.calls(host, ("info",), ("info",)), [(4, steps)] * 2)
            self.assertEqual(host.stop(), 0)
            self.assertEqual(bytes(host.stdout.raw).split(b"\n")[-3:], [b"base exit", b"exit 4", b""])

    def test_sigterm_runs_exit_hooks(self) -> None:
        for text, concurrency in self.ways():
            host = self.host(text, concurrency=concurrency)
            self.assertEqual(self.calls(host, ("add", 1)), [2])
            host.process.send_signal(signal.SIGTERM)
            host.expect(_wire.BYE)
            self.assertEqual(host.ended(), 0)
            self.assertIn(b"base exit\nexit 1\n", host.stdout.raw)

    def test_sigterm_in_enter_lets_it_finish(self) -> None:
        text = APP.replace('self.steps.append("enter")', 'print("here", flush=True); import time; time.sleep(0.3)')
        host = Host(text, python=self.python, **{"class": True}, qualname="Model")
        self.addCleanup(host.__exit__)
        host.stdout.wait(b"here")
        host.process.send_signal(signal.SIGTERM)
        host.expect(_wire.BYE)
        self.assertEqual(host.ended(), 0)
        self.assertIn(b"exit 1", host.stdout.raw)

    def test_exit_hook_that_fails_leaves_the_others(self) -> None:
        host = self.host(APP.replace('print("base exit", flush=True)', "1 / 0"))
        self.assertEqual(host.stop(), 0)
        self.assertIn(b"exit 1", host.stdout.raw)
        self.assertIn(b"exit hook Base.base_exit failed", host.stderr.raw)

    def test_methods_call_methods_here(self) -> None:
        host = self.host(params=((), {"size": 10}))
        self.assertEqual(self.calls(host, ("locally", 1)), [(11, 11, 6)])
        self.assertEqual(self.calls(host, ("over",), ("pickled",)), ["model over base", 11])

    def test_methods_call_methods_remotely(self) -> None:
        for text, concurrency in self.ways():
            for by_value in (False, True):
                self.remotely(text, concurrency, by_value)

    def by_value(self) -> bytes:
        """What Model is sent as with serialized=True; here it names the class, which cloudpickle would take apart."""
        version = subprocess.run([self.python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, check=True)
        return pickle.dumps((tuple(map(int, version.stdout.split())), b"\x80\x04\x8c\x03app\x8c\x0aModel._raw\x93."))

    def remotely(self, text: str, concurrency: int, by_value: bool) -> None:
        opened: List[dict] = []
        params = pickle.dumps(((), {"size": 4}), 4)
        serialized = {"payload": self.by_value()} if by_value else {}
        host = self.host(
            text, concurrency=concurrency, function="fu-model", options={"cpu": {"request": 1.5}}, **serialized,
            params=((), {"size": 4}),
        )  # fmt: skip

        def reply(frame: Any) -> None:
            kind, call, index = frame[0], frame[1], frame[2]
            if kind == _wire.OPEN:
                opened.append(_wire.from_json(frame[3]))
            elif kind == _wire.INPUT:
                (x,), _ = _wire.loads(frame[3])
                host.connection.send_payload(_wire.RESULT, call, index, _wire.dumps(x + 1000))

        host.on_frame = reply
        self.assertEqual(self.calls(host, ("remotely", 1)), [1001])
        self.assertEqual(opened[0]["function"], "fu-model")
        self.assertEqual(opened[0]["method"], "add")
        self.assertEqual(opened[0]["options"], {"cpu": {"request": 1.5}})
        self.assertEqual(_wire.loads(_bytes(opened[0]["params"])), _wire.loads(params))
        if not by_value:
            self.assertEqual(self.calls(host, ("elsewhere", 2)), [1002])
            self.assertEqual(_wire.loads(_bytes(opened[1]["params"])), ((), {"size": 5}))
            self.assertNotIn("options", opened[1])
        self.assertEqual(host.stop(), 0)

    def test_what_is_wrong_with_parameters_is_a_failed_start(self) -> None:
        for params, text in ((((), {"sise": 1}), "no parameter 'sise'"), (((), {"size": "x"}), "is an int")):
            host = Host(APP, python=self.python, **{"class": True}, qualname="Model", params=pickle.dumps(params))
            self.addCleanup(host.__exit__)
            head = _wire.read_error_body(host.expect(_wire.FAILED)[3])[0]
            self.assertIn(text, head["message"])

    def test_failed_enter_has_its_traceback(self) -> None:
        host = Host(APP.replace('self.steps.append("enter")', "{}['key']"), python=self.python, **{"class": True}, qualname="Model")
        self.addCleanup(host.__exit__)
        head = _wire.read_error_body(host.expect(_wire.FAILED)[3])[0]
        self.assertEqual(head["type"], "KeyError")
        self.assertIn("in enter", head["traceback"])
        self.assertNotIn("_runner", head["traceback"])

    def test_slots(self) -> None:
        host = self.host(
            "import gx\nclass Model:\n    __slots__ = ('x',)\n    def __init__(self): self.x = 3\n"
            "    @gx.method()\n    def get(self): return self.twice()\n    @gx.method()\n    def twice(self): return 2 * self.x\n"
        )
        self.assertEqual(self.calls(host, ("get",)), [6])


def _bytes(text: str) -> bytes:
    from base64 import b64decode

    return b64decode(text)


class OldestPython(Classes):
    """The same with the oldest Python that there is."""

    python = list(pythons().values())[min(1, len(pythons()) - 1)]


if __name__ == "__main__":
    unittest.main()
