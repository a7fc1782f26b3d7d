"""``python -m gx._cli run`` and ``with app.run()``, as real processes with a real control socket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from client_host import SDK, Gx  # noqa: E402

HELLO = """
import asyncio
import gx

app = gx.App("hello")

@app.function()
def square(x: int):
    return x * x

@app.function()
def shout(text: str) -> str:
    '''Makes it loud.'''
    return text.upper()

@app.function()
def bad(x: int = 0):
    return helper(x)

def helper(x):
    raise ValueError(f"bad {x}")

@app.function()
def count(n: int):
    for i in range(n):
        yield i

@app.local_entrypoint()
def main(n: int = 7):
    print(square.remote(n), sum(square.map(range(10))))

@app.local_entrypoint()
async def later():
    print(await square.remote.aio(3))

@app.local_entrypoint()
def fails():
    bad.remote(3)

@app.local_entrypoint()
def local_mistake():
    {}["missing"]

@app.local_entrypoint()
def leaves(code: int = 7):
    raise SystemExit(code)

@app.local_entrypoint()
def waits():
    import time
    print("waiting", flush=True)
    time.sleep(60)

@app.local_entrypoint()
def text():
    return "whole text"
"""


# As sdk/process.go starts it.
PROGRAM_TEXT = """import sys
if sys.path[0] == "": del sys.path[0]
from gx._cli import main
sys.exit(main(sys.argv[1:]))"""


class Result:
    def __init__(self, code: int, out: str, err: str, gx: Gx) -> None:
        self.code, self.out, self.err, self.gx = code, out, err, gx
        self.exceptions = gx.said("exception")

    @property
    def exception(self) -> dict:
        assert len(self.exceptions) == 1, (self.exceptions, self.err)
        exception: dict = self.exceptions[0]
        return exception

    @property
    def exit(self) -> dict:
        (last,) = self.gx.said("exit")
        assert self.gx.lines[-1] == {"exit": last}, "exit is the last line"
        assert last["code"] == self.code
        found: dict = last
        return found


class Runner:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, gx: Gx, *args: str) -> subprocess.Popen:
        env = {**os.environ, "PYTHONPATH": str(SDK), "GX_CONTROL_FD": str(gx.theirs.fileno())}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM_TEXT, "run", *args],
            cwd=self.folder, env=env, pass_fds=[gx.theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        gx.theirs.close()
        return process

    def __call__(self, *args: str, gx: Optional[Gx] = None, files: Optional[dict] = None) -> Result:
        for name, content in {"hello.py": HELLO, **(files or {})}.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(content)
        gx = gx or Gx()
        process = self.start(gx, *args)
        out, err = process.communicate(timeout=60)
        gx.close()
        return Result(process.returncode, out, err, gx)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    yield Runner(tmp_path)


# -- running --


def test_entrypoint(run: Runner) -> None:
    result = run("hello.py::main", "--n", "3")
    assert (result.code, result.out, result.err) == (0, "9 285\n", "")
    assert result.exit == {"code": 0, "result": ""}
    (start,) = result.gx.said("start")
    assert start["output"] is True and start["manifest"]["file"] == "hello.py"
    assert [list(line)[0] for line in result.gx.lines] == ["start", "stop", "exit"]
    files = [file["remote"] for file in start["manifest"]["mounts"][0]["files"]]
    assert files == ["/root/hello.py"]
    assert start["manifest"]["functions"][0]["module"] == "hello"


def test_async_entrypoint(run: Runner) -> None:
    assert run("hello.py::later").out == "9\n"


def test_function(run: Runner) -> None:
    assert run("hello.py::square", "--x", "7").exit["result"] == "49"
    assert run("hello.py::app.square", "--x", "7").exit["result"] == "49"
    assert run("hello.py::count", "--n", "3").out == "0\n1\n2\n"


def test_write_result(run: Runner) -> None:
    assert run("--write-result", "out/r.txt", "hello.py::shout", "--text", "é").exit == {"code": 0, "result": ""}
    assert (run.folder / "out" / "r.txt").read_text("utf-8") == "É"
    assert run("--write-result", "t.txt", "hello.py::text").code == 0
    assert (run.folder / "t.txt").read_text() == "whole text"
    assert "returned int" in run("--write-result", "r", "hello.py::square", "--x", "1").exception["message"]


def test_module(run: Runner) -> None:
    files = {"pkg/__init__.py": "", "pkg/app.py": "from .util import app, f\n", "pkg/util.py": "import gx\napp = gx.App()\n@app.function()\ndef f(): return 5\n"}
    result = run("-m", "pkg.app::f", files=files)
    assert result.exit["result"] == "5"
    start = result.gx.said("start")[0]["manifest"]
    assert start["functions"][0]["module"] == "pkg.util"
    assert [file["remote"] for file in start["mounts"][0]["files"]] == ["/root/pkg/__init__.py", "/root/pkg/app.py", "/root/pkg/util.py"]


def test_help(run: Runner) -> None:
    result = run("hello.py::shout", "--help")
    assert result.code == 0 and "--text TEXT" in result.out and "Makes it loud." in result.out
    assert result.gx.said("start") == []


def test_output_is_in_order(run: Runner) -> None:
    gx = Gx()
    gx.logged = 5
    result = run("hello.py::main", gx=gx)
    assert result.code == 0
    assert gx.said("sync") == [5]


def test_modal(run: Runner) -> None:
    assert run("m.py", files={"m.py": HELLO.replace("import gx", "import modal").replace("gx.", "modal.").split("@app.local_entrypoint()\nasync")[0]}).out == "49 285\n"


# -- what goes wrong --


def test_remote_exception(run: Runner) -> None:
    result = run("hello.py::fails")
    told = result.exception
    assert result.code == 1 and result.exit["code"] == 1
    assert (told["kind"], told["type"], told["message"]) == ("user", "ValueError", "bad 3")
    lines = told["traceback"].splitlines()
    assert "In the container:" in lines and "in helper" in told["traceback"] and "in fails" in told["traceback"]
    assert lines[-1] == "ValueError: bad 3" and "/gx/" not in told["traceback"]
    assert told["file"] == "hello.py"
    assert "stop" in result.gx.lines[-3] or "stop" in result.gx.lines[-2] or "stop" in result.gx.lines[1]


def test_local_exception(run: Runner) -> None:
    told = run("hello.py::local_mistake").exception
    assert told["type"] == "KeyError" and told["file"] == "hello.py" and told["line"] == HELLO.splitlines().index('    {}["missing"]') + 1
    assert told["traceback"].count('File "') == 1


def test_system_exit(run: Runner) -> None:
    result = run("hello.py::leaves")
    assert result.exit["code"] == 7 and result.exceptions == []
    assert run("hello.py::leaves", "--code", "0").exit["code"] == 0


@pytest.mark.parametrize("sig", [signal.SIGINT])
def test_interrupt(run: Runner, sig: int) -> None:
    (run.folder / "hello.py").write_text(HELLO)
    gx = Gx()
    process = run.start(gx, "hello.py::waits")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(sig)
    out, err = process.communicate(timeout=60)
    gx.close()
    assert process.returncode == 130 and err == ""
    assert gx.said("exception")[0]["kind"] == "interrupt" and gx.said("stop") == [{}]


def test_gx_ends(run: Runner) -> None:
    (run.folder / "hello.py").write_text(HELLO.replace("time.sleep(60)", "[time.sleep(0.01) for _ in iter(lambda: __import__('os').path.exists('go'), True)]; square.remote(1)"))
    gx = Gx()
    process = run.start(gx, "hello.py::waits")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    assert gx.host is not None
    gx.ours.shutdown(2)
    gx.host.close()
    (run.folder / "go").touch()
    out, err = process.communicate(timeout=60)
    gx.close()
    assert process.returncode == 1 and "ConnectionError" in err


def test_failed_start(run: Runner) -> None:
    gx = Gx()
    gx.failure = {"kind": "ImageBuildError", "message": "no such package", "shown": True, "exit": 3}
    result = run("hello.py::main", gx=gx)
    assert result.exit["code"] == 3 and result.exceptions == [], "it was shown already"


@pytest.mark.parametrize(
    "reference, content, kind, message, hint",
    [
        ("x.py", "import gx\n\ndef f(:\n", "syntax", "not valid Python", ""),
        ("x.py", "{}['missing']\n", "import", "KeyError: 'missing'", ""),
        ("x.py", "import no_such_module\n", "import", "No module named 'no_such_module'", "image.imports()"),
        ("x.py", "import gx\napp = gx.App()\n@app.function(gpu='T5')\ndef f(): pass\n", "import", 'gpu="T5"', ""),
        ("x.py", "x = 1\n", "no_app", "x.py has no app", "gx.App()"),
        ("x.py", "import gx\na = gx.App('first')\nb = gx.App('second')\n", "many_apps", "a (first), b (second)", ""),
        ("x.py", "import gx\napp = gx.App()\n", "usage", "has no functions", "@app.function()"),
        ("x.py::sqare", HELLO, "usage", "no function 'sqare'", "did you mean 'square'?"),
        ("x.py", HELLO, "usage", "7 local entrypoints: main, later", "gx run x.py::main"),
        ("x.py::", HELLO, "usage", "a name is missing", ""),
        ("nowhere.py", "", "usage", "there is no file nowhere.py", "x.py"),
        ("x", "", "usage", "there is no file x", "gx run x.py"),
        (".", "", "usage", "is a folder", "x.py"),
        ("x.txt", "", "usage", "there is no file", ""),
        ("x.py::square", HELLO, "usage", "square needs --x", "--help"),
        ("pkg/mod.py", "from . import other\n", "import", "relative import", "gx run -m pkg.mod"),
        ("types.py", HELLO, "usage", "rename the file", ""),
    ],
)
def test_mistakes(run: Runner, reference: str, content: str, kind: str, message: str, hint: str) -> None:
    name = reference.partition("::")[0]
    files = {name if name.endswith(".py") and name != "nowhere.py" else "x.py": content}
    if "/" in name:
        files["pkg/__init__.py"] = ""
    result = run(reference, files=files)
    told = result.exception
    assert result.exit["code"] == 2
    assert told["kind"] == kind and message in told["message"], told
    assert hint in told.get("hint", ""), told
    assert result.gx.said("start") == []
    if kind in ("syntax", "import") and "pkg" not in name:
        assert told["file"] == "x.py" and told["line"] >= 1
    assert "_entry.py" not in str(told) and "<frozen" not in told.get("traceback", "")


def test_two_apps_of_which_one_has_an_entrypoint(run: Runner) -> None:
    two = """
