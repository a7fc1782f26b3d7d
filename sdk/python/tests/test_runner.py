"""The runner, as a process: functions, errors, and everything that user code does to a process."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from host import Host, pythons  # noqa: E402

from gx import _wire  # noqa: E402


class Case(unittest.TestCase):
    python = sys.executable

    def host(self, app: str = "", **options: Any) -> Host:
        host = Host(app, python=self.python, **options)
        self.addCleanup(host.__exit__)
        return host

    def by_value(self, function: Any) -> bytes:
        """The payload of a serialized function."""
        version = subprocess.run([self.python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, check=True)
        return pickle.dumps((tuple(map(int, version.stdout.split())), pickle.dumps(function)))

    def failed(self, host: Host) -> dict:
        """The head of the Failed that the runner ends with."""
        frame = host.expect(_wire.FAILED, _wire.READY)
        self.assertEqual(frame[0], _wire.FAILED)
        self.assertEqual(host.ended(), 1)
        return _wire.read_error_body(frame[3])[0]


class Functions(Case):
    def test_hello(self) -> None:
        host = self.host("def f(a, b=1): return a + b")
        self.assertEqual(host.hello["token"], "secret")
        self.assertEqual(host.hello["role"], "runner")
        host.ready()
        self.assertEqual(host.call(1, b=2), 3)
        host.input(5, index=3, call=9, attempt=4)
        self.assertEqual(host.value(3, 9), 6)
        self.assertEqual(host.answer(3, 9)[4], 4)
        self.assertEqual(host.stop(), 0)

    def test_window_is_answered_in_order_each_with_its_identity(self) -> None:
        host = self.host("def f(x): return x * x").ready()
        host.connection.send(
            b"".join(_wire.encode(_wire.INPUT, 7, i, _wire.dumps(((i,), {})), i % 5 + 1) for i in range(5000))
        )
        self.assertTrue(host.connection.wait(lambda: len(host.frames) >= 5001, 60))
        answers = host.frames[1:]
        self.assertEqual(
            [(f[2], _wire.loads(f[3]), f[4]) for f in answers], [(i, i * i, i % 5 + 1) for i in range(5000)]
        )

    def test_a_slow_input_does_not_hold_back_what_is_done(self) -> None:
        host = self.host(
            "import os, time\ndef f(x):\n    while x == 30 and not os.path.exists('go'): time.sleep(0.01)\n    return x"
        ).ready()
        for i in range(30):
            host.call(i)
        host.frames.clear()
        host.connection.send(
            b"".join(_wire.encode(_wire.INPUT, 7, i, _wire.dumps(((i,), {}))) for i in range(31))
        )
        self.assertTrue(host.connection.wait(lambda: len(host.frames) == 30, 60))
        host.go()
        host.value(30)

    def test_large_values(self) -> None:
        host = self.host("def f(x): return x").ready()
        for size in (1 << 10, 1 << 18, (1 << 18) + 1, 3 << 20, 70 << 20, 200 << 20):
            value = os.urandom(16) * (size // 16)
            self.assertEqual(host.call(value), value)
        self.assertEqual(host.call(1), 1)

    def test_modules(self) -> None:
        host = self.host(
            "import sys, helper, gx, gx._wire, gx._runner.state\nfrom pkg import inner\n"
            "def f(): return __name__, __file__, helper.x, inner.y, gx._wire.INPUT, sys.path[0], exit.__class__.__name__",
            files={"helper.py": "x = 1", "pkg/__init__.py": "", "pkg/inner.py": "y = 2"},
        ).ready()
        name, file, *rest, path, exit_name = host.call()
        self.assertEqual((name, Path(file).name, rest, exit_name), ("app", "app.py", [1, 2, 4], "Quitter"))
        self.assertEqual(Path(path), Path(host.dir.name, "root"))

    def test_module_in_package(self) -> None:
        host = self.host(
            files={
                "pkg/__init__.py": "",
                "pkg/mod.py": "from . import other\nclass A:\n    @staticmethod\n    def g(): return other.x",
                "pkg/other.py": "x = 5",
            },
            module="pkg.mod",
            qualname="A.g",
        ).ready()
        self.assertEqual(host.call(), 5)

    def test_user_environment_counts(self) -> None:
        extra = self.enterContextDir()
        Path(extra, "from_path.py").write_text("z = 3")
        host = self.host(
            "import from_path, sys\ndef f(): return from_path.z, sys.flags.hash_randomization, sys.flags.utf8_mode",
            env={"PYTHONPATH": extra, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
        ).ready()
        self.assertEqual(host.call(), (3, 0, 1))

    def enterContextDir(self) -> str:
        import tempfile

        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def test_site_packages_and_pth_files(self) -> None:
        """A virtual environment works, also where the runner was started with -S."""
        import subprocess

        folder = self.enterContextDir()
        subprocess.run([self.python, "-m", "venv", "--without-pip", folder], check=True)
        (site,) = Path(folder).glob("lib/python*/site-packages")
        (site / "packaged.py").write_text("x = 1")
        (site / "more.pth").write_text(f"{folder}/more\nimport sys; sys.from_pth = 2\n")
        Path(folder, "more").mkdir()
        Path(folder, "more", "linked.py").write_text("y = 3")
        app = "import packaged, linked, sys\ndef f(): return packaged.x, sys.from_pth, linked.y, sys.prefix"
        for flags in ((), ("-S",)):
            with Host(app, python=f"{folder}/bin/python", flags=flags) as host:
                self.assertEqual(host.ready().call(), (1, 2, 3, folder))

    def test_payload_instead_of_module(self) -> None:
        host = self.host(payload=self.by_value(os.path.basename), module="", qualname="").ready()
        self.assertEqual(host.call("/a/b"), "b")

    def test_classes_of_main_are_found(self) -> None:
        host = self.host("class Point:\n    def __init__(self, x): self.x = x\ndef f(p): return p.x").ready()
        payload = b"\x80\x04c__main__\nPoint\nK\x05\x85R\x85}\x86."  # ((Point(5),), {})
        host.connection.send(_wire.encode(_wire.INPUT, 7, 0, payload))
        self.assertEqual(host.value(), 5)

    def test_generator(self) -> None:
        host = self.host(
            "def f(n):\n    for i in range(n):\n        print(i)\n        yield i\n    if n == 3: raise KeyError('end')"
        ).ready()
        host.input(5, index=0)
        self.assertIsNone(host.value(0))
        self.assertEqual([_wire.loads(f[3]) for f in host.frames if f[0] == _wire.ITEM], [0, 1, 2, 3, 4])
        host.input(3, index=1)
        self.assertEqual(host.error(1)[0]["type"], "KeyError")
        self.assertEqual(len([f for f in host.frames if f[0] == _wire.ITEM and f[2] == 1]), 3)

    def test_a_generator_that_nobody_knows_of(self) -> None:
        """Its caller waits for one value, and has no use for items."""
        for concurrency in (1, 2):
            host = self.host(
                "def f(n): return (i for i in range(n))", concurrency=concurrency, generators=[]
            ).ready()
            host.input(3)
            head = host.error()[0]
            self.assertEqual(head["type"], "gx.exception.InvalidError")
            self.assertIn("is_generator=True", head["message"])
            self.assertFalse([f for f in host.frames if f[0] == _wire.ITEM])

    def test_items_come_as_they_are_made(self) -> None:
        host = self.host("import time\ndef f():\n    yield 1\n    time.sleep(300)\n    yield 2").ready()
        host.input()
        self.assertTrue(host.connection.wait(lambda: any(f[0] == _wire.ITEM for f in host.frames), 60))

    def test_item_that_cannot_be_pickled(self) -> None:
        host = self.host(
            "closed = []\ndef f():\n    try:\n        yield 1\n        yield lambda: 0\n        yield 2\n"
            "    finally:\n        closed.append(1)\n\ndef g(): return closed"
        ).ready()
        host.input()
        self.assertIn("cannot be pickled", host.error()[0]["message"])

    def test_function_that_returns_a_coroutine(self) -> None:
        host = self.host(
            "import asyncio\nasync def g(x):\n    await asyncio.sleep(0)\n    return x + 1\ndef f(x): return g(x)"
        ).ready()
        self.assertEqual([host.call(i) for i in range(3)], [1, 2, 3])

    def test_ids(self) -> None:
        host = self.host(
            "from gx._runner import state\ndef f(): return state.current_input_id(), state.current_function_call_id()"
        ).ready()
        self.assertEqual(host.call(), ("in-ta-1-7-0", "fc-ta-1-7"))
        host.connection.send(_wire.encode(_wire.OPENED, 8, 0, b'{"call_id":"fc-abc"}'))
        host.input(call=8, index=4)
        self.assertEqual(host.value(4, 8), ("in-abc-4", "fc-abc"))

    def test_calls_of_the_container(self) -> None:
        """User code opens a call on the same connection, from several threads."""
        host = self.host(
            """
            import threading
            from gx import _wire
            from gx._runner import state

            answers = {}
            connection = state.attach(lambda frame: answers.__setitem__(frame[1], frame))

            def ask(n):
                connection.send(_wire.encode(_wire.REQUEST, _wire.RUNNER_CALL | n, 0, b"{}"))
                assert connection.wait(lambda: _wire.RUNNER_CALL | n in answers, 60)
                return _wire.from_json(answers[_wire.RUNNER_CALL | n][3])["result"]

            def f(n):
                got = []
                threads = [threading.Thread(target=lambda i=i: got.append(ask(1000 + i))) for i in range(n)]
                [t.start() for t in threads]
                first = ask(1)
                [t.join() for t in threads]
                return first, sorted(got)
            """.replace("\n            ", "\n")
        ).ready()

        def reply(frame: tuple) -> None:
            if frame[0] == _wire.REQUEST:
                number = frame[1] & 0x7FFFFFFF
                host.connection.send(
                    _wire.encode(_wire.REPLY, frame[1], 0, _wire.to_json({"result": number}))
                )

        host.on_frame = reply
        self.assertEqual(host.call(0), (1, []))
        self.assertEqual(host.call(8), (1, [1000 + i for i in range(8)]))


class Classes(Case):
    APP = """
