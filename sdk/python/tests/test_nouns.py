"""The plain nouns: secrets, schedules, GPUs, retries, patterns, exceptions; the names of both packages."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from client_host import SDK  # noqa: E402

import gx  # noqa: E402
from gx import _dotenv, exception, gpu  # noqa: E402
from gx.exception import InvalidError  # noqa: E402
from gx.file_pattern_matcher import NON_PYTHON_FILES, matcher  # noqa: E402
from gx.secret import manifest  # noqa: E402

REPOSITORY = Path(__file__).parents[3]

# -- secrets --


def test_secrets(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("HERE", "yes")
    (tmp_path / ".env").write_text("A=dotenv\nB=2\n")
    (tmp_path / "below").mkdir()
    secrets = [
        gx.Secret.from_dict({"A": "dict", "N": None}),
        gx.Secret.from_local_environ(["HERE"]),
        gx.Secret.from_dotenv(str(tmp_path / "below")),
    ]
    assert manifest(secrets, "f") == [{"values": {"A": "dict"}}, {"values": {"HERE": "yes"}}, {"values": {"A": "dotenv", "B": "2"}}]
    assert "'dict'" not in repr(secrets) and "yes" not in repr(secrets), "values are not shown"
    for path, filename in ((str(tmp_path / ".env"), ".env"), (str(tmp_path / "below" / "x.py"), ".env")):
        assert gx.Secret.from_dotenv(path, filename=filename)._read()["B"] == "2"


@pytest.mark.parametrize(
    "make",
    [
        lambda: gx.Secret.from_dict({"A": 1}),
        lambda: gx.Secret.from_dict({"A=B": "1"}),
        lambda: gx.Secret.from_local_environ("HOME"),
        lambda: gx.Secret.from_local_environ(["NOT_SET_ANYWHERE_XYZ"])._read(),
        lambda: gx.Secret.from_dotenv("/", filename="no-such-file.env")._read(),
        lambda: gx.Secret.from_dict({"": "1"}),
        lambda: gx.Secret.from_dict({"9A": "1"}),
        lambda: gx.Secret.from_dict({"Ä": "1"}),
        lambda: gx.Secret.from_dict({"A": "\0"}),
        lambda: gx.Secret.from_dict({"A": "\udc80"}),
        lambda: gx.Secret.from_dict({"A": "x" * 40_000}),
        lambda: gx.Secret.from_dict("A=1"),  # type: ignore[arg-type]
        lambda: gx.Secret.from_local_environ(["A B"]),
        lambda: gx.Secret.from_name(""),
        lambda: gx.Secret.from_name(3),  # type: ignore[arg-type]
        lambda: gx.Secret.from_name("x", required_keys="A"),
        lambda: gx.Secret.from_name("x", required_keys=["A-B"]),
        lambda: gx.Secret.from_dict({"A": "1"}).update({"A": "2"}),
        lambda: gx.Secret.from_dict({"A": "1"}).object_id,
    ],
)
def test_wrong_secrets(make: Any) -> None:
    with pytest.raises(InvalidError):
        make()


def test_secrets_are_read_late() -> None:
    """In a container the file and the variable are not there, and the same code runs."""
    gx.Secret.from_local_environ(["NOT_SET_ANYWHERE_XYZ"])
    gx.Secret.from_dotenv("/nowhere")


def table() -> Dict[str, Any]:
    """The cases that the command line is held to, too."""
    loaded: Dict[str, Any] = json.loads((REPOSITORY / "cmd/gx/dotenv/testdata/cases.json").read_text(encoding="utf-8"))
    return loaded


def test_dotenv(monkeypatch: Any) -> None:
    for name, value in table()["environment"].items():
        monkeypatch.setenv(name, value)
    for case in table()["right"]:
        assert _dotenv.parse(case["text"].encode()) == case["values"], repr(case["text"])
    for case in table()["wrong"]:
        with pytest.raises(_dotenv.Wrong) as error:
            _dotenv.parse(case["text"].encode())
        assert error.value.line == case["line"], repr(case["text"])
    for data, line in ((b"A=1\nB=\xff", 2), (b"\xc3", 1), (b"A=1\r\n\r\nB=\xe2\x28", 3), (b"#" * (_dotenv.MAX_FILE + 1), 0), (b"A=\0\n\xff", 1)):
        with pytest.raises(_dotenv.Wrong) as error:
            _dotenv.parse(data)
        assert error.value.line == line, data[:20]


def test_wrong_dotenv(tmp_path: Path) -> None:
    """What is wrong with a file is told without what is in it."""
    for text in ("A='planted", 'A=1\n\nB="planted"planted', "planted planted", "A=planted\0", "A=" + "planted" * 10_000):
        (tmp_path / ".env").write_text(text)
        with pytest.raises(InvalidError) as error:
            manifest([gx.Secret.from_dotenv(str(tmp_path))], "f")
        assert str(tmp_path / ".env") in str(error.value) and "planted" not in str(error.value)
    assert "line 3" not in str(error.value)


def test_named_secrets() -> None:
    named = gx.Secret.from_name("token", required_keys=["A", "B"], environment_name="dev")
    assert manifest([gx.Secret.from_dict({"A": "1"}), named, gx.Secret.from_dict({}), gx.Secret.from_name("x")], "f") == [
        {"values": {"A": "1"}},
        {"name": "token", "environment": "dev", "required": ["A", "B"]},
        {"name": "x"},
    ]
    assert named.name == "token" and gx.Secret.from_dict({}).name is None
    assert repr(named) == "gx.Secret.from_name('token')"
    again = pickle.loads(pickle.dumps(named))
    assert again._manifest() == named._manifest()


def test_pickled_secrets_have_no_values() -> None:
    data = pickle.dumps(gx.Secret.from_dict({"A": "planted"}))
    assert b"planted" not in data
    with pytest.raises(InvalidError, match="stayed in the program that made it"):
        manifest([pickle.loads(data)], "f")


# -- schedules, retries, GPUs --


def test_schedules() -> None:
    cron = gx.Cron("*/5 0-6,22 * jan mon-fri", timezone="Europe/Berlin")
    assert cron.cron_string.startswith("*/5") and cron.timezone == "Europe/Berlin" and gx.Cron("0 9 * * *").timezone == "UTC"
    assert repr(gx.Period(days=1, seconds=0.5)) == "Period(days=1, seconds=0.5)"
    for wrong in ("* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *", "x * * * *", "1-2-3 * * * *", ""):
        with pytest.raises(InvalidError, match="Cron"):
            gx.Cron(wrong)
    with pytest.raises(InvalidError):
        gx.Cron("* * * * *", timezone="../etc")
    assert gx.Cron("0 0 * * sat-sun")._manifest() == {"cron": "0 0 * * sat-sun", "timezone": "UTC"}
    assert gx.Period(days=1, seconds=0.5)._manifest() == {"period": {"days": 1, "seconds": 0.5}}
    for period in ({}, {"days": -1}, {"hours": 1.5}, {"seconds": "1"}, {"seconds": 0.5}):
        with pytest.raises(InvalidError, match="Period"):
            gx.Period(**period)  # type: ignore[arg-type]


def test_retries() -> None:
    for wrong in ({"max_retries": -1}, {"max_retries": 1.5}, {"max_retries": 1, "backoff_coefficient": 0.5}, {"max_retries": 1, "max_delay": float("nan")}):
        with pytest.raises(InvalidError):
            gx.Retries(**wrong)  # type: ignore[arg-type]
    assert "max_retries=2" in repr(gx.Retries(max_retries=2))


def test_gpus() -> None:
    assert gpu.parse(None) == [] and gpu.parse(" t4 ") == ["t4"]
    assert gpu.parse(gpu.A100(memory=80)) == ["A100-80GB"] and gpu.parse(gpu.A100()) == ["A100-40GB"]
    assert gpu.parse([gpu.H100(count=8), "any"]) == ["H100:8", "any"]
    assert gpu.parse(gpu.A100(size="80GB", count=2)) == ["A100-80GB:2"]
    for wrong in (lambda: gpu.A100(memory=20), lambda: gpu.A100(size="40GB", memory=80), lambda: gpu.T4(count=0)):
        with pytest.raises(InvalidError):
            wrong()


# -- patterns --


@pytest.mark.parametrize(
    "patterns, matches, others",
    [
        (["*.txt"], ["a.txt"], ["d/a.txt", "a.txt.gz"]),
        (["**/*.txt"], ["a.txt", "d/e/a.txt"], ["a.tx"]),
        (["d"], ["d", "d/a", "d/e/f"], ["e/d", "dd"]),
        (["d/**"], ["d/a", "d/e/f"], ["d", "e"]),
        (["**/d"], ["d", "e/d/x"], ["ed"]),
        (["a?c"], ["abc"], ["ac", "a/c"]),
        (["[a-c].py"], ["b.py"], ["d.py"]),
        (["[!a].py"], ["b.py"], ["a.py"]),
        (["*", "!keep.txt"], ["a", "b/keep.txt"], ["keep.txt"]),
        (["*.md", "!README*", "README-secret.md"], ["a.md", "README-secret.md"], ["README.md"]),
        (["/top"], ["top", "top/x"], ["a/top"]),
        (["./a/../b"], ["b"], ["a"]),
        (["\\*x"], ["*x"], ["ax"]),
        (["[!a-c]"], ["d"], ["a", "b"]),
        (["[]^]", "\\*"], ["]", "^", "*"], ["x"]),
        (["", "  ", "."], [], ["a"]),
    ],
)
def test_patterns(patterns: list, matches: list, others: list) -> None:
    match = gx.FilePatternMatcher(*patterns)
    assert [path for path in matches if not match(path)] == []
    assert [path for path in others if match(Path(path))] == []
    assert all([(~match)(path) for path in others])


def test_pattern_sources(tmp_path: Path) -> None:
    (tmp_path / "i").write_text("# a comment\n*.a\n\n!x.a\n")
    match = gx.FilePatternMatcher.from_file(tmp_path / "i")
    assert match("y.a") and not match("x.a") and not match("# a comment")
    assert NON_PYTHON_FILES("a/b.txt") and not NON_PYTHON_FILES("a/b.py")
    assert matcher(lambda path: True)("x") and not matcher(None)("x") and matcher(["x"])("x")
    for wrong in (lambda: matcher("*.py"), lambda: gx.FilePatternMatcher(3)):  # type: ignore[arg-type]
        with pytest.raises(InvalidError):
            wrong()


# -- exceptions --


def test_exceptions() -> None:
    named = {name: value for name, value in vars(exception).items() if isinstance(value, type) and issubclass(value, BaseException)}
    outside = {"InputCancellation", "DeprecationError", "PendingDeprecationError", "ServerWarning", "RemoteTraceback"}
    for name, kind in named.items():
        assert issubclass(kind, exception.Error) != (name in outside), name
        assert str(pickle.loads(pickle.dumps(kind("text"))).args[0]) == "text"
    assert not issubclass(exception.InputCancellation, Exception)
    assert issubclass(exception.FunctionTimeoutError, exception.TimeoutError)
    assert issubclass(exception.TimeoutError, builtins.TimeoutError)
    assert issubclass(exception.ImageBuildError, exception.RemoteError)
    assert issubclass(exception.ConflictError, exception.InvalidError)
    assert str(exception.TimeoutError("a")) == "a"
    with pytest.raises(exception.UnimplementedError):
        exception.simulate_preemption(1)


# -- names --


def test_every_name_is_there() -> None:
    for name in gx.__all__:
        assert getattr(gx, name) is not None
    assert set(gx.__all__) <= set(dir(gx))
    space: dict = {}
    exec("from gx import *", space)
    assert space["App"] is gx.App
    assert gx.is_local() and gx.current_input_id() is None and gx.current_function_call_id() is None


def test_modal_is_the_same() -> None:
    code = """