import gx
other, app = gx.App("other"), gx.App("hello")
@other.function()
def f(): pass
@app.local_entrypoint()
def main(): print("here")
"""
    result = run("two.py", files={"two.py": two})
    assert result.out == "here\n" and result.gx.said("start")[0]["manifest"]["name"] == "hello"


def test_no_module(run: Runner) -> None:
    assert "there is no module 'nowhere'" in run("-m", "nowhere").exception["message"]
    assert "gx run hello.py" in run("-m", "hello.py").exception["hint"]


def test_without_gx(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    env = {**os.environ, "PYTHONPATH": str(SDK), "PATH": "/nowhere"}
    env.pop("GX_BIN", None)
    result = subprocess.run([sys.executable, "-m", "gx._cli", "run", "hello.py::main"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1 and "no gx on PATH" in result.stderr
    assert subprocess.run([sys.executable, "-m", "gx._cli"], env=env, stderr=subprocess.PIPE).returncode == 2


# -- programs that start their app themselves --

PROGRAM = HELLO + """
if __name__ == "__main__":
    import sys
    with app.run():
        print(square.remote(7), app.app_id)
        try:
            with app.run():
                pass
        except gx.exception.InvalidError as error:
            print(error)
    print(app.app_id)
    with gx.enable_output(), app.run(name="named", detach=True):
        print(square.remote(2))

    async def main():
        async with app.run() as running:
            print(await running.registered_functions["square"].remote.aio(3))
    asyncio.run(main())
    try:
        square.remote(1)
    except gx.exception.ExecutionError as error:
        print("not running")
