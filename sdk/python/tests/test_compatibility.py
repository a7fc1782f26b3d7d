"""docs/compatibility.md is true: every name is there as it says, and does what it says."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import gx
import modal
import pytest
from gx import _notices
from gx._dual import Bound, Dual, StaticDual
from gx._volume_upload import BatchUpload
from gx.exception import InvalidError, UnimplementedError

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENT = REPOSITORY / "docs" / "compatibility.md"
STATES = ("works", "no effect", "not yet")
# Parts of the document that are not about attributes of a class.
OTHER = ("Exceptions", "Submodules", "Parameters", "Older names", "Commands")
# Values for parameters that take something in particular; others get "x".
VALUES: Dict[str, Any] = {
    "env_dict": {"A": "b"}, "env_keys": [], "vars": {"A": "b"}, "max_inputs": 2, "max_batch_size": 2, "wait_ms": 1, "raw_f": print,
    "max_retries": 1, "other_app": gx.App(), "func": lambda image: image, "port": 8000, "function_call_id": "fc-x", "tags": {},
    "path": "/x", "cron_string": "0 0 * * *", "entrypoint_commands": [], "shell_commands": ["/bin/sh", "-c"], "cmd": [],
}  # fmt: skip
# What acts on a host, a terminal or files that are not there is not called here: the programs of cmd/gx/testdata/model do.
NOT_CALLED = {"enable_output", "Error", "App.run"}


def decorated(x: int) -> int:
    return x


class Decorated:
    @gx.method()
    def method(self, x: int) -> int:
        return x


def tables() -> Dict[str, List[List[str]]]:
    """The rows of each part of the document."""
    parts: Dict[str, List[List[str]]] = {}
    part = ""
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            part = line[3:].strip()
            parts[part] = []
        elif part and line.startswith("| ") and not line.startswith("| ---"):
            parts[part].append([cell.strip() for cell in line.strip("|").split("|")])
    return {part: rows[1:] for part, rows in parts.items()}


def names() -> List[Tuple[str, str, bool, str]]:
    """(part, name with its parameters, whether it has .aio, state) of everything that is an attribute of something."""
    found = []
    for part, rows in tables().items():
        if part not in OTHER:
            found += [(part, row[0].strip("`"), row[1] == "yes", row[2]) for row in rows]
    return found


def samples(package: Any) -> Dict[str, Any]:
    """For each part, what its names are looked up in."""
    app = package.App("sample")

    @app.function(serialized=True)
    def function(x: int) -> int:
        return x

    @app.cls(serialized=True)
    class Sample:
        @package.method()
        def method(self, x: int) -> int:
            return x

    return {
        "App": app,
        "Function": function,
        "FunctionCall": package.FunctionCall.from_id("fc-x"),
        "An instance of a class": Sample(),
        "Cls": Sample,
        "Image": package.Image.debian_slim(),
        "Secret": package.Secret.from_dict({}),
        "Dict": package.Dict.from_name("x"),
        "Queue": package.Queue.from_name("x"),
        "Mount": package.Mount(),
        "FilePatternMatcher": package.FilePatternMatcher("*"),
        "Decorators": package,
        "Module level": package,
        "Volume": package.Volume("v"),
        "Volume.batch_upload()": BatchUpload(package.Volume("v"), False),
        "The process of Sandbox.exec": package.Sandbox,
        "The file of Sandbox.open": package.Sandbox,
    }


@pytest.fixture(autouse=True)
def no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called here reaches no host, whatever is on PATH."""
    monkeypatch.setenv("GX_BIN", "/nonexistent/gx")