import gx
def role(*roles):
    def mark(f):
        f._gx_roles = roles
        return f
    return mark

class Base:
    @role("enter_snap")
    def first(self): print("base snap")
    @role("method")
    def over(self): return "base"
    @role("exit")
    def last(self): print("base exit")

class f(Base):
    def __init__(self, size=1, name="x"): self.size, self.name, self.steps = size, name, []
    @role("enter")
    def second(self): self.steps.append("enter")
    @role("enter_snap")
    def first(self): self.steps.append("snap")
    @role("method")
    def over(self): return self.size, self.name, self.steps
    @role("method")
    def add(self, x): return self.size + x
    @role("exit")
    def bad_exit(self): raise ValueError("in exit")
    def plain(self): return 0
"""

    def test_class(self) -> None:
        host = self.host(self.APP, **{"class": True}, params=pickle.dumps(((5,), {"name": "n"}))).ready()
        for call, method in ((1, "over"), (2, "add"), (3, "plain")):
            host.connection.send(_wire.encode(_wire.OPEN, call, 0, _wire.to_json({"method": method})))
        host.input(call=1)
        self.assertEqual(host.value(call=1), (5, "n", ["snap", "enter"]))
        host.input(3, call=2)
        self.assertEqual(host.value(call=2), 8)
        host.input(call=3)
        self.assertIn("plain", host.error(call=3)[0]["message"])
        self.assertEqual(host.stop(), 0)
        self.assertIn(b"base exit", host.stdout.raw)
        self.assertIn(b"ValueError: in exit", host.stderr.raw)

    def test_async_class(self) -> None:
        app = (
            self.APP.replace("def add(self, x)", "async def add(self, x)")
            .replace("def second(self)", "async def second(self)")
            .replace("def last(self)", "async def last(self)")
        )
        for concurrency in (1, 4):
            host = self.host(app, **{"class": True}, concurrency=concurrency).ready()
            host.connection.send(
                _wire.encode(_wire.OPEN, 1, 0, b'{"method":"over"}')
                + _wire.encode(_wire.OPEN, 2, 0, b'{"method":"add"}')
            )
            host.input(call=1)
            self.assertEqual(host.value(call=1), (1, "x", ["snap", "enter"]))
            host.input(3, call=2)
            self.assertEqual(host.value(call=2), 4)
            self.assertEqual(host.stop(), 0)
            self.assertIn(b"base exit", host.stdout.raw)

    def test_constructor_and_enter_that_fail(self) -> None:
        self.assertIn(
            "unexpected keyword",
            self.failed(self.host(self.APP, **{"class": True}, params=pickle.dumps(((), {"no": 1}))))[
                "message"
            ],
        )
        app = self.APP.replace('self.steps.append("enter")', "1 / 0")
        head = self.failed(self.host(app, **{"class": True}))
        self.assertEqual(head["type"], "ZeroDivisionError")
        self.assertEqual(Path(head["file"]).name, "app.py")


class Errors(Case):
    def test_exception(self) -> None:
        host = self.host(
            "class Mine(ValueError): pass\n\ndef g():\n    raise Mine('no', 3)\n\ndef f():\n    try:\n        1 / 0\n"
            "    except ZeroDivisionError:\n        g()\n"
        ).ready()
        host.input()
        head, error = host.error()
        self.assertEqual((head["type"], head["message"], head["line"]), ("app.Mine", "('no', 3)", 4))
        self.assertEqual(Path(head["file"]).name, "app.py")
        self.assertIn("ZeroDivisionError", head["traceback"])
        self.assertIn("in g", head["traceback"])
        self.assertNotIn("_runner", head["traceback"])
        self.assertIsInstance(error, ModuleNotFoundError)  # the class is not here: the text is
        host.frames.clear()
        host.input()
        self.assertEqual(host.error()[0]["type"], "app.Mine")

    def test_place_is_in_the_users_code(self) -> None:
        host = self.host("import json\n\ndef f():\n    return json.loads('{')\n").ready()
        host.input()
        head, error = host.error()
        self.assertEqual(
            (Path(head["file"]).name, head["line"], head["type"]),
            ("app.py", 4, "json.decoder.JSONDecodeError"),
        )
        self.assertIsInstance(error, ValueError)

    def test_difficult_exceptions(self) -> None:
        host = self.host(
            """
            import threading
            class Str(Exception):
                def __str__(self): raise RuntimeError("no str")
            class Init(Exception):
                def __init__(self, a, b): super().__init__(a)
            class Lock(Exception):
                def __init__(self): self.lock = threading.Lock()
            class Reduce(Exception):
                def __reduce__(self): raise RuntimeError("no reduce")
            class Exit(BaseException): pass
            def f(n):
                if n == 0: raise Str
                if n == 1: raise Init(1, 2)
                if n == 2: raise Lock
                if n == 3: raise Reduce
                if n == 4: raise Exit
                if n == 5: raise SystemExit(3)
                if n == 6: raise KeyboardInterrupt
                if n == 7: f(7)
                if n == 8: raise MemoryError
                if n == 9: raise ValueError("x" * 10_000_000)
                if n == 10: raise ValueError("\\ud800 \\x00")
                if n == 11:
                    e = ValueError("a"); e.__cause__ = e; raise e
                if n == 12: raise StopIteration(4)
                if n == 13: raise GeneratorExit
                return n
            """.replace("\n            ", "\n")
        ).ready()
        types = [
            "app.Str",
            "app.Init",
            "app.Lock",
            "app.Reduce",
            "app.Exit",
            "SystemExit",
            "KeyboardInterrupt",
            "RecursionError",
            "MemoryError",
            "ValueError",
            "ValueError",
            "ValueError",
            "StopIteration",
            "GeneratorExit",
        ]
        for i, name in enumerate(types):
            host.input(i, index=i)
            head, _ = host.error(i)
            self.assertEqual(head["type"], name)
            self.assertLess(len(head["traceback"]) + len(head["message"]), 1 << 20)
        self.assertEqual(host.call(14), 14)

    def test_value_that_cannot_be_pickled(self) -> None:
        host = self.host(
            "import threading\ndef f(n):\n    if n == 0: return threading.Lock()\n    if n == 1: return lambda: 0\n    return n"
        ).ready()
        host.input(0, index=0)
        head, _ = host.error(0)
        self.assertIn("SerializationError", head["type"])
        for part in ("_thread.lock", "f (", "app.py", "line 2", "cannot be pickled"):
            self.assertIn(part, head["message"])
        host.input(1, index=1)
        self.assertIn("function", host.error(1)[0]["message"])
        self.assertEqual(host.call(2), 2)

    def test_arguments_that_cannot_be_unpickled(self) -> None:
        host = self.host("def f(x): return x").ready()
        for i, (payload, part) in enumerate(
            [
                (b"\x80\x04cnot_there\nX\n.", "not_there"),
                (b"\x80\x04capp\nX\n.", "X"),
                (b"", "EOF"),
                (b"garbage", ""),
                (b"\0gxb\xff\xff\xff\xff" + bytes(10), "cut off"),
                (b"\x80\x05K\x01.", ""),
                (b"\x80\x63.", "protocol"),
            ]
        ):
            host.connection.send(_wire.encode(_wire.INPUT, 7, i, payload))
            head, _ = host.error(i)
            self.assertIn(part, head["message"])
            if i == 0:
                self.assertEqual(head["module"], "not_there")
        self.assertEqual(host.call(2), 2)

    def test_import_errors(self) -> None:
        for app, kind, part, line in (
            ("x = (\n", "SyntaxError", "was never closed" if sys.version_info >= (3, 10) else "EOF", 1),
            ("import os\nimport not_there\n", "ModuleNotFoundError", "not_there", 2),
            ("def g(): raise ValueError('at import')\n\ng()\n", "ValueError", "at import", 1),
            ("import sys\nsys.exit(3)\n", "SystemExit", "3", 2),
            ("g = 1\n", "ExecutionError", "has no 'f'", None),
            ("f = 1\n", "ExecutionError", "is a int", None),
        ):
            with self.subTest(app):
                host = self.host(app)
                head = self.failed(host)
                self.assertIn(kind, head["type"])
                if kind != "SyntaxError":
                    self.assertIn(part, head["message"])
                if line:
                    self.assertEqual((Path(head["file"]).name, head["line"]), ("app.py", line))
                self.assertNotIn("_runner", head["traceback"])
                self.assertNotIn("importlib", head["traceback"])
        self.assertEqual(self.failed(self.host("import not_there.deep"))["module"], "not_there")
        self.assertIn("<locals>", self.failed(self.host("def g(): pass", qualname="g.<locals>.f"))["message"])
        self.assertEqual(self.failed(self.host("", module="nothing"))["module"], "nothing")
        self.assertIn("cannot be made in the container", self.failed(self.host(payload=b"garbage"))["message"])
        other = self.failed(self.host(payload=pickle.dumps(((2, 7), b""))))["message"]
        self.assertIn("sent by value from Python 2.7, and the image has Python 3.", other)

    def test_imports_blocks(self) -> None:
        block = "with image.imports():\n    import not_there\n"
        head = "import gx\nimage = gx.Image.debian_slim()\nother = gx.Image.debian_slim()\napp = gx.App('x')\n"
        for own in (
            f"{head}{block}@app.function(image=image)\ndef f(): pass\n",
            f"{head}@app.function(image=image)\ndef f(): pass\n{block}",
        ):
            failed = self.failed(self.host(own, name="f"))
            self.assertEqual((failed["type"], failed["module"]), ("ModuleNotFoundError", "not_there"))
            self.assertIn("import not_there", failed["traceback"])
        host = self.host(f"{head}{block}@app.function(image=other)\ndef f(): return 1\n", name="f").ready()
        self.assertEqual(host.call(), 1)
        broken = f"{head}with image.imports():\n    1 / 0\n@app.function(image=image)\ndef f(): pass\n"
        self.assertEqual(self.failed(self.host(broken, name="f"))["type"], "ZeroDivisionError")

    def test_output_of_a_failed_import_comes(self) -> None:
        host = self.host("print('before', end='')\nraise ValueError")
        self.failed(host)
        self.assertEqual(bytes(host.stdout.raw), b"before")


class Processes(Case):
    """Exits, forks, signals."""

    def test_os_exit(self) -> None:
        host = self.host(
            "import os\ndef f(x):\n    print('printed', end='')\n    if x == 20: os._exit(3)\n    return x"
        ).ready()
        host.connection.send(
            b"".join(_wire.encode(_wire.INPUT, 7, i, _wire.dumps(((i,), {}))) for i in range(40))
        )
        with self.assertRaises(_wire.Closed):
            host.connection.wait(lambda: False, 60)
        self.assertEqual(host.ended(), 3)
        # What was done before is not lost, and nothing else was answered.
        self.assertEqual([f[2] for f in host.frames if f[0] == _wire.RESULT], list(range(20)))

    def test_killed(self) -> None:
        host = self.host("import os, signal\ndef f(): os.kill(os.getpid(), signal.SIGKILL)").ready()
        host.input()
        with self.assertRaises(_wire.Closed):
            host.connection.wait(lambda: False, 60)
        self.assertEqual(host.ended(), -signal.SIGKILL)

    def test_segmentation_fault(self) -> None:
        host = self.host("import ctypes\ndef f():\n    print('there')\n    ctypes.string_at(0)").ready()
        host.input()
        with self.assertRaises(_wire.Closed):
            host.connection.wait(lambda: False, 60)
        self.assertEqual(host.ended(), -signal.SIGSEGV)
        self.assertEqual(host.stdout.of(7, 0), b"there\n")

    def test_fork(self) -> None:
        for end, status in (
            ("os._exit(5)", 5),
            ("return 6", 0),
            ("raise ValueError('in child')", 1),
            ("sys.exit(4)", 1),
            ("sys.exit(0)", 0),
        ):
            with self.subTest(end):
                host = self.host(f"""
