"""Functions that run while an image is built: what decides whether they run again, and how they are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any, Dict

import pytest

from gx import _wire

SDK = Path(__file__).resolve().parents[1]

BASE = {
    "recipe.py": """\
import collections
import functools
import helpers
from other import constant

OPTIONS = {"names": {"a", "b", "c", "d"}, "deep": [{"x", "y", "z"}]}
UNUSED = 1

class Thing:
    __slots__ = ("size",)
    def __init__(self): self.size = 1
    def __len__(self): return self.size

THING = Thing()

class Lazy:
    @functools.cached_property
    def value(self): return 1
    @classmethod
    def made(cls): return cls()
    def plain(self): return 2

@functools.lru_cache(None)
def cached(x): return x + 1

def third(a, b): return a + b
PART = functools.partial(third, 1)

def decorated(f):
    @functools.wraps(f)
    def inner(*args): return f(*args)
    return inner

@decorated
def wrapped(): return 1

def second(): return cached(1), PART(2), len(THING), wrapped(), Lazy.made().value

def work(a=1):
    import inner.deep
    # a comment
    return second(), OPTIONS, helpers.used(), constant, inner.deep.VALUE, [x for x in range(3)], collections.OrderedDict()

def unrelated(): return 1
""",
    "helpers.py": "def used(): return 1\n",
    "other.py": "constant = 5\n",
    "inner/__init__.py": "",
    "inner/deep.py": "VALUE = 1\n",
}


def key(folder: Path, files: Dict[str, str], seed: str = "0") -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    program = "import recipe; from gx._code import digest; print(digest(recipe.work))"
    env = {**os.environ, "PYTHONPATH": f"{folder}:{SDK}", "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def before(tmp_path_factory: Any) -> str:
    return key(tmp_path_factory.mktemp("before"), BASE)


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("recipe.py", "def unrelated(): return 1", "def unrelated(): return 2"),
        ("recipe.py", "    # a comment\n", "    # another comment\n\n"),
        ("recipe.py", "import collections\n", "import collections\n\n\n"),
        ("recipe.py", "UNUSED = 1", "UNUSED = 2"),
        ("recipe.py", "", ""),
    ],
)
def test_what_does_not_run_it_again(before: str, tmp_path: Path, file: str, old: str, new: str) -> None:
    changed = BASE[file].replace(old, new, 1)
    assert (changed != BASE[file]) == (old != new)
    assert key(tmp_path, {**BASE, file: changed}, "123") == before


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("recipe.py", "a=1", "a=2"),
        ("recipe.py", "range(3)", "range(4)"),
        ("recipe.py", 'return second()', 'return "" or second()'),
        ("recipe.py", '"z"}', '"w"}'),
        ("recipe.py", "return cached(1)", "return cached(2)"),
        ("recipe.py", "return x + 1", "return x + 2"),
        ("recipe.py", "return a + b", "return a - b"),
        ("recipe.py", "partial(third, 1)", "partial(third, 7)"),
        ("recipe.py", "return self.size", "return self.size + 1"),
        ("recipe.py", "return f(*args)", "return f(*args) or 1"),
        ("recipe.py", "def wrapped(): return 1", "def wrapped(): return 2"),
        ("recipe.py", "def value(self): return 1", "def value(self): return 2"),
        ("recipe.py", "return cls()", "return cls() or 1"),
        ("helpers.py", "return 1", "return 2"),
        ("other.py", "5", "6"),
        ("inner/deep.py", "1", "2"),
    ],
)
def test_what_runs_it_again(before: str, tmp_path: Path, file: str, old: str, new: str) -> None:
    changed = BASE[file].replace(old, new, 1)
    assert changed != BASE[file]
    assert key(tmp_path, {**BASE, file: changed}) != before


def test_a_value_that_contains_itself() -> None:
    from gx._code import digest

    circle: list = [1]
    circle.append(circle)

    def one() -> list:
        return circle

    first = digest(one)
    circle[0] = 2
    assert digest(one) != first


# -- the program that runs them in a build step --


def start(folder: Path, source: str, *, args: tuple = (), **request: Any) -> subprocess.Popen:
    """Starts f of a module app in a folder, as a build step does."""
    (folder / "root").mkdir()
    (folder / "root" / "app.py").write_text(source)
    fields = {"name": "f", "key": "k", "module": "app", "qualname": "f", "root": str(folder / "root"), **request}
    fields["args"] = b64encode(_wire.whole(_wire.dumps((args, {})))).decode()
    (folder / "request.json").write_text(json.dumps(fields))
    command = [sys.executable, str(SDK / "gx" / "_runner" / "build.py"), "key", str(folder)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)


def build(folder: Path, source: str, **more: Any) -> subprocess.CompletedProcess:
    """Runs f of a module app to its end."""
    process = start(folder, source, **more)
    stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def test_it_is_called_with_its_arguments(tmp_path: Path) -> None:
    done = build(
        tmp_path,
        "import gx, sys\ndef f(name):\n    assert not gx.is_local() and sys.argv[1:] == []\n    open(name, 'w').write('made')\n    print('said')\n",
        args=("out",),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "said\n", "")
    assert (tmp_path / "out").read_text() == "made"


def test_async_functions_and_functions_of_an_app(tmp_path: Path) -> None:
    source = "import gx\napp = gx.App('x')\n@app.function()\nasync def f():\n    print('async')\n"
    assert build(tmp_path, source).stdout == "async\n"


@pytest.mark.parametrize("body, code", [("raise SystemExit", 0), ("raise SystemExit(0)", 0), ("raise SystemExit(4)", 1)])
def test_exits(tmp_path: Path, body: str, code: int) -> None:
    assert build(tmp_path, f"def f():\n    {body}\n").returncode == code


def test_an_exception_shows_the_users_frames_alone(tmp_path: Path) -> None:
    done = build(tmp_path, "def g(): raise KeyError('gone')\ndef f(): g()\n")
    assert done.returncode == 1
    assert "line 1, in g" in done.stderr and "line 2, in f" in done.stderr and done.stderr.endswith("KeyError: 'gone'\n")
    assert "_runner" not in done.stderr


def test_timeout(tmp_path: Path) -> None:
    done = build(tmp_path, "import time\ndef f(): time.sleep(60)\n", timeout=1)
    assert done.returncode == 1
    assert "in f" in done.stderr and "TimeoutError: f ran for longer than its timeout of 1 s" in done.stderr


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    sources = {
        "in C": "def f(): sum(range(10**12))\n",  # no signal gets through
        "thread": "import threading, time\ndef f():\n    threading.Thread(target=time.sleep, args=(600,)).start()\n",
        "deaf": "import time\ndef f():\n    while True:\n        try: time.sleep(600)\n        except Exception: pass\n",
    }
    started = []
    for name, source in sources.items():
        (tmp_path / name).mkdir()
        started.append(start(tmp_path / name, source, timeout=1))
    for process in started:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "Timeout (0:00:06" in stderr and 'File "' in stderr, stderr


def test_imports_that_are_postponed_do_not_matter_yet(tmp_path: Path) -> None:
    source = (
        "import gx\nimage = gx.Image.debian_slim()\nwith image.imports():\n    import not_yet\n"
        "app = gx.App('x', image=image)\n@app.function()\ndef other(): pass\ndef f(): print('fine')\n"
    )
    assert build(tmp_path, source).stdout == "fine\n"


def test_a_name_that_was_not_imported_says_why(tmp_path: Path) -> None:
    source = "import gx\nimage = gx.Image.debian_slim()\nwith image.imports():\n    import not_yet\ndef f(): not_yet.x()\n"
    done = build(tmp_path, source)
    assert done.returncode == 1
    assert "could not import it: ModuleNotFoundError: No module named 'not_yet'" in done.stderr