@pytest.fixture(params=[gx, modal], ids=["gx", "modal"])
def package(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """What the user is told."""
    said: List[str] = []
    monkeypatch.setattr(_notices, "_said", set())
    monkeypatch.setattr(_notices, "_waiting", [])
    monkeypatch.setattr(_notices, "_tell", said.append)
    return said


def find(package: Any, part: str, name: str) -> Any:
    """What a row is about; raises UnimplementedError where that is its state."""
    if name == part:
        return getattr(package, name)
    holder = samples(package).get(part)
    if holder is None and part.endswith(".objects"):
        holder = getattr(package, part.partition(".")[0]).objects
    return getattr(getattr(package, part) if holder is None else holder, name)


def written(signature: str) -> ast.arguments:
    """The parameters as the document has them."""
    function = ast.parse(f"def f{signature}: pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.args


def actual(target: Any) -> inspect.Signature:
    """The parameters that something takes."""
    if isinstance(target, (Bound, Dual)):
        blocking = target._blocking if isinstance(target, Bound) else target.blocking
        signature = inspect.signature(blocking)
        return signature.replace(parameters=list(signature.parameters.values())[1:])
    if isinstance(target, StaticDual):
        return inspect.signature(target.blocking)
    return inspect.signature(target)


def same_default(node: Optional[ast.expr], parameter: inspect.Parameter) -> bool:
    if node is None:  # needed; gx may say so by an error of its own
        return parameter.default in (inspect.Parameter.empty, None, ...)
    try:
        value = eval(compile(ast.Expression(node), "default", "eval"), {"__builtins__": {}})
    except Exception:
        return parameter.default is not inspect.Parameter.empty  # a name of the other implementation
    if value in ([], {}, ()):
        return parameter.default in (None, [], {}, ())
    return bool(parameter.default == value) and type(parameter.default) in (type(value), float)


def difference(signature: str, target: Any) -> str:
    """How what something takes differs from what the document says; "" if it does not."""
    args, have = written(signature), actual(target).parameters
    positional = [p for p in have.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and not p.name.startswith("_")]
    defaults: List[Optional[ast.expr]] = [None] * (len(args.args) - len(args.defaults)) + list(args.defaults)
    for i, (arg, default) in enumerate(zip(args.args, defaults)):
        if i >= len(positional) or positional[i].name != arg.arg:
            return f"its parameter {i} is not {arg.arg}"
        if not same_default(default, positional[i]):
            return f"{arg.arg}={positional[i].default!r}"
    for arg, default in zip(args.kwonlyargs, args.kw_defaults):
        parameter = have.get(arg.arg)
        if parameter is None:
            return f"it has no {arg.arg}="
        if not same_default(default, parameter):
            return f"{arg.arg}={parameter.default!r}"
    for arg, kind in ((args.vararg, inspect.Parameter.VAR_POSITIONAL), (args.kwarg, inspect.Parameter.VAR_KEYWORD)):
        if arg is not None and kind not in [p.kind for p in have.values()]:
            return f"it does not take any number of {arg.arg}"
    known = {arg.arg for arg in [*args.args, *args.kwonlyargs]}
    for parameter in have.values():
        needed = parameter.default is inspect.Parameter.empty and parameter.kind in (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )
        if needed and parameter.name not in known:
            return f"it needs {parameter.name}="
    return ""


def use(target: Any, signature: str) -> None:
    """Calls something with what its parameters need."""
    args = written(signature)
    needed = [a.arg for a in args.args[: len(args.args) - len(args.defaults)]]
    named = {a.arg: VALUES.get(a.arg, "x") for a, d in zip(args.kwonlyargs, args.kw_defaults) if d is None}
    target(*[VALUES.get(name, "x") for name in needed], **named)


def test_the_document_is_whole() -> None:
    parts = tables()
    assert len(names()) > 250 and set(OTHER) <= set(parts)
    for part, rows in parts.items():
        width = 4 if part not in ("Submodules", "Parameters", "Older names", "Commands") else 3
        for row in rows:
            assert len(row) == width, (part, row)
    for part, name, _, state in names():
        assert state in STATES, (part, name, state)


@pytest.mark.parametrize("row", names(), ids=lambda row: f"{row[0]}-{row[1].partition('(')[0]}")
def test_names(row: Tuple[str, str, bool, str], package: Any, told: List[str]) -> None:
    part, full, aio, state = row
    name, bracket, rest = full.partition("(")
    signature = bracket + rest
    if state == "not yet":
        with pytest.raises(UnimplementedError) as error:
            target = find(package, part, name)
            if callable(target):
                use(target, signature or "()")
            else:
                target.anything  # noqa: B018
        assert "not part of gx yet" in str(error.value)
        return
    target = find(package, part, name)
    if signature and part != "Module level" or name == "parameter":
        assert difference(signature, target) == ""
    assert not aio or callable(target.aio)
    if not signature or name in NOT_CALLED or f"{part}.{name}" in NOT_CALLED:
        return
    try:
        use(target, signature)
    except UnimplementedError:
        raise AssertionError(f"{full} is said to be there") from None
    except Exception:
        pass  # there is no host here, and "x" is not always what it takes


def test_both_packages_have_the_same_names(package: Any) -> None:
    for part, full, _, state in names():
        name = full.partition("(")[0]
        if part in ("Module level", "Decorators") and state == "works":
            assert getattr(gx, name) is getattr(modal, name)


def test_exceptions(package: Any) -> None:
    for name, base, state, _ in tables()["Exceptions"]:
        name, base = name.strip("`"), base.strip("`")
        if state == "not yet":
            with pytest.raises(UnimplementedError):
                getattr(package.exception, name.partition("(")[0])(1)
            continue
        kind = getattr(package.exception, name)
        above = getattr(gx.exception, base, None) or {"BaseException": BaseException, "UserWarning": UserWarning}[base]
        assert issubclass(kind, above), name
        assert issubclass(kind, Exception) == (name != "InputCancellation")
        assert str(kind("what happened")) == "what happened"


def test_submodules() -> None:
    import importlib

    for row in tables()["Submodules"]:
        name = row[0].strip("`")
        assert importlib.import_module(f"gx.{name}") is importlib.import_module(f"modal.{name}")


def evaluate(package: Any, text: str) -> Any:
    """What a piece of code in the document gives, looked up in samples where it begins with a class."""
    found = dict(samples(package))
    space = {"gx": package, "gpu": package.gpu, "print": print}
    for name in ("App", "Function", "Image"):
        space[name] = found[name]
    for name in re.findall(r"\b[A-Za-z_]+\b", text):
        if name not in space and name not in ("True", "False", "None"):
            try:
                space[name] = getattr(package, name)
            except AttributeError:
                pass  # an attribute of something, a parameter, or a part of a string
    value = eval(text, {"__builtins__": {}, **space})
    if text.startswith("App.function("):
        return value(decorated)
    return value(Decorated) if text.startswith("App.cls(") else value


def parameter_rows() -> List[List[str]]:
    return tables()["Parameters"]


@pytest.mark.parametrize("row", parameter_rows(), ids=lambda row: row[0].strip("`"))
@pytest.mark.parametrize("decorator", ["function", "cls"])
def test_parameters(row: List[str], decorator: str, package: Any, told: List[str]) -> None:
    text, state = row[0].strip("`"), row[1]
    if text.startswith("schedule") and decorator == "cls":
        return
    code = text if "(" in text.partition("=")[0] else f"App.{decorator}({text})"
    if state == "not yet":
        with pytest.raises(UnimplementedError):
            evaluate(package, code)
        return
    evaluate(package, code)
    assert len(told) == 1 and "effect" in told[0], told
    evaluate(package, code)
    assert len(told) == 1, "it is said once"


@pytest.mark.parametrize("row", tables()["Older names"], ids=lambda row: row[0].strip("`"))
def test_older_names(row: List[str], package: Any, told: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text, present, state = row[0].strip("`"), row[1].strip("`"), row[2]
    monkeypatch.chdir(REPOSITORY)
    if state == "not yet":
        with pytest.raises(UnimplementedError):
            evaluate(package, text)
        return
    if state == "an error that says so":
        with pytest.raises((InvalidError, AttributeError), match=present.partition(".")[2] or present):
            evaluate(package, text)
        return
    assert state == "works"
    value: Any = None
    try:
        value = evaluate(package, text)
    except Exception as error:
        if "lookup" not in text and text != "Function.web_url":
            raise
        assert not isinstance(error, UnimplementedError)  # there is no host here
    if text.startswith("gpu."):
        assert str(value) == present.strip('"')
        return
    assert len([line for line in told if "older name" in line]) >= 1, told
    assert any(present.partition("(")[0].rpartition(".")[2].rstrip("=") in line for line in told), (present, told)
