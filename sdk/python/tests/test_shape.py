"""gx._shape: what of a file may change while containers go on."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any, Dict

import pytest
from gx._shape import Shapes

APP = """
import gx
from fastapi import Depends, FastAPI

app = gx.App("x")
LIMIT = 10
web = FastAPI()

def load(path):
    return open(path).read()

def helper(x: int) -> int:
    "Documentation."
    return x + 1

def database():
    return {}

def decorate(f):
    def wrapper(*args):
        return f(*args)
    return wrapper

@web.get("/")
def hello(db=Depends(database)):
    return {"hello": helper(1)}

@app.function()
def work(x, y=2):
    return helper(x) + y

@decorate
def decorated(x):
    return x

class Plain:
    def __init__(self):
        self.x = 1

    def go(self):
        return self.x

@app.cls()
class Model:
    size = 3

    def __init__(self):
        self.ready = True

    @gx.enter()
    def start(self):
        self.model = load("x")
        self.ask(1)

    @gx.method()
    def ask(self, x):
        return self.model + Plain().go()

@gx.asgi_app()
def serve():
    inner = FastAPI()

    @inner.get("/")
    def route():
        return 1

    return inner

if __name__ == "__main__":
    work.remote(1)
"""


def shape(tmp_path: Path, text: str, shapes: Any = None, **more: str) -> str:
    files = {"app": text, **more}
    for name, content in files.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(content))
    manifest: Dict[str, Any] = {
        "functions": [{"name": "f", "mounts": [0]}],
        "mounts": [{"files": [{"remote": f"/root/{name}.py", "local": str(tmp_path / f"{name}.py")} for name in files]}],
    }
    (shapes or Shapes()).add(manifest)
    return str(manifest["functions"][0].get("shape", ""))


@pytest.mark.parametrize(
    "old, new",
    [
        ("return x + 1", "return x + 2"),
        ('"Documentation."', '"Other documentation."'),
        ("return {}", "return {1: 2}"),
        ('{"hello": helper(1)}', '{"hello": helper(3), "and": [i for i in range(3)]}'),
        ("return helper(x) + y", "z = helper(x)\n    return z"),
        ("return self.x", "return self.x * 2"),
        ("return self.model + Plain().go()", "return 5"),
        ("        return 1", "        return 2"),
        ("        return f(*args)", "        return 1"),
        ("self.x = 1", "self.x = 2"),
        ("LIMIT = 10", "LIMIT = 10  # ten"),
        ("work.remote(1)\n", "work.remote(1)\n\n\n# the end\n"),
    ],
)
def test_bodies_are_not_in_it(tmp_path: Path, old: str, new: str) -> None:
    assert APP.count(old) == 1
    assert shape(tmp_path, APP) == shape(tmp_path, APP.replace(old, new)) != ""


@pytest.mark.parametrize(
    "old, new",
    [
        ("LIMIT = 10", "LIMIT = 11"),
        ("import gx\n", "import gx\nimport os\n"),
        ("def helper(x: int)", "def helper(x: str)"),
        ("def helper(x: int)", "async def helper(x: int)"),
        ("def work(x, y=2)", "def work(x, y=3)"),
        ("return x + 1", "yield x + 1"),
        ('@web.get("/")', '@web.get("/other")'),
        ("return open(path).read()", "return open(path).read() + '1'"),  # an enter hook calls it
        ("self.ask(1)", "self.ask(2)"),
        ("self.ready = True", "self.ready = False"),
        ("size = 3", "size = 4"),
        ("    def wrapper(*args):\n", "    print(f)\n    def wrapper(*args):\n"),  # a decorator has run
        ("inner = FastAPI()", "inner = FastAPI(title='x')"),
        ("    def route():", "    def other():"),
        ("class Plain:", "class Plain(dict):"),
        ("@gx.asgi_app()\n", "@gx.asgi_app(label='x')\n"),
    ],
)
def test_what_is_executed_is_in_it(tmp_path: Path, old: str, new: str) -> None:
    assert APP.count(old) == 1
    before = shape(tmp_path, APP)
    assert before and before != shape(tmp_path, APP.replace(old, new))


def test_across_files(tmp_path: Path) -> None:
    other = "def compute():\n    return {}\n\ndef later():\n    return {}\n"
    text = "from other import compute, later\n\nTABLE = compute()\n\ndef f(x):\n    return later()\n"
    before = shape(tmp_path, text, other=other.format(1, 1))
    assert before == shape(tmp_path, text, other=other.format(1, 2))
    assert before != shape(tmp_path, text, other=other.format(2, 1))


def test_caches_are_executed(tmp_path: Path) -> None:
    text = "import functools\n\n@functools.lru_cache(maxsize=None)\ndef model():\n    return load()\n\ndef load():\n    return %d\n"
    assert shape(tmp_path, text % 1) != shape(tmp_path, text % 2)


def test_of_what_is_not_python(tmp_path: Path) -> None:
    assert shape(tmp_path, "def f(:\n") == ""
    assert shape(tmp_path, "x = 1\n" + "# \n" * (1 << 19)) == ""


def test_files_that_stay_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gx._shape

    read = []
    skeleton = gx._shape.Skeleton
    monkeypatch.setattr(gx._shape, "Skeleton", lambda tree: read.append(1) or skeleton(tree))  # type: ignore[func-returns-value]
    shapes = Shapes()
    shapes.prepare([str(tmp_path / "app.py"), "/nonexistent.py", "x.txt"])
    first = shape(tmp_path, APP, shapes, other="x = 1")
    assert len(read) == 2
    os.utime(tmp_path / "other.py", (1, 1))
    manifest: Dict[str, Any] = {
        "functions": [{"name": "f", "mounts": [0]}],
        "mounts": [{"files": [{"remote": f"/root/{n}.py", "local": str(tmp_path / f"{n}.py")} for n in ("app", "other")]}],
    }
    shapes.add(manifest)
    assert manifest["functions"][0]["shape"] == first and len(read) == 3


def test_functions_whose_code_runs_elsewhere_have_none(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x = 1\n")
    mounts = [{"files": [{"remote": "/root/app.py", "local": str(tmp_path / "app.py")}]}]
    for function in ({"payload": b"x"}, {"web": {"kind": "server"}}, {"methods": [{"name": "m", "web": {"kind": "server"}}]}):
        manifest: Dict[str, Any] = {"functions": [{"name": "f", "mounts": [0], **function}], "mounts": mounts}
        Shapes().add(manifest)
        assert "shape" not in manifest["functions"][0]
