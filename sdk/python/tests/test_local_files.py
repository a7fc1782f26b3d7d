"""Which local files come along, and where they appear: folders, ignore files, names, links, what is no file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import gx
import pytest
from gx import _notices
from gx._ignore import DEFAULT, Ignore
from gx._tree import tree
from gx.exception import InvalidError, ModuleNotMountable, NotFoundError

HERE = Path(__file__).resolve()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """What the user is told."""
    said: List[str] = []
    monkeypatch.setattr(_notices, "_said", set())
    monkeypatch.setattr(_notices, "_waiting", [])
    monkeypatch.setattr(_notices, "_tell", said.append)
    return said


def fill(folder: Path, *files: str) -> None:
    """Makes files, and folders where a name ends with a slash."""
    for name in files:
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)


def listed(folder: Any, ignore: Any = DEFAULT, **more: Any) -> List[str]:
    """Files, relative to the folder; folders with a slash."""
    files = tree(str(folder), "/r", Ignore(ignore).of(str(folder)), "test", **more)
    assert [f["remote"] for f in files] == sorted(f["remote"] for f in files)
    return [f["remote"][len("/r/") :] + ("/" if f.get("dir") else "") for f in files]


def test_a_folder(tmp_path: Path, told: List[str]) -> None:
    fill(tmp_path, "a", "sub/b", "sub/deeper/c", "empty/", "hollow/inner/")
    assert listed(tmp_path) == ["a", "empty/", "hollow/inner/", "sub/b", "sub/deeper/c"]
    assert listed(tmp_path, recursive=False) == ["a"]
    assert listed(tmp_path, empty=False) == ["a", "sub/b", "sub/deeper/c"]
    assert tree(str(tmp_path), "/", None, "test")[0] == {"remote": "/a", "local": str(tmp_path / "a")}
    empty = tmp_path / "empty"
    assert tree(str(empty), "/data", None, "test") == [{"remote": "/data", "dir": True}]
    assert tree(str(empty), "/", None, "test") == []
    assert told == []


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        (["*.log"], ["a.py", "docs/", "sub/b.log", "sub/c.py"]),
        (["**/*.log", "docs"], ["a.py", "sub/c.py"]),
        (["**", "!sub/c.py"], ["sub/c.py"]),
        (["sub", "!sub/c.py"], ["a.log", "a.py", "docs/", "sub/c.py"]),
        (["sub", "!**/c.py"], ["a.log", "a.py", "docs/", "sub/c.py"]),
        (gx.FilePatternMatcher("**/*.py"), ["a.log", "docs/", "sub/b.log"]),
        (~gx.FilePatternMatcher("**/*.py"), ["a.py", "sub/c.py"]),
        (~gx.FilePatternMatcher("sub"), ["sub/b.log", "sub/c.py"]),
        (lambda path: path.suffix == ".log", ["a.py", "docs/", "sub/c.py"]),
        (lambda path: isinstance(path, Path) and path.parts[0] != "sub", ["sub/b.log", "sub/c.py"]),
        ([], ["a.log", "a.py", "docs/", "sub/b.log", "sub/c.py"]),
        (None, ["a.log", "a.py", "docs/", "sub/b.log", "sub/c.py"]),
    ],
)
def test_ignore(tmp_path: Path, ignore: Any, left: List[str]) -> None:
    fill(tmp_path, "a.py", "a.log", "sub/b.log", "sub/c.py", "docs/")
    assert listed(tmp_path, ignore) == left


def test_what_is_ignored_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a", "node_modules/x/y", "src/main/a.py", "src/other/b.py", "keep/x")
    seen: List[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: seen.append(os.path.relpath(path, tmp_path)) or scandir(path))
    assert listed(tmp_path, ["node_modules", "src", "!src/main/*.py"]) == ["a", "keep/x", "src/main/a.py"]
    assert "node_modules" not in seen and "src/other" not in seen
    seen.clear()
    assert listed(tmp_path, ~gx.FilePatternMatcher("src/main")) == ["src/main/a.py"]
    assert sorted(seen) == [".", "src", "src/main"]


def test_ignore_that_is_wrong(tmp_path: Path) -> None:
    image = gx.Image.debian_slim()
    for ignore, message in (("*.py", "list of patterns"), ([1], "strings"), (["[a"], "without its"), (["[z-a]"], "no range"), (["!"], "nothing back")):
        with pytest.raises(InvalidError, match=message):
            image.add_local_dir(tmp_path, "/x", ignore=ignore)
    (tmp_path / ".gxignore").write_text("*.log\n[z-a]\n")
    with pytest.raises(InvalidError, match=r"\.gxignore, line 2: .*no range"):
        listed(tmp_path)
    with pytest.raises(FileNotFoundError):
        gx.FilePatternMatcher.from_file(tmp_path / "none")


def test_ignore_files(tmp_path: Path, told: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.py", "a.log", "data/b.log", "data/c.bin", "data/d.tmp")
    (tmp_path / ".dockerignore").write_text("\ufeff# a comment\n**/*.log\n\n")
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    assert listed(tmp_path) == [".dockerignore", "a.py", "data/c.bin", "data/d.tmp"]
    assert len(told) == 1 and str(tmp_path / ".dockerignore") in told[0] and "ignore=[]" in told[0]
    # That of the working directory counts in the folders below it.
    assert listed(data) == ["c.bin", "d.tmp"]
    # What ignore= says is all that counts of a .dockerignore, as in Modal.
    assert listed(tmp_path, []) == [".dockerignore", "a.log", "a.py", "data/b.log", "data/c.bin", "data/d.tmp"]
    # A .gxignore comes first, and counts besides ignore=.
    (tmp_path / ".gxignore").write_text("**/*.tmp\n.*ignore\n")
    assert listed(tmp_path) == ["a.log", "a.py", "data/b.log", "data/c.bin"]
    assert listed(tmp_path, ["*.py"]) == ["a.log", "data/b.log", "data/c.bin"]
    assert listed(data) == ["b.log", "c.bin"]
    (data / ".gxignore").write_text("c.*\n.gxignore")
    assert listed(data) == ["b.log"], "both count"
    (data / ".gxignore").unlink()
    # A folder that is added by its name is meant, whatever the project's file says of it.
    (tmp_path / ".gxignore").write_text("data\n**/*.bin\n")
    assert listed(data) == ["b.log", "c.bin", "d.tmp"]
    assert "data/c.bin" not in listed(tmp_path)
    monkeypatch.chdir(data)
    assert listed(data) == ["b.log", "c.bin", "d.tmp"], "what is above the working directory does not count"
    assert len(told) == 2, "once for each folder"


def test_links(tmp_path: Path, told: List[str]) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    fill(tmp_path, "in/sub/file", "out/far/away")
    (inside / "to_file").symlink_to("sub/file")
    (inside / "to_folder").symlink_to("sub")
    (inside / "to_outside").symlink_to(outside)
    (inside / "absolute").symlink_to(outside / "far" / "away")
    assert listed(inside) == ["absolute", "sub/file", "to_file", "to_folder/file", "to_outside/far/away"]
    assert told == []
    link = tmp_path / "link"
    link.symlink_to(inside)
    assert len(listed(link)) == 5, "the folder itself may be a link"

    (inside / "sub" / "up").symlink_to("..")
    (inside / "sub" / "self").symlink_to(".")
    (inside / "round").symlink_to("round")
    (inside / "nowhere").symlink_to("/no/such/file")
    assert listed(inside) == ["absolute", "sub/file", "to_file", "to_folder/file", "to_outside/far/away"]
    assert len(told) == 1 and "a link to nowhere" in told[0] and "and 3 more" in told[0]
    told.clear()
    listed(inside, ["**/up", "**/self", "round", "nowhere"])
    assert told == [], "what is ignored is not told"
    # Two folders that link to each other end as well.
    (inside / "sub" / "x").symlink_to("../other")
    fill(inside, "other/y")
    (inside / "other" / "back").symlink_to("../sub")
    assert "other/back/file" in listed(inside) and "sub/x/y" in listed(inside)


def test_what_is_no_file(tmp_path: Path, told: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "file")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("sock")
        assert listed(tmp_path) == ["file"]
    assert len(told) == 1 and f"{tmp_path}/pipe (a pipe)" in told[0] and f"{tmp_path}/sock (a socket)" in told[0]
    for path, message in (("pipe", "not a regular file"), (".", "is a folder"), ("none", "can't be read: No such file"), ("none/x", "can't be read")):
        with pytest.raises(InvalidError, match=message):
            gx.Image.debian_slim().add_local_file(tmp_path / path, "/x", copy=True)._manifest()
    for path, message in (("file", "it is no folder"), ("none", "there is no such folder")):
        with pytest.raises(InvalidError, match=message):
            gx.Image.debian_slim().add_local_dir(tmp_path / path, "/x", copy=True)._manifest()


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "file", "locked/secret", "gone/x")
    scandir = os.scandir

    def refuse(path: Any) -> Any:  # root may list whatever it likes
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        if str(path).endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InvalidError, match=r"locked can't be listed: Permission denied; .*ignore="):
        listed(tmp_path)
    assert listed(tmp_path, ["locked"]) == ["file", "gone/"], "a folder that goes meanwhile is empty"


def test_names(tmp_path: Path) -> None:
    hard = ["a\nb", "-rf", "back\\slash", "with space", "ünïcödé", "*?[", "\U0001f984"]
    fill(tmp_path, *hard)
    assert listed(tmp_path) == sorted(hard)
    assert listed(tmp_path, ["\\*\\?\\[", "a?b"]) == sorted(set(hard) - {"*?[", "a\nb"})
    (tmp_path / os.fsdecode(b"caf\xe9")).write_text("")
    with pytest.raises(InvalidError, match=r"caf\\xe9' is not UTF-8; rename it"):
        listed(tmp_path)
    assert listed(tmp_path, ["caf?"]) == sorted(hard)
    folder = tmp_path / "d" / os.fsdecode(b"\xff")
    folder.mkdir(parents=True)
    with pytest.raises(InvalidError, match=r"\\xff' is not UTF-8"):
        listed(folder)
    with pytest.raises(InvalidError, match=r"\\xff' is not UTF-8"):
        listed(tmp_path / "d")
    with pytest.raises(InvalidError, match=r"is not UTF-8"):
        gx.Image.debian_slim().add_local_file(tmp_path / os.fsdecode(b"caf\xe9"), "/x", copy=True)._manifest()


def remotes(image: gx.Image) -> List[str]:
    return [file["remote"] for local in image._local for file in local.manifest()]


def test_remote_paths(tmp_path: Path) -> None:
    fill(tmp_path, "file", "d/x")
    image = gx.Image.debian_slim()
    for remote, at in (
        ("/opt/file", "/opt/file"), ("/opt/", "/opt/file"), ("name", "/root/name"), ("./", "/root/file"), ("a/b/", "/root/a/b/file"),
        (Path("/opt/file"), "/opt/file"), ("//opt//./file", "/opt/file"), ("/..data", "/..data"),
    ):  # fmt: skip
        assert remotes(image.add_local_file(tmp_path / "file", remote)) == [at]
        assert image.add_local_file(tmp_path / "file", remote, copy=True)._manifest()["steps"][1]["files"][0]["remote"] == at
    assert remotes(image.workdir("/srv").workdir("app").add_local_file(tmp_path / "file", "x")) == ["/root/app/x"]
    assert remotes(image.workdir("/srv").add_local_dir(tmp_path / "d", ".")) == ["/srv/x"]
    assert remotes(image.add_local_dir(tmp_path / "d", "/")) == ["/x"]
    for remote in ("../x", "/opt/../../etc/passwd", "..", "a/../b"):
        for add in (image.add_local_file, image.add_local_dir):
            with pytest.raises(InvalidError, match=r"has '\.\.' in it"):
                add(tmp_path / "d", remote)
    for remote in ("/proc", "/dev/shm/x", "/sys/", "/__gx/sdk/gx.py"):
        with pytest.raises(InvalidError, match="is not part of the image"):
            image.add_local_dir(tmp_path / "d", remote)
    for remote in ("", "a\0b", 7, b"/bytes", os.fsdecode(b"/\xff")):
        with pytest.raises((InvalidError, TypeError)):
            image.add_local_dir(tmp_path / "d", remote)
    for local in (7, "a\0b", None):
        with pytest.raises(InvalidError):
            image.add_local_file(local, "/x")


def test_python_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "pkg_x/__init__.py", "pkg_x/data.json", "pkg_x/sub/a.py", "pkg_x/__pycache__/a.pyc", "mod_x.py", "broken_x/__init__.py")
    for path in tmp_path.glob("*_x/__init__.py"):
        path.write_text("" if path.parent.name == "pkg_x" else "1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    image = gx.Image.debian_slim()
    assert remotes(image.add_local_python_source("pkg_x", "mod_x")) == ["/root/pkg_x/__init__.py", "/root/pkg_x/sub/a.py", "/root/mod_x.py"]
    assert remotes(image.add_local_python_source("pkg_x", ignore=["sub"])) == ["/root/pkg_x/__init__.py", "/root/pkg_x/data.json"]
    assert remotes(image.add_local_python_source("pkg_x.sub")) == ["/root/pkg_x/sub/a.py"]
    (tmp_path / "pkg_x" / ".gxignore").write_text("sub\n")
    assert remotes(image.add_local_python_source("pkg_x")) == ["/root/pkg_x/__init__.py"]
    for name, message in (("nowhere_x", "there is no module"), ("sys", "no files"), ("mod_x.inner", "mod_x"), ("broken_x.a", "ZeroDivisionError")):
        with pytest.raises(ModuleNotMountable, match=message):
            remotes(image.add_local_python_source(name))


def test_mounts(tmp_path: Path, told: List[str]) -> None:
    fill(tmp_path, "prompts.yaml", "d/a.py", "d/b.txt", "d/sub/c.py", "d/empty/")

    def paths(mount: gx.Mount) -> List[str]:
        return [file["remote"] for file in mount._list()]

    assert paths(gx.Mount.from_local_file(tmp_path / "prompts.yaml", remote_path="/app/prompts.yaml")) == ["/app/prompts.yaml"]
    assert paths(gx.Mount.from_local_file(tmp_path / "prompts.yaml")) == ["/root/prompts.yaml"]
    assert paths(gx.Mount.from_local_dir(tmp_path / "d", remote_path="/d")) == ["/d/a.py", "/d/b.txt", "/d/sub/c.py"]
    mount = gx.Mount.from_local_dir(tmp_path / "d", condition=lambda path: path.endswith(".py"), recursive=False)
    assert paths(mount) == ["/root/d/a.py"]
    assert paths(mount.add_local_file(tmp_path / "prompts.yaml")) == ["/root/d/a.py", "/root/prompts.yaml"]
    assert mount.is_local()
    with pytest.raises(InvalidError, match=r"has '\.\.'"):
        gx.Mount.from_local_file(tmp_path / "prompts.yaml", remote_path="../x")
    named = gx.Mount.from_name("deployed")
    assert not named.is_local()
    with pytest.raises(NotFoundError, match="no mount 'deployed'.*add_local_dir"):
        named._list()
    for name in ("from_local_file", "from_local_dir", "from_name"):
        assert len([line for line in told if f"Mount.{name} is an older name; the present one is Image.add_local_" in line]) == 1
    image = gx.Image.debian_slim().copy_mount(gx.Mount().add_local_file(tmp_path / "prompts.yaml", "/p"), "/app")
    assert image._manifest()["steps"][1]["files"][0]["remote"] == "/app/p"


# -- the app's own source --

APP = """
import gx
{imports}
app = gx.App({settings})
@app.function()
def f(): pass
@app.function(include_source={own})
def g(): pass
if __name__ == "__main__":
    from gx._manifest import manifest
    made = manifest(app)
    for function in made["functions"]:
        print(function["name"], *[file["remote"] for i in function.get("mounts", ()) for file in made["mounts"][i]["files"]])