"""


@pytest.fixture
def fake_gx(tmp_path: Path) -> str:
    """A program that plays `gx session`, for what Python says and gets."""
    path = tmp_path / "bin" / "gx"
    path.parent.mkdir()
    path.write_text(f"""#!{sys.executable}
import os, socket, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from client_host import Gx
assert sys.argv[1:] == ["session"], sys.argv
gx = Gx.__new__(Gx)
gx.ours = socket.socket(fileno=int(os.environ["GX_CONTROL_FD"]))
gx.lines, gx.failure, gx.host, gx.logged = [], None, None, 0
if os.environ.get("FAIL"):
    gx.failure = {{"kind": "ImageBuildError", "message": "no such package", "shown": False, "exit": 3}}
from client_host import local_functions
gx._load = local_functions
gx._serve()
starts = [(s["manifest"]["name"], s["output"], s["detach"]) for s in gx.said("start")]
print("gx:", starts, file=sys.stderr)
""")
    path.chmod(0o755)
    return str(path)


def test_program(tmp_path: Path, fake_gx: str) -> None:
    (tmp_path / "prog.py").write_text(PROGRAM)
    env = {**os.environ, "PYTHONPATH": str(SDK), "GX_BIN": fake_gx}
    result = subprocess.run([sys.executable, "-W", "error", "prog.py"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    lines: List[Any] = result.stdout.splitlines()
    assert lines == ["49 ap-1", "gx.App('hello') runs already", "None", "4", "9", "not running"]
    assert result.stderr.splitlines() == ["gx: [('hello', False, False)]", "gx: [('named', True, True)]", "gx: [('hello', False, False)]"]
    env["FAIL"] = "1"
    result = subprocess.run([sys.executable, "prog.py"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 1 and "ImageBuildError: no such package" in result.stderr


def test_program_that_is_main(tmp_path: Path, fake_gx: str) -> None:
    """What it defines is the same here and in containers, where it has its own name."""
    (tmp_path / "prog.py").write_text(MAIN)
    env = {**os.environ, "PYTHONPATH": str(SDK), "GX_BIN": fake_gx}
    result = subprocess.run([sys.executable, "prog.py"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["imported"] * 2 + ["True", "caught", "True"], "once as the program, once by the host"


def test_second_app_of_a_program(run: Runner, fake_gx: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("GX_BIN", fake_gx)
    result = run("twice.py", files={"twice.py": TWICE})
    assert result.code == 0, (result.exceptions, result.err)
    assert result.out.splitlines() == ["1 -2 3"]
    assert "gx: [('two', True, False)]" in result.err
    assert [start["manifest"]["name"] for start in result.gx.said("start")] == ["one"]


TWICE = """
import gx
one, two = gx.App("one"), gx.App("two")

@one.function()
def f(x):
    return x

@two.function()
def g(x):
    return -x

@one.local_entrypoint()
def main():
    first = f.remote(1)
    with gx.enable_output(), two.run():
        second = g.remote(2)
    print(first, second, f.remote(3))
"""


MAIN = """
import pickle
import gx
app = gx.App()
print("imported", flush=True)

class Mine(Exception):
    def __init__(self, value):
        super().__init__("mine")
        self.value = value

@app.function()
def f(x):
    return x

def there(code):
    # What a container makes: it knows this module by its own name.
    return pickle.loads(pickle.dumps(code, 0).replace(b"__main__", b"prog"))

if __name__ == "__main__":
    with app.run():
        print(type(there(Mine(1))) is Mine)
        try:
            raise there(Mine(2))
        except Mine:
            print("caught")
        print(pickle.loads(pickle.dumps(f)) is f)
"""


