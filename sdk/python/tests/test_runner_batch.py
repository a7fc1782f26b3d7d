"""Batches in the runner: lists in, lists out, in all three ways to run inputs."""

from __future__ import annotations

import sys
import threading
import unittest
from pathlib import Path
from typing import Any, List

sys.path.insert(0, str(Path(__file__).resolve().parent))

from host import Host, pythons  # noqa: E402

from gx import _wire  # noqa: E402

# How a function is written, and the concurrency that it runs with.
WAYS = (("def", 1), ("def", 3), ("async def", 1), ("async def", 3))


class Case(unittest.TestCase):
    python = sys.executable

    def host(self, app: str = "", **options: Any) -> Host:
        options.setdefault("batch", 8)
        host = Host("import gx\n" + app, python=self.python, **options)
        self.addCleanup(host.__exit__)
        return host.ready()

    @staticmethod
    def batch(host: Host, *inputs: Any, call: int = 7, first: int = 0) -> None:
        """One batch; an input is (args, kwargs)."""
        host.connection.send(
            _wire.encode(_wire.BATCH, call, len(inputs))
            + b"".join(_wire.encode(_wire.INPUT, call, first + i, _wire.dumps(given), 1) for i, given in enumerate(inputs))
        )

    @staticmethod
    def values(host: Host, count: int, call: int = 7) -> List[Any]:
        return [host.value(i, call) for i in range(count)]