"""


def sources(folder: Path, *args: str, imports: str = "", settings: str = "", own: str = "None", **env: str) -> Dict[str, List[str]]:
    """What each function of an app takes along."""
    args = args or ("app.py",)
    (folder / args[-1].replace(".", "/") if args[0] == "-m" else folder / args[0]).with_suffix(".py").write_text(
        APP.format(imports=imports, settings=settings, own=own)
    )
    path = os.pathsep.join([str(HERE.parents[1]), *([env.pop("path")] if "path" in env else [])])
    result = subprocess.run(
        [sys.executable, *args], cwd=folder, env={**os.environ, "PYTHONPATH": path, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, result.stdout
    return {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}


def test_source_that_is_left_out(tmp_path: Path) -> None:
    assert sources(tmp_path) == {"f": ["/root/app.py"], "g": ["/root/app.py"]}
    assert sources(tmp_path, own="False") == {"f": ["/root/app.py"], "g": []}
    assert sources(tmp_path, settings="include_source=False") == {"f": [], "g": []}
    assert sources(tmp_path, settings="include_source=False", own="True") == {"f": [], "g": ["/root/app.py"]}


def test_source_is_only_what_is_needed(tmp_path: Path) -> None:
    fill(tmp_path, "used.py", "unused.py", "data.csv", "notes/x.py", "venv/lib/v.py", "pkg/__init__.py", "pkg/a.txt", "pkg/b.py", "tests/t.py")
    for name in ("used.py", "pkg/__init__.py", "pkg/b.py"):
        (tmp_path / name).write_text("import json\n")
    assert sources(tmp_path, imports="import used, pkg.b")["f"] == ["/root/app.py", "/root/pkg/__init__.py", "/root/pkg/b.py", "/root/used.py"]


def test_source_from_other_folders_on_the_path(tmp_path: Path) -> None:
    fill(tmp_path, "src/mylib/__init__.py", "src/late.py", "src/unused.py", "lib/site-packages/installed.py", "space/inner/m.py")
    for path in tmp_path.rglob("*.py"):
        path.write_text("")
    (tmp_path / "src" / "mylib" / "__init__.py").write_text("def f():\n    import late\n")
    path = os.pathsep.join(str(tmp_path / name) for name in ("src", "lib/site-packages", "space"))
    got = sources(tmp_path, imports="import mylib, installed, inner.m", path=path)
    assert got["f"] == ["/root/app.py", "/root/inner/m.py", "/root/late.py", "/root/mylib/__init__.py"]


def test_source_of_an_editable_installation(tmp_path: Path) -> None:
    """Newer ones put no folder on the path, but find the package by themselves."""
    fill(tmp_path, "elsewhere/src/edible/__init__.py", "elsewhere/src/edible/part.py", "project/x")
    for path in tmp_path.rglob("*.py"):
        path.write_text("")
    finder = f"""
