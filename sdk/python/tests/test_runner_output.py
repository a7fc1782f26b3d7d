"""What user code prints reaches the host whole, in order, and tagged with its input."""

from __future__ import annotations

import re
import sys
import time
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from host import MARKER, Host, pythons  # noqa: E402

from gx import _wire  # noqa: E402


class Output(unittest.TestCase):
    python = sys.executable

    def host(self, app: str = "", **options: Any) -> Host:
        host = Host(app, python=self.python, **options)
        self.addCleanup(host.__exit__)
        return host

    def test_tags(self) -> None:
        host = self.host(
            "import sys\nprint('import')\ndef f(x):\n    print('a', x)\n    print('b', x, end='')\n    print('err', x, file=sys.stderr)\n"
        ).ready()
        for i in range(3):
            host.input(i, index=i)
        host.value(2)
        host.input(9, index=0, call=8)
        host.value(0, 8)
        self.assertEqual(host.stop(), 0)
        self.assertEqual(
            host.stdout.parts(),
            [(None, b"import\n")]
            + [((7, i), b"a %d\nb %d" % (i, i)) for i in range(3)]
            + [((8, 0), b"a 9\nb 9")],
        )
        self.assertEqual(
            host.stderr.parts(), [((7, i), b"err %d\n" % i) for i in range(3)] + [((8, 0), b"err 9\n")]
        )
        end = b"\0gx" + bytes.fromhex(MARKER) + b"\xff\xff\xff\xff\0\0\0\0"
        self.assertTrue(bytes(host.stdout.raw).endswith(b"b 9" + end))
        # Output is written before the answer: no marker is in force once it has come.
        self.assertEqual(bytes(host.stdout.raw).count(end), 4)

    def test_output_comes_before_the_answer(self) -> None:
        host = self.host("def f(x):\n    print('x' * x, end='')").ready()
        for size in (1, 100, 10_000, 60_000):
            before = host.stdout.size
            host.input(size)
            host.connection.wait(lambda: host.frames and host.frames[-1][0] == _wire.RESULT, 60)
            host.frames.clear()
            deadline = time.monotonic() + 60
            while host.stdout.size - before < size + 38 and time.monotonic() < deadline:
                time.sleep(0.001)
            self.assertEqual(host.stdout.size - before, size + 38)

    def test_streams_are_what_code_expects(self) -> None:
        host = self.host("""
import io, sys
def f():
    out = []
    for s, n in ((sys.stdout, 1), (sys.stderr, 2)):
        out.append((s.isatty(), s.encoding, s.errors, s.fileno() == n, s.writable(), s.readable(), s.closed, s.buffer.writable(),
                    s.buffer.fileno() == n, isinstance(s, io.TextIOBase), s.line_buffering, s is (sys.__stdout__, sys.__stderr__)[n - 1]))
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
    print(sys.stdout.write("abc\\n"))
    sys.stdout.writelines(["x\\n", "y\\n"])
    sys.stdout.buffer.write(b"bytes\\n")
    sys.stdout.buffer.raw.write(b"raw\\n")
    sys.stdout.close()
    print("after close")
    try:
        sys.stdout.write(b"no")
    except TypeError as e:
        print(e)
    for bad in (sys.stdout.read, sys.stdout.detach, sys.stdout.buffer.detach):
        try:
            bad()
        except io.UnsupportedOperation:
            print("unsupported")
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    print("wrapped")
    return out
""").ready()
        want = (False, "utf-8", "backslashreplace", True, True, False, False, True, True, True, True, True)
        self.assertEqual(host.call(), [want, want])
        self.assertEqual(host.stop(), 0)
        self.assertEqual(
            host.stdout.of(7, 0),
            b"abc\n4\nx\ny\nbytes\nraw\nafter close\nwrite() argument must be str, not bytes\n"
            b"unsupported\nunsupported\nunsupported\nwrapped\n",
        )

    def test_difficult_text(self) -> None:
        host = self.host("""
import os, sys
def f():
    print("\\udcff \\ud800 \\u00fc \\U0001f600 \\x00")
    sys.stdout.buffer.write(b"\\xff\\xfe\\x80\\n")
    os.write(1, b"\\xff direct\\n")
    print("\\r 10%", end="", flush=True)
    print("\\r 20%", end="", flush=True)
    print()
    print("a\\nb\\nc", end="")
""").ready()
        host.call()
        host.stop()
        self.assertEqual(
            host.stdout.of(7, 0),
            b"\\udcff \\ud800 \xc3\xbc \xf0\x9f\x98\x80 \0\n\xff\xfe\x80\n\xff direct\n\r 10%\r 20%\na\nb\nc",
        )

    def test_order_with_subprocesses(self) -> None:
        host = self.host("""
import os, subprocess, sys
def f():
    for i in range(5):
        print("python", i)
        subprocess.run(["sh", "-c", f"echo shell {i}; echo error {i} >&2"])
        os.system(f"echo system {i}")
        print("to stderr", i, file=sys.stderr)
""").ready()
        host.call()
        host.stop()
        self.assertEqual(
            host.stdout.of(7, 0), b"".join(b"python %d\nshell %d\nsystem %d\n" % (i, i, i) for i in range(5))
        )
        self.assertEqual(
            b"".join(t for _, t in host.stderr.parts()),
            b"".join(b"error %d\nto stderr %d\n" % (i, i) for i in range(5)),
        )

    def test_logging_and_warnings(self) -> None:
        host = self.host("""
import logging, warnings
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
def f():
    logging.info("hello")
    warnings.warn("careful")
    logging.getLogger("x").exception("bad", exc_info=ValueError("v"))
""").ready()
        host.call()
        host.stop()
        text = host.stderr.of(7, 0)
        for part in (b"INFO hello\n", b"UserWarning: careful", b"ERROR bad\nValueError: v\n"):
            self.assertIn(part, text)

    def test_threads_of_the_user(self) -> None:
        """Lines of threads do not mix, and belong to the input that runs."""
        host = self.host("""
import threading
def f(x):
    def work(i):
        for j in range(200):
            print("line", x, i, j)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
""").ready()
        for x in range(2):
            host.input(x, index=x)
        host.value(1)
        host.stop()
        for x in range(2):
            lines = host.stdout.of(7, x).decode().splitlines()
            self.assertEqual(sorted(lines), sorted(f"line {x} {i} {j}" for i in range(4) for j in range(200)))

    def test_concurrent_inputs(self) -> None:
        for app in (
            "import time\ndef f(x):\n    for j in range(50):\n        print('line', x, end=' ')\n        if j % 10 == 0: time.sleep(0.001)\n        print(j)",
            "import asyncio\nasync def f(x):\n    for j in range(50):\n        print('line', x, end=' ')\n        if j % 10 == 0: await asyncio.sleep(0)\n        print(j)",
        ):
            host = self.host(app, concurrency=8).ready()
            for x in range(24):
                host.input(x, index=x)
            for x in range(24):
                host.value(x)
            host.stop()
            for x in range(24):
                self.assertEqual(host.stdout.of(7, x), b"".join(b"line %d %d\n" % (x, j) for j in range(50)))

    def test_output_after_the_input_belongs_to_none(self) -> None:
        host = self.host(
            "import os, threading, time\ndef f():\n    def later():\n        while not os.path.exists('go'): time.sleep(0.01)\n        print('later')\n    threading.Thread(target=later).start()\n    print('now')"
        ).ready()
        host.call()
        host.go()
        host.stdout.wait(b"later")
        host.stop()
        self.assertEqual(host.stdout.parts(), [((7, 0), b"now\n"), (None, b"later\n")])

    def test_first_output_of_a_child_is_tagged(self) -> None:
        host = self.host(
            "import os\ndef f():\n    child = os.fork()\n    if child == 0:\n        print('child')\n        os._exit(0)\n    os.waitpid(child, 0)"
        ).ready()
        host.call()
        host.stop()
        self.assertEqual(host.stdout.parts(), [((7, 0), b"child\n")])

    def test_a_gigabyte(self) -> None:
        """One print of 1 GB, and 1 GB in lines and without any, stream in bounded memory."""
        host = self.host("""
import resource, sys
def f(how):
    if how == "one":
        text = "x" * (1 << 30)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(text)
    else:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        part = "y" * (1 << 16) + ("\\n" if how == "lines" else "")
        for _ in range(1 << 14):
            sys.stdout.write(part)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
""").ready()
        host.stdout.keep = False
        for how in ("lines", "no lines", "one"):
            before = host.stdout.size
            host.input(how)
            grown = host.value(timeout=120)
            host.frames.clear()
            self.assertLess(grown, 20 << 10)  # KiB
            self.assertGreaterEqual(host.stdout.size - before, (1 << 30) - (2 << 20))

    def test_many_small_prints_are_quick(self) -> None:
        host = self.host("def f():\n    for i in range(200_000): print('line', i)").ready()
        host.stdout.keep = False
        began = time.monotonic()
        host.call()
        self.assertLess(time.monotonic() - began, 40)

    def test_no_marker_is_split_by_others(self) -> None:
        """A child that writes to the same pipe as fast as it can never breaks a marker."""
        host = self.host("""
import subprocess
def f(x):
    if x == 0:
        f.child = subprocess.Popen(["sh", "-c", "while :; do echo cccccccccccccccccccccccccccccccccccccccccccccccccccccc; done"])
    print("p" * 5000)
    if x == 199:
        f.child.kill(); f.child.wait()
""").ready()
        for x in range(200):
            host.input(x, index=x)
        host.value(199)
        host.stop()
        mark = b"\0gx" + bytes.fromhex(MARKER)
        seen = [
            int.from_bytes(m.group(1), "little")
            for m in re.finditer(re.escape(mark) + rb"\x07\0\0\0(....)", bytes(host.stdout.raw), re.S)
        ]
        self.assertEqual(seen, list(range(200)))
        self.assertEqual(
            bytes(host.stdout.raw).count(b"\0"),
            bytes(host.stdout.raw).count(mark) * 1
            + sum(
                bytes(host.stdout.raw)[m.end() : m.end() + 8].count(b"\0")
                for m in re.finditer(re.escape(mark), bytes(host.stdout.raw))
            ),
        )

    def test_without_markers(self) -> None:
        host = self.host("def f(x): print(x)", marker="").ready()
        host.call("a")
        host.stop()
        self.assertEqual(bytes(host.stdout.raw), b"a\n")


for version, path in pythons().items():
    name = f"Output_{version.replace('.', '_')}"
    globals()[name] = type(name, (Output,), {"python": path, "__module__": __name__, "__qualname__": name})
del Output

if __name__ == "__main__":
    unittest.main()