class Batches(Case):
    def test_every_way_to_run(self) -> None:
        for word, concurrency in WAYS:
            with self.subTest(word, concurrency=concurrency):
                host = self.host(f"{word} f(xs): print(len(xs)); return [x * x for x in xs]", concurrency=concurrency)
                self.batch(host, *[((i,), {}) for i in range(5)])
                self.assertEqual(self.values(host, 5), [0, 1, 4, 9, 16])
                host.input(7, index=5)  # without an announcement: a batch of one
                self.assertEqual(host.value(5), 49)
                self.assertEqual(host.stop(), 0)
                self.assertEqual([text for _, text in host.stdout.parts()], [b"5\n", b"1\n"])

    def test_each_answer_has_its_inputs_attempt(self) -> None:
        host = self.host("def f(xs): return xs")
        host.connection.send(
            _wire.encode(_wire.BATCH, 7, 2)
            + _wire.encode(_wire.INPUT, 7, 0, _wire.dumps(((1,), {})), 3)
            + _wire.encode(_wire.INPUT, 9, 4, _wire.dumps(((2,), {})), 2)
        )
        self.assertEqual((host.value(0, 7), host.answer(0, 7)[4]), (1, 3))
        self.assertEqual((host.value(4, 9), host.answer(4, 9)[4]), (2, 2))

    def test_parameters_become_lists(self) -> None:
        host = self.host("def f(a, b=10, *, c='c', **more): return [repr((a, b, c, more))] * len(a)")
        self.batch(host, ((1,), {}), ((2, 20), {}), ((), {"b": 30, "a": 3}), first=0)
        self.assertEqual(host.value(), "([1, 2, 3], [10, 20, 30], 'c', {})")
        self.batch(host, ((1,), {"c": "x"}), ((2,), {}), first=10)
        self.assertEqual(host.value(10), "([1, 2], 10, ['x', 'c'], {})")
        self.batch(host, ((1,), {"d": 1}), ((2,), {"d": 2}), first=20)
        self.assertEqual(host.value(20), "([1, 2], 10, 'c', {'d': [1, 2]})")

    def test_input_that_does_not_fit_is_refused_alone(self) -> None:
        host = self.host("def f(a, b=0): return [x + y for x, y in zip(a, b)]")
        self.batch(host, ((1, 2), {}), ((1, 2, 3), {}), ((), {"b": 1}), ((1,), {"z": 1}), ((1,), {"a": 1}), ((5,), {}))
        self.assertEqual((host.value(0), host.value(5)), (3, 5))
        for index, text in ((1, "takes 2"), (2, "needs a value for 'a'"), (3, "has no parameter 'z'"), (4, "two values")):
            self.assertIn(text, host.error(index)[0]["message"])

    def test_input_that_cannot_be_unpickled_is_refused_alone(self) -> None:
        host = self.host("def f(xs): return xs")
        host.connection.send(
            _wire.encode(_wire.BATCH, 7, 2)
            + _wire.encode(_wire.INPUT, 7, 0, b"nonsense", 1)
            + _wire.encode(_wire.INPUT, 7, 1, _wire.dumps(((2,), {})), 1)
        )
        self.assertEqual(host.value(1), 2)
        self.assertIn("cannot be unpickled", host.error(0)[0]["message"])

    def test_a_batch_of_which_nothing_is_left(self) -> None:
        for word, concurrency in WAYS:
            host = self.host(f"{word} f(xs): return xs", concurrency=concurrency)
            self.batch(host, ((), {}), ((1, 2), {}))
            self.assertIn("needs a value", host.error(0)[0]["message"])
            self.assertIn("takes 1", host.error(1)[0]["message"])
            self.batch(host, ((3,), {}), first=2)
            self.assertEqual(host.value(2), 3)

    def test_exception_is_every_inputs(self) -> None:
        for word, concurrency in WAYS:
            with self.subTest(word, concurrency=concurrency):
                host = self.host(f"{word} f(xs): raise ValueError(f'bad {{xs}}')", concurrency=concurrency)
                self.batch(host, ((1,), {}), ((2,), {}))
                for index in (0, 1):
                    head, error = host.error(index)
                    self.assertIsInstance(error, ValueError)
                    self.assertEqual(head["message"], "bad [1, 2]")

    def test_wrong_length_and_wrong_type(self) -> None:
        host = self.host("def f(xs): return {1: xs[:1], 2: 'text', 3: None, 4: {1: 2}}[xs[0]]")
        self.batch(host, ((1,), {}), ((1,), {}))
        for index in (0, 1):
            head = host.error(index)[0]
            self.assertEqual(head["type"], "gx.exception.InvalidError")
            self.assertIn("returned 1 values for a batch of 2 inputs", head["message"])
        for first, kind in ((2, "str"), (3, "NoneType"), (4, "dict")):
            self.batch(host, ((first,), {}), first=first * 10)
            self.assertIn(f"it returned a {kind}", host.error(first * 10)[0]["message"])

    def test_other_sequences(self) -> None:
        host = self.host(
            "from array import array\ndef f(xs): return tuple(xs) if xs[0] else array('d', [x + 0.5 for x in xs])"
        )
        self.batch(host, ((0,), {}), ((2,), {}))
        self.assertEqual(self.values(host, 2), [0.5, 2.5])
        self.batch(host, ((1,), {}), ((2,), {}), first=2)
        self.assertEqual((host.value(2), host.value(3)), (1, 2))

    def test_value_that_cannot_be_pickled_is_its_inputs_alone(self) -> None:
        host = self.host("def f(xs): return [x if x else (lambda: 0) for x in xs]")
        self.batch(host, ((0,), {}), ((2,), {}))
        self.assertEqual(host.value(1), 2)
        self.assertIn("cannot be pickled", host.error(0)[0]["message"])

    def test_large_values(self) -> None:
        host = self.host("def f(xs): return [x + b'!' for x in xs]")
        big = bytes(3 << 20)
        host.connection.send(_wire.encode(_wire.BATCH, 7, 2))
        host.input(big, index=0)
        host.input(b"small", index=1)
        self.assertEqual(host.value(1), b"small!")
        self.assertEqual(len(host.value(0)), len(big) + 1)

    def test_generator_is_refused(self) -> None:
        for word, concurrency in WAYS[:3]:
            host = self.host(f"{word} f(xs):\n    yield 1", concurrency=concurrency)
            self.batch(host, ((1,), {}), ((2,), {}))
            self.assertIn("can't be a generator", host.error(0)[0]["message"])
            self.assertIn("can't be a generator", host.error(1)[0]["message"])

    def test_an_input_that_is_cancelled_does_not_stop_the_others(self) -> None:
        for word, concurrency in (("def", 1), ("def", 2)):
            host = self.host(
                f"import os, time\n{word} f(paths):\n    while not os.path.exists(paths[1]): time.sleep(0.002)\n    return paths",
                concurrency=concurrency,
            )
            go = f"{host.dir.name}/go"
            self.batch(host, (("x",), {}), ((go,), {}))
            host.connection.send(_wire.encode(_wire.CANCEL, 7, 0))
            timer = threading.Timer(0.1, Path(go).touch)
            timer.start()
            self.assertEqual(host.value(1), go)
            timer.join()
            self.assertEqual(host.stop(), 0)

    def test_batches_at_the_same_time(self) -> None:
        app = (
            "import threading\nboth = threading.Barrier(2)\n"
            "def f(xs):\n    both.wait(60)\n    return [threading.get_ident()] * len(xs)"
        )
        host = self.host(app, concurrency=2)
        self.batch(host, ((1,), {}), ((2,), {}), call=1)
        self.batch(host, ((3,), {}), ((4,), {}), call=2)
        self.assertEqual(host.value(0, 1), host.value(1, 1))
        self.assertNotEqual(host.value(0, 1), host.value(0, 2))

    def test_method(self) -> None:
        app = (
            "class f:\n    def m(self, xs): return [x * 2 for x in xs]\n    m._gx_roles = ('method',)\n"
        )
        host = self.host(app, **{"class": True})
        host.connection.send(_wire.encode(_wire.OPEN, 7, 0, b'{"method":"m"}'))
        self.batch(host, ((1,), {}), ((2,), {}))
        self.assertEqual(self.values(host, 2), [2, 4])

    def test_many(self) -> None:
        host = self.host("def f(xs): return xs", batch=64)
        for batch in range(100):
            self.batch(host, *[((i,), {}) for i in range(64)], first=64 * batch)
        self.assertTrue(host.connection.wait(lambda: len(host.frames) >= 6401, 60))
        self.assertEqual([_wire.loads(f[3]) for f in host.frames[1:]], [i % 64 for i in range(6400)])


class OldestPython(Batches):
    """The same with the oldest Python that there is."""

    python = list(pythons().values())[min(1, len(pythons()) - 1)]


if __name__ == "__main__":
    unittest.main()