import os, sys
def f(x):
    child = os.fork()
    if child == 0:
        print("child prints")
        sys.stderr.write("partial")
        {end}
    return os.waitpid(child, 0)[1] >> 8
""").ready()
                for i in range(3):
                    self.assertEqual(host.call(i, index=0), status)
                self.assertEqual(host.stop(), 0)
                self.assertEqual(host.stdout.of(7, 0), b"child prints\n" * 3)
                self.assertEqual(
                    [f[0] for f in host.frames if f[0] in (_wire.RESULT, _wire.ERROR)], [_wire.RESULT]
                )

    def test_children_that_outlive_the_runner_do_not_hold_the_connection(self) -> None:
        host = self.host(
            "import os, time\ndef f():\n    if os.fork() == 0:\n        os.close(1); os.close(2); time.sleep(60); os._exit(0)\n    os._exit(1)"
        ).ready()
        host.input()
        began = time.monotonic()
        with self.assertRaises(_wire.Closed):
            host.connection.wait(lambda: False, 40)
        self.assertLess(time.monotonic() - began, 30)

    def test_multiprocessing(self) -> None:
        host = self.host("""
import multiprocessing
def square(x):
    print("square", x)
    return x * x
def f(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        squares = pool.map(square, range(5))
        pool.close()  # what a terminated child has not flushed is lost
        pool.join()
        return squares
""").ready()
        for method in ("fork", "spawn", "forkserver"):
            self.assertEqual(host.call(method), [0, 1, 4, 9, 16])
        self.assertEqual(host.stop(), 0)
        self.assertEqual(bytes(host.stdout.raw).count(b"square"), 15)

    def test_ignoring_sigterm(self) -> None:
        host = self.host(
            "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "def f(x):\n    print('begun', flush=True)\n    time.sleep(x)\n    return x"
        ).ready()
        host.input(0.5)
        host.stdout.wait(b"begun")
        host.process.terminate()
        self.assertEqual(host.value(), 0.5)
        self.assertEqual(host.stop(), 0)

    def test_sigterm(self) -> None:
        app = "import time\ndef f(x):\n    print('begun', x, flush=True)\n    time.sleep(x)\n    return x\nasync def g(x): return x"
        for options in ({}, {"concurrency": 4}, {"qualname": "g"}):
            with self.subTest(options):
                idle = self.host(app, **options).ready()
                idle.call(0)
                time.sleep(0.05)
                idle.process.terminate()
                idle.expect(_wire.BYE)
                self.assertEqual(idle.ended(), 0)
        busy = self.host(app).ready()
        busy.input(0.5)
        busy.stdout.wait(b"begun 0.5")
        busy.process.terminate()
        self.assertEqual(busy.value(), 0.5)
        busy.expect(_wire.BYE)
        self.assertEqual(busy.ended(), 0)

    def test_stop_lets_the_running_input_finish(self) -> None:
        for options in ({}, {"concurrency": 4}, {"qualname": "g"}):
            with self.subTest(options):
                host = self.host(
                    "import time, asyncio, atexit\natexit.register(print, 'at exit')\ndef f(x):\n    print('begun', flush=True)\n    time.sleep(x)\n    return x\n"
                    "async def g(x):\n    print('begun', flush=True)\n    await asyncio.sleep(x)\n    return x",
                    **options,
                ).ready()
                host.input(0.4)
                host.stdout.wait(b"begun")
                self.assertEqual(host.stop(), 0)
                self.assertEqual(host.value(), 0.4)
                self.assertIn(b"at exit", host.stdout.raw)

    def test_host_goes_away(self) -> None:
        app = "import time\ndef f(x):\n    time.sleep(x)\n    return x\nasync def g(x): return x"
        for options, busy in (
            ({}, False),
            ({"concurrency": 4}, False),
            ({"qualname": "g"}, False),
            ({}, True),
            ({"concurrency": 4}, True),
        ):
            with self.subTest(options, busy=busy):
                host = self.host(app, **options).ready()
                host.call(0)
                if busy:
                    host.input(60, index=1)
                    time.sleep(0.1)
                host.connection.close()
                self.assertEqual(host.ended(), 70)

    def test_host_talks_nonsense(self) -> None:
        host = self.host("def f(x): return x").ready()
        host.connection.send(b"\xff" * 64)
        self.assertEqual(host.ended(), 70)
        self.assertIn(b"unknown type of frame 255", host.stderr.raw)

    def test_stop_before_start(self) -> None:
        host = self.host("import time\ntime.sleep(0.2)\ndef f(x): return x")
        self.assertEqual(host.stop(), 0)

    def test_no_host(self) -> None:
        import subprocess

        main = Path(__file__).resolve().parents[1] / "gx" / "_runner" / "main.py"
        done = subprocess.run(
            [self.python, str(main)],
            env={"GX_RUNNER_SOCKET": "/nowhere/host.sock"},
            capture_output=True,
            timeout=20,
        )
        self.assertEqual(done.returncode, 70)
        self.assertIn(b"the runner has lost its host", done.stderr)

    def test_threads_left_behind(self) -> None:
        host = self.host(
            "import threading, time\ndef f():\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n    return 1"
        ).ready()
        self.assertEqual(host.call(), 1)
        self.assertEqual(host.stop(), 0)

    def test_descriptors_do_not_leak(self) -> None:
        host = self.host("import os\ndef f(x): return len(os.listdir('/proc/self/fd')), x").ready()
        counts = [host.call(b"x" * 400_000)[0] for _ in range(20)]
        self.assertLessEqual(max(counts[5:]), counts[4])

    def test_closed_and_nonblocking_descriptors(self) -> None:
        host = self.host(
            "import os, fcntl\ndef f(x):\n    if x: os.set_blocking(1, False)\n    print('y' * 1000000)\n    return x"
        ).ready()
        self.assertEqual(host.call(1), 1)
        self.assertEqual(host.stop(), 0)
        self.assertEqual(len(host.stdout.of(7, 0)), 1000001)


class Cancel(Case):
    APP = """
import asyncio, time
caught = []
def f(x):
    try:
        if x in ("sleep", "loop"): print("begun", x, flush=True)
        if x == "sleep": time.sleep(300)
        if x == "loop":
            while True: pass
        if x == "print":
            while True: print("x")
        if x == "generate": return (time.sleep(0.01) or i for i in range(10000))
    except BaseException as error:
        caught.append(type(error).__name__)
        raise
    return x, caught
async def g(x):
    try:
        if x == "sleep": print("begun", x, flush=True)
        if x == "sleep": await asyncio.sleep(300)
    except BaseException as error:
        caught.append(type(error).__name__)
        raise
    return x, caught
"""

    def cancel(self, host: Host, index: int, call: int = 7) -> None:
        host.connection.send(_wire.encode(_wire.CANCEL, call, index))

    def cancelled(self, host: Host, index: int = 0, within: float = 30) -> None:
        began = time.monotonic()
        self.assertIn("InputCancellation", host.error(index)[0]["type"])
        self.assertLess(time.monotonic() - began, within)

    def test_running(self) -> None:
        host = self.host(self.APP).ready()
        for i, what in enumerate(("sleep", "loop", "print", "generate")):
            host.input(what, index=i)
            if what == "generate":
                self.assertTrue(host.connection.wait(lambda: any(f[0] == _wire.ITEM for f in host.frames), 60))
            else:
                host.stdout.wait(b"x\n" if what == "print" else b"begun " + what.encode())
            self.cancel(host, i)
            self.cancelled(host, i)
        self.assertEqual(host.call("x"), ("x", ["InputCancellation"] * 3))

    def test_waiting(self) -> None:
        """An input that has not begun is answered at once; a whole call is cancelled."""
        host = self.host(self.APP).ready()
        for i in range(4):
            host.input("sleep", index=i)
        host.stdout.wait(b"begun")
        self.cancel(host, 2)
        self.cancelled(host, 2)
        self.cancel(host, _wire.ALL_INPUTS)
        for i in (0, 1, 3):
            self.cancelled(host, i)
        self.assertEqual(host.call("x")[0], "x")

    def test_nothing_to_cancel(self) -> None:
        host = self.host(self.APP).ready()
        self.cancel(host, 0)
        self.assertEqual(host.call("x")[0], "x")
        self.cancel(host, 0)
        self.cancel(host, 5, 99)
        self.assertEqual(host.call("y")[0], "y")

    def test_again_and_again(self) -> None:
        """Cancelling at any moment hurts no other input and tears no frame."""
        host = self.host(
            "import time\ndef f(x):\n    end = time.perf_counter() + x\n    while time.perf_counter() < end: print('z' * 50)\n    return x"
        ).ready()
        for i in range(60):
            host.input(0.03, index=i)
            time.sleep(0.001 * (i % 40))
            self.cancel(host, i)
            host.answer(i)
        self.assertEqual(host.call(0), 0)

    def test_generators_that_never_wait(self) -> None:
        """Nearly all of their time is spent in sending, where no signal may interrupt."""
        for kind in ("def", "async def"):
            host = self.host(f"{kind} f(n):\n    for i in range(n): yield i").ready()
            host.input(10**9)
            self.assertTrue(host.connection.wait(lambda: any(f[0] == _wire.ITEM for f in host.frames), 60))
            self.cancel(host, 0)
            self.cancelled(host)
            host.input(2, index=1)
            self.assertIsNone(host.value(1))

    def test_in_a_call(self) -> None:
        host = self.host(
            "from gx import _wire\nfrom gx._runner import state\nc = state.attach(lambda frame: None)\n"
            "def f(x):\n    if x: c.wait(lambda: False)\n    return x"
        ).ready()
        host.input(1)
        time.sleep(0.05)
        self.cancel(host, 0)
        self.cancelled(host)
        self.assertEqual(host.call(0), 0)

    def test_async(self) -> None:
        host = self.host(self.APP, qualname="g", concurrency=3).ready()
        for i in range(5):
            host.input("sleep", index=i)
        host.stdout.wait(b"begun")
        self.cancel(host, 1)
        self.cancelled(host, 1)
        self.cancel(host, _wire.ALL_INPUTS)
        for i in (0, 2, 3, 4):
            self.cancelled(host, i)
        value, caught = host.call("x")
        self.assertEqual(value, "x")
        self.assertIn("CancelledError", caught)

    def test_threads(self) -> None:
        host = self.host(self.APP, concurrency=3).ready()
        for i in range(3):
            host.input("loop", index=i)
        host.input("x", index=3)
        host.stdout.wait(b"begun")
        self.cancel(host, 1)
        self.cancelled(host, 1)
        self.assertEqual(host.value(3)[0], "x")
        self.cancel(host, _wire.ALL_INPUTS)
        self.cancelled(host, 0)
        self.cancelled(host, 2)
        self.assertEqual(host.call("y")[0], "y")


class Concurrency(Case):
    def test_threads(self) -> None:
        host = self.host(
            "import threading\nb = threading.Barrier(4, timeout=60)\ndef f(x):\n    b.wait()\n    print('in', x)\n    return x",
            concurrency=4,
        ).ready()
        for i in range(8):
            host.input(i, index=i)
        self.assertEqual([host.value(i) for i in range(8)], list(range(8)))
        self.assertEqual(host.stop(), 0)
        for i in range(8):
            self.assertEqual(host.stdout.of(7, i), f"in {i}\n".encode())

    def test_threads_many(self) -> None:
        host = self.host("def f(x): return x + 1", concurrency=5).ready()
        for i in range(2000):
            host.input(i, index=i)
        self.assertEqual([host.value(i) for i in range(2000)], list(range(1, 2001)))
        self.assertEqual(host.stop(), 0)

    def test_threads_errors_and_generators(self) -> None:
        host = self.host(
            "def f(x):\n    if x == 0: raise ValueError(x)\n    if x == 1: return (i for i in range(3))\n    if x == 2: return lambda: 0\n    return x",
            concurrency=2,
        ).ready()
        for i in range(4):
            host.input(i, index=i)
        self.assertEqual(host.error(0)[0]["type"], "ValueError")
        self.assertIsNone(host.value(1))
        self.assertEqual([_wire.loads(f[3]) for f in host.frames if f[0] == _wire.ITEM], [0, 1, 2])
        self.assertIn("cannot be pickled", host.error(2)[0]["message"])
        self.assertEqual(host.value(3), 3)

    def test_async(self) -> None:
        host = self.host(
            """
import asyncio
here = 0
most = 0
async def f(x):
    global here, most
    here += 1
    most = max(most, here)
    print("a", x, end=" ")
    while most < 4:  # each of the first waits for the others
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    print("b", x)
    here -= 1
    if x == 3: raise ValueError(x)
    return x, most
""",
            concurrency=4,
        ).ready()
        for i in range(12):
            host.input(i, index=i)
        self.assertEqual(host.error(3)[0]["type"], "ValueError")
        self.assertNotIn("_runner", host.error(3)[0]["traceback"])
        self.assertEqual([host.value(i)[0] for i in range(12) if i != 3], [i for i in range(12) if i != 3])
        self.assertEqual(host.value(11)[1], 4)
        self.assertEqual(host.stop(), 0)
        for i in range(12):
            self.assertEqual(host.stdout.of(7, i), f"a {i} b {i}\n".encode())

    def test_async_one_at_a_time(self) -> None:
        host = self.host(
            "import asyncio\nhere = 0\nasync def f(x):\n    global here\n    here += 1\n    await asyncio.sleep(0.01)\n    here -= 1\n    return here"
        ).ready()
        for i in range(5):
            host.input(i, index=i)
        self.assertEqual([host.value(i) for i in range(5)], [0] * 5)

    def test_async_generator(self) -> None:
        host = self.host(
            "import asyncio\nasync def f(n):\n    for i in range(n):\n        await asyncio.sleep(0)\n        yield i\n    if n == 2: raise KeyError(n)"
        ).ready()
        host.input(4, index=0)
        self.assertIsNone(host.value(0))
        self.assertEqual([_wire.loads(f[3]) for f in host.frames if f[0] == _wire.ITEM], [0, 1, 2, 3])
        host.input(2, index=1)
        self.assertEqual(host.error(1)[0]["type"], "KeyError")

    def test_async_exits_and_bad_values(self) -> None:
        host = self.host(
            "import sys, os\nasync def f(x):\n    if x == 0: sys.exit(3)\n    if x == 1: raise KeyboardInterrupt\n    if x == 2: return lambda: 0\n    if x == 4: os._exit(9)\n    return x"
        ).ready()
        for i, kind in enumerate(("SystemExit", "KeyboardInterrupt", "SerializationError")):
            host.input(i, index=i)
            self.assertIn(kind, host.error(i)[0]["type"])
        self.assertEqual(host.call(3), 3)
        host.input(4, index=4)
        self.assertEqual(host.ended(), 9)


for version, path in pythons().items():
    for base in (Functions, Classes, Errors, Processes, Cancel, Concurrency):
        name = f"{base.__name__}_{version.replace('.', '_')}"
        globals()[name] = type(name, (base,), {"python": path, "__module__": __name__, "__qualname__": name})
del Functions, Classes, Errors, Processes, Cancel, Concurrency, base

if __name__ == "__main__":
    unittest.main()
