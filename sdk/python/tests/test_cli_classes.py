"""``gx run FILE::Class.method``: methods, and batched functions, as commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_cli import Runner, run  # noqa: E402, F401

APP = """
from __future__ import annotations
from typing import List, Optional
import gx

app = gx.App("classes")

@app.cls()
class Model:
    size: int = gx.parameter()
    word: str = gx.parameter(default="hi")

    @gx.method()
    def add(self, x: int, *, twice: bool = False):
        '''Adds.'''
        return (self.size + x) * (2 if twice else 1)

    @gx.method()
    def count(self, n: int = 2):
        for i in range(n):
            yield f"{self.word} {i}"

    @gx.method()
    def clash(self, size: int):
        return size

@app.cls()
class Older:
    def __init__(self, name: str, times: Optional[int] = 2):
        self.text = name * times

    @gx.method()
    def get(self, *more):
        return self.text + "".join(more)

@app.function()
@gx.batched(max_batch_size=4, wait_ms=1)
def squares(xs: List[int], names: list[str] = None):
    return [(x * x, type(x).__name__) if isinstance(x, int) else x for x in (xs if isinstance(xs, list) else [xs])][0]
"""
ONE = "import gx\napp = gx.App()\n@app.cls()\nclass Only:\n    @gx.method()\n    def go(self, x: int = 3): return x\n"
FILES = {"app.py": APP, "one.py": ONE}


@pytest.mark.parametrize(
    ("words", "result"),
    [
        (("app.py::Model.add", "--size", "3", "--x", "4"), "7"),
        (("app.py::app.Model.add", "--x=4", "--size=3", "--twice"), "14"),
        (("app.py::Older.get", "--name", "ab"), "'abab'"),
        (("app.py::Older", "--name", "ab", "--times", "1", "c", "d"), "'abcd'"),
        (("one.py",), "3"),
        (("one.py::Only", "--x", "5"), "5"),
        (("one.py::Only.go", "--x", "5"), "5"),
        (("app.py::squares", "--xs", "5"), "(25, 'int')"),
    ],
)
def test_methods(run: Runner, words: tuple, result: str) -> None:  # noqa: F811
    got = run(*words, files=FILES)
    assert got.exit == {"code": 0, "result": result}, got.exceptions


def test_generator(run: Runner) -> None:  # noqa: F811
    assert run("app.py::Model.count", "--size", "1", "--word", "w", files=FILES).out == "w 0\nw 1\n"


def test_help(run: Runner) -> None:  # noqa: F811
    text = run("app.py::Model.add", "--help", files=FILES).out
    assert "Adds." in text and "self" not in text
    assert [line.split()[0] for line in text.split("Flags:\n")[1].splitlines()] == ["--size", "--word", "--x", "--twice", "--help"]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("app.py::Model",), "class Model has 3 methods: add, count, clash", "gx run app.py::Model.add"),
        (("app.py::Model.ad",), "has no function 'Model.ad'", "did you mean 'Model.add'"),
        (("app.py::Model.add", "--x", "1"), "Model.add needs --size", "--help"),
        (("app.py::Model.add", "--x", "1", "--size", "a"), "--size takes an integer", ""),
        (("app.py::Model.clash", "--size", "1"), "both have a parameter 'size'", "local entrypoint"),
        (("app.py",), "5 functions: squares, Model.add", "gx run app.py::Model.add"),
    ],
)
def test_mistakes(run: Runner, words: tuple, message: str, hint: str) -> None:  # noqa: F811
    got = run(*words, files=FILES)
    assert got.code == 2 and got.exception["kind"] == "usage"
    assert message in got.exception["message"] and hint in got.exception.get("hint", "")