import importlib.util, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "edible":
            return importlib.util.spec_from_file_location(name, {str(tmp_path / "elsewhere/src/edible/__init__.py")!r})
sys.meta_path.append(Finder)
import edible
"""
    assert sources(tmp_path / "project", imports=finder)["f"] == ["/root/app.py", "/root/edible/__init__.py", "/root/edible/part.py"]


def test_source_and_ignore_files(tmp_path: Path) -> None:
    fill(tmp_path, "sub/pkg/__init__.py", "sub/pkg/tests/t.py", "sub/pkg/big.py")
    for path in tmp_path.rglob("*.py"):
        path.write_text("")
    (tmp_path / ".gxignore").write_text("**/tests\n")
    (tmp_path / "sub" / ".gxignore").write_text("pkg/big.py\napp.py\n")
    (tmp_path / "sub" / ".dockerignore").write_text("**\n")
    assert sources(tmp_path, "sub/app.py", imports="import pkg")["f"] == ["/root/app.py", "/root/pkg/__init__.py"]


def test_source_of_a_package_in_a_module(tmp_path: Path) -> None:
    fill(tmp_path, "pkg/__init__.py", "pkg/other.py", "beside.py")
    for path in tmp_path.rglob("*.py"):
        path.write_text("")
    got = sources(tmp_path, "-m", "pkg.app", imports="import beside")
    assert got["f"] == ["/root/beside.py", "/root/pkg/__init__.py", "/root/pkg/app.py", "/root/pkg/other.py"]