import modal.exception
import modal.gpu as g
from modal import App, Image
from modal.functions import FunctionCall
import modal, gx, gx.exception, gx.image, pickle
assert modal.exception is gx.exception and modal.exception.Error is gx.exception.Error
assert modal.App is gx.App is App and g.A100 is gx.gpu.A100 and FunctionCall is gx.FunctionCall
assert gx.exception.__spec__.name == gx.exception.__name__ == "gx.exception"
import modal.volume, modal.image
assert modal.image.Image is gx.image.Image is Image
from modal import *
assert Secret is gx.Secret and set(dir(modal)) == set(dir(gx))
try:
    import modal.nothing
    raise SystemExit("there is no such module")
except ModuleNotFoundError as error:
    assert "modal.nothing" in str(error)
try:
    modal.nothing
    raise SystemExit("there is no such name")
except AttributeError:
    pass
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], env={**os.environ, "PYTHONPATH": str(SDK)}, check=True)


def test_imports_are_lean() -> None:
    """What costs milliseconds is not imported by what every program and every container does."""
    heavy = "asyncio", "typing", "inspect", "dataclasses", "json", "subprocess", "re", "pathlib", "threading", "argparse", "pickle", "logging", "socket"
    code = f"""
import sys
import gx
app = gx.App("x", image=gx.Image.debian_slim().pip_install("a"))
@app.function(gpu="T4", retries=2, secrets=[gx.Secret.from_dict({{"A": "1"}})])
def f(x: int): return x
@app.local_entrypoint()
def main(): pass
print([name for name in {heavy!r} if name in sys.modules])
"""
    out = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(SDK)!r})\n" + code], stdout=subprocess.PIPE, check=True)
    assert out.stdout.decode().strip() == "[]"
