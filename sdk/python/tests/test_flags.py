"""Parameters as flags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, List, Optional

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import client_host  # noqa: E402, F401

from gx._flags import Command  # noqa: E402
from gx._report import Mistake  # noqa: E402


def command(source: str, space: Optional[dict] = None) -> Command:
    """A command for the function f of some source."""
    space = {} if space is None else space
    exec(source, space)
    return Command(space["f"], "f", "app.py::f")


TYPED = """
import datetime, typing, pathlib
from typing import Literal, Optional
def f(s: str, i: int, x: float = 1.5, flag: bool = False, on: bool = True, when: datetime.datetime = None,
      mode: Literal["a", "b", 3] = "a", maybe: Optional[int] = None, path: pathlib.Path = None, *, only_kw: int = 0, plain="p", guessed=4):
    '''Does things.

    More of it.'''
"""


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_types(future: str) -> None:
    from datetime import datetime

    c = command(future + TYPED)
    args, kwargs = c.parse(
        ["--s", "text", "--i=3", "--x", "2e3", "--flag", "--no-on", "--when", "2026-05-30", "--mode", "3", "--maybe", "-7",
         "--path", "/x", "--only-kw", "9", "--plain", "1", "--guessed", "5"]
    )  # fmt: skip
    assert args == []
    assert kwargs == {
        "s": "text", "i": 3, "x": 2000.0, "flag": True, "on": False, "when": datetime(2026, 5, 30), "mode": 3, "maybe": -7,
        "path": Path("/x"), "only_kw": 9, "plain": "1", "guessed": 5,
    }  # fmt: skip
    assert c.parse(["--s", "", "--i", "1"])[1] == {"s": "", "i": 1}
    assert c.parse(["--s", "a", "--i", "1", "--only_kw", "2", "--flag=false"])[1]["flag"] is False
    assert c.parse(["--s", "a", "--i", "1", "--when", "2026-05-30T12:30:00"])[1]["when"].hour == 12


@pytest.mark.parametrize(
    "words, message",
    [
        (["--s", "a"], "f needs --i"),
        ([], "f needs --s, --i"),
        (["--s", "a", "--i", "three"], "--i takes an integer, not 'three'"),
        (["--s", "a", "--i", "1", "--x", "y"], "--x takes a number"),
        (["--s", "a", "--i", "1", "--mode", "c"], "--mode takes one of a, b, 3"),
        (["--s", "a", "--i", "1", "--when", "tomorrow"], "--when takes a date"),
        (["--s", "a", "--i", "1", "--flag=maybe"], "--flag takes true or false"),
        (["--s"], "--s needs a value"),
        (["--s", "--i", "3"], "--s needs a value"),
        (["--s", "a", "--i", "1", "--nope", "2"], "f has no flag --nope"),
        (["word"], "what is 'word' for?"),
    ],
)
def test_mistakes(words: List[str], message: str) -> None:
    with pytest.raises(Mistake) as caught:
        command(TYPED).parse(words)
    assert message in str(caught.value) and caught.value.kind == "usage"


def test_near_flags() -> None:
    with pytest.raises(Mistake) as caught:
        command("def f(name: str): pass").parse(["--nane", "x"])
    assert caught.value.hint == "did you mean --name?"


def test_rest() -> None:
    c = command("def f(*arg_list): pass")
    assert c.parse(["--x", "y", "z"]) == (["--x", "y", "z"], {})
    c = command("def f(a: int, b: str = 'q', *rest, k: bool = False): pass")
    assert c.parse(["--a", "1", "x", "--k", "y"]) == ([1, "q", "x", "y"], {"k": True})
    assert c.parse(["--a", "1", "--", "--k"]) == ([1, "q", "--k"], {})
    assert c.parse(["--a", "1"]) == ([], {"a": 1})


def test_positional_only() -> None:
    assert command("def f(a: int, /, b: int = 2): pass").parse(["--a", "1", "--b", "3"]) == ([1], {"b": 3})


def test_help(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        command(TYPED).parse(["--help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0
    for text in ("Usage: gx run app.py::f", "Does things.", "--flag / --no-flag", "--mode [a|b|3]", "--s TEXT", "required", "default: 1.5", "--only-kw INT"):
        assert text in out
    assert command("def f(help: str = ''): pass").parse(["--help", "x"])[1] == {"help": "x"}


@pytest.mark.parametrize("kind", ["list", "dict[str, int]", "Optional[list]", "object()", "Unknown"])
@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_annotations_that_no_flag_can_give(kind: str, future: str) -> None:
    source = f"{future}from typing import Optional\nclass Other: pass\ndef f(x: {kind.replace('Unknown', 'Other')}): pass"
    with pytest.raises(Mistake, match="annotated as"):
        command(source)
    with_default = command(source.replace("): pass", " = None): pass"))
    assert with_default.parse([])[1] == {}
    with pytest.raises(Mistake):
        with_default.parse(["--x", "1"])


def test_modern_unions() -> None:
    c = command("from __future__ import annotations\ndef f(a: int | None, b: 'str | None' = None, c: bool | None = None): pass")
    assert c.parse(["--a", "3", "--b", "x", "--no-c"])[1] == {"a": 3, "b": "x", "c": False}
    assert c.parse([])[1] == {}


def test_annotation_that_is_nonsense() -> None:
    with pytest.raises(Mistake, match="can't be understood"):
        command("from __future__ import annotations\ndef f(a: nowhere.Thing): pass")
