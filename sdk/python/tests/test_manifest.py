"""What decorators and images declare, as the manifest has it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Dict

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import client_host  # noqa: E402, F401

import gx  # noqa: E402
from gx._manifest import manifest  # noqa: E402
from gx.exception import InvalidError, ModuleNotMountable, SerializationError, UnimplementedError  # noqa: E402

HERE = Path(__file__).resolve()


def f(x: int) -> int:
    return x


def one(**options: Any) -> Dict[str, Any]:
    """The manifest's entry of a function with these options."""
    app = gx.App("test")
    app.function(**options)(f)
    return manifest(app)["functions"][0]


def steps(image: gx.Image) -> list:
    return [{k: v for k, v in step.items() if k not in ("file", "line")} for step in image._manifest()["steps"]]


# -- functions --


def test_plain_function() -> None:
    app = gx.App("test")
    app.function()(f)
    made = manifest(app)
    assert made["version"] == 1 and made["name"] == "test" and made["sdk"] == gx.__version__
    assert made["python"] == "%d.%d" % sys.version_info[:2]
    assert made["images"][0]["force"] == -1 and made["images"][0]["steps"][0]["op"] == "debian_slim"
    function = made["functions"][0]
    assert function["name"] == "f" and function["module"] == __name__ and function["qualname"] == "f"
    assert function["timeout"] == 300.0 and function["startup_timeout"] == 300.0 and function["concurrency"] == 1
    assert function["scaling"] == {} and function["retries"] == {} and function["cpu"] == {}
    assert function["file"].endswith("test_manifest.py") and function["line"] > 1
    remotes = [file["remote"] for file in made["mounts"][function["mounts"][0]]["files"]]
    assert "/root/test_manifest.py" in remotes and "/root/client_host.py" in remotes


def test_all_settings() -> None:
    got = one(
        gpu=["H100", "A100-80GB:2"], cpu=(1, 2.5), memory=512, ephemeral_disk=1024, min_containers=1, max_containers=5,
        buffer_containers=2, scaledown_window=20, retries=3, timeout=60, startup_timeout=30, name="other",
        block_network=True, single_use_containers=True, env={"A": "1", "B": None},
        secrets=[gx.Secret.from_dict({"A": "0", "C": "2"})],
    )  # fmt: skip
    assert got["name"] == "other" and got["qualname"] == "f"
    assert got["gpu"] == ["H100", "A100-80GB:2"]
    assert got["cpu"] == {"request": 1.0, "max": 2.5} and got["memory"] == {"request": 512.0} and got["disk"] == 1024
    assert got["scaling"] == {"min": 1, "max": 5, "buffer": 2, "window": 20.0}
    assert got["retries"] == {"max": 3, "initial": 1.0, "factor": 1.0, "longest": 60.0}
    assert got["timeout"] == 60.0 and got["startup_timeout"] == 30.0
    assert got["network"] == "none" and got["max_inputs"] == 1
    assert got["env"] == {"A": "1"} and got["secrets"] == [{"values": {"A": "0", "C": "2"}}]
    assert one(retries=gx.Retries(max_retries=2, backoff_coefficient=3))["retries"]["factor"] == 3.0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cpu": 0}, "cpu=0"),
        ({"cpu": (2, 1)}, "request is more than the limit"),
        ({"memory": "1GB"}, "memory='1GB'"),
        ({"timeout": -1}, "timeout=-1"),
        ({"timeout": True}, "timeout=True"),
        ({"retries": "many"}, "retries="),
        ({"retries": -1}, "max_retries"),
        ({"gpu": "T5"}, "T5"),
        ({"gpu": "T4:0"}, "T4:0"),
        ({"gpu": 3}, "gpu="),
        ({"min_containers": 5, "max_containers": 2}, "min_containers=5 is more"),
        ({"max_containers": 0}, "max_containers=0"),
        ({"secrets": ["x"]}, "list of gx.Secret"),
        ({"image": "debian"}, "image= is a gx.Image"),
        ({"env": {"A": 1}}, "env="),
        ({"schedule": "hourly"}, "schedule="),
        ({"mounts": ["x"]}, "list of gx.Mount"),
        ({"timeot": 3}, "did you mean timeout="),
        ({"max_containers": 2, "concurrency_limit": 2}, "older name"),
    ],
)
def test_wrong_settings(options: Dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        one(**options)
    assert message in str(caught.value)
    assert "test_manifest.py, line" in str(caught.value), "the user's own line"


def test_older_names() -> None:
    from gx import _notices

    said: list = []
    _notices._said.clear()
    _notices._waiting.clear()
    got = one(container_idle_timeout=9, concurrency_limit=3, keep_warm=1, allow_concurrent_inputs=4, cloud="x")
    assert got["scaling"] == {"window": 9.0, "max": 3, "min": 1} and got["concurrency"] == 4
    one(container_idle_timeout=9)
    _notices.deliver(said.append)
    _notices._tell = None
    assert len([text for text in said if "container_idle_timeout" in text]) == 1, "said once"
    assert any(["cloud= has no effect" in text for text in said])


def test_planned() -> None:
    app = gx.App()
    for use in (
        lambda: gx.Sandbox.create("ls"),
        lambda: gx.forward(80),
        lambda: gx.Image.from_name("x"),
        lambda: gx.experimental.anything,
    ):  # fmt: skip
        with pytest.raises(UnimplementedError, match="planned"):
            use()
    with pytest.raises(InvalidError, match="App now"):
        gx.Stub("x")
    with pytest.raises(AttributeError):
        gx.nothing  # noqa: B018


def test_concurrent() -> None:
    app = gx.App()

    @app.function(name="g", serialized=True)
    @gx.concurrent(max_inputs=8, target_inputs=4)
    def g(x: int) -> int:
        return x

    assert g(3) == 3
    pytest.importorskip("cloudpickle")
    made = manifest(app)["functions"][0]
    assert made["concurrency"] == 8 and made["target_inputs"] == 4 and made["payload"]
    for wrong in (lambda: gx.concurrent()(f), lambda: gx.concurrent(f), lambda: gx.concurrent(max_inputs=2)(g)):
        with pytest.raises(InvalidError):
            wrong()
    with pytest.raises(InvalidError, match="more than max_inputs"):
        app.function(name="h")(gx.concurrent(max_inputs=2, target_inputs=3)(f))


def test_functions_that_cannot_be() -> None:
    app = gx.App()
    with pytest.raises(InvalidError, match="inside another function"):

        @app.function()
        def inner() -> None:
            pass

    with pytest.raises(InvalidError, match="parentheses"):
        app.function(f)
    with pytest.raises(InvalidError, match="class"):
        app.function()(type("C", (), {}))
    made = app.function()(f)
    with pytest.raises(InvalidError, match="two decorators"):
        app.function()(made)
    with pytest.raises(InvalidError, match="two functions named 'f'"):
        app.function(name="f")(textwrap.dedent)
    with pytest.raises(InvalidError, match="App name"):
        gx.App("no spaces")


def test_serialized_without_cloudpickle(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(SerializationError, match="cloudpickle"):
        one(serialized=True)


def test_include_and_defaults() -> None:
    image = gx.Image.debian_slim().apt_install("git")
    other = gx.App("other", image=image, secrets=[gx.Secret.from_dict({"S": "1"})])
    other.function(name="theirs")(f)
    app = gx.App("main", include_source=False)
    app.function(name="ours", include_source=True)(f)
    app.function(name="bare")(f)
    app.include(other)
    made = manifest(app)
    by_name = {function["name"]: function for function in made["functions"]}
    assert set(by_name) == {"ours", "bare", "theirs"}
    assert made["images"][by_name["theirs"]["image"]]["steps"][1]["op"] == "apt_install"
    assert by_name["theirs"]["secrets"] == [{"values": {"S": "1"}}] and "secrets" not in by_name["ours"]
    assert "mounts" not in by_name["bare"] and by_name["ours"]["mounts"] == by_name["theirs"]["mounts"]
    with pytest.raises(InvalidError, match="both have"):
        conflict = gx.App()
        conflict.function(name="theirs")(f)
        conflict.include(other)


def test_images_are_listed_once() -> None:
    app = gx.App()
    image = gx.Image.debian_slim("3.11").pip_install("numpy")
    app.function(image=image, name="a")(f)
    app.function(image=image, name="b")(f)
    app.function(name="c")(f)
    made = manifest(app)
    assert len(made["images"]) == 2 and [x["image"] for x in made["functions"]] == [0, 0, 1]


# -- images --


def test_image_steps() -> None:
    image = (
        gx.Image.debian_slim(python_version="3.11")
        .apt_install("git", ["curl"])
        .pip_install("torch==2.3.0", ["numpy"], "--extra-index-url", "https://example.org/simple", pre=True)
        .pip_install("vllm", extra_options="--no-build-isolation --no-deps", index_url="https://example.org/i")
        .run_commands("echo a", ["echo b"])
        .run_commands("make", env={"CC": "a b"})
        .env({"A": "1"})
        .workdir("/srv")
        .entrypoint(["/bin/x"])
        .cmd(["y"])
        .shell(["/bin/bash", "-c"])
        .dockerfile_commands("RUN true", ["USER x"])
    )
    assert steps(image) == [
        {"op": "debian_slim", "python": "3.11"},
        {"op": "apt_install", "packages": ["git", "curl"]},
        {
            "op": "pip_install",
            "packages": ["torch==2.3.0", "numpy"],
            "options": ["--extra-index-url", "https://example.org/simple", "--pre"],
        },
        {
            "op": "pip_install",
            "packages": ["vllm"],
            "options": ["--index-url", "https://example.org/i", "--no-build-isolation", "--no-deps"],
        },
        {"op": "run_commands", "commands": ["echo a", "echo b"]},
        {"op": "run_commands", "commands": ["make"], "env": {"CC": "a b"}},
        {"op": "env", "env": {"A": "1"}},
        {"op": "workdir", "path": "/srv"},
        {"op": "entrypoint", "commands": ["/bin/x"]},
        {"op": "cmd", "commands": ["y"]},
        {"op": "shell", "commands": ["/bin/bash", "-c"]},
        {"op": "dockerfile_commands", "dockerfile": "RUN true\nUSER x"},
    ]
    made = image._manifest()["steps"]
    assert made[0]["file"] == str(HERE) and made[1]["line"] == made[0]["line"] + 1 or sys.version_info < (3, 11)


def test_images_are_immutable() -> None:
    base = gx.Image.debian_slim()
    base.pip_install("a")
    assert len(base._steps) == 1
    assert base.pip_install() is base and base.apt_install([]) is base


def test_registry_and_scratch() -> None:
    image = gx.Image.from_registry("nvidia/cuda:12.1", add_python="3.11", setup_dockerfile_commands=["RUN a"])
    assert steps(image) == [{"op": "registry", "tag": "nvidia/cuda:12.1", "setup": ["RUN a"], "add_python": "3.11"}]
    assert steps(gx.Image.from_scratch()) == [{"op": "scratch"}]


def test_force_build(monkeypatch: Any) -> None:
    image = gx.Image.debian_slim().pip_install("a").pip_install("b", force_build=True).run_commands("c", force_build=True)
    assert image._manifest()["force"] == 2
    monkeypatch.setenv("GX_FORCE_BUILD", "1")
    assert gx.Image.debian_slim()._manifest()["force"] == 0


def test_requirements_and_pyproject(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("numpy\n")
    image = gx.Image.debian_slim().pip_install_from_requirements(tmp_path / "r.txt", pre=True)
    assert steps(image)[1] == {"op": "pip_install", "requirements": "numpy\n", "options": ["--pre"]}
    (tmp_path / "p.toml").write_text('[project]\ndependencies = ["a>1"]\n[project.optional-dependencies]\nx = ["b"]\n')
    image = gx.Image.debian_slim().pip_install_from_pyproject(str(tmp_path / "p.toml"), ["x"])
    assert steps(image)[1]["packages"] == ["a>1", "b"]
    with pytest.raises(InvalidError, match="no optional dependencies 'y'"):
        gx.Image.debian_slim().pip_install_from_pyproject(str(tmp_path / "p.toml"), ["y"])._manifest()
    with pytest.raises(InvalidError, match="test_manifest.py, line"):
        gx.Image.debian_slim().pip_install_from_requirements("missing.txt")._manifest()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: gx.Image.debian_slim(python_version=3.11), "as a string"),
        (lambda: gx.Image.debian_slim("2.7"), "no version of Python"),
        (lambda: gx.Image().pip_install("a"), "begins with a base"),
        (lambda: gx.Image.debian_slim().pip_install(3), "strings"),
        (lambda: gx.Image.debian_slim().pip_install("-r", "x.txt"), "pip_install_from_requirements"),
        (lambda: gx.Image.debian_slim().pip_install("a", "--index-url"), "needs a value"),
        (lambda: gx.Image.from_registry("a b"), "no reference"),
        (lambda: gx.Image.debian_slim().entrypoint("x"), "list of strings"),
        (lambda: gx.Image.debian_slim().env({"a": 1}), "strings"),
        (lambda: gx.Image.debian_slim().add_local_file("/x", "/y").pip_install("a"), "must be last"),
        (lambda: gx.Image.debian_slim(force_build=1), "force_build"),
        (lambda: gx.Image.debian_slim().pipe(lambda image: None), "not an Image"),
    ],
)
def test_wrong_images(make: Any, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        make()


def test_local_files(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "a.txt").write_text("a")
    (tmp_path / "d" / "sub" / "b.bin").write_bytes(b"bb")
    os.symlink(tmp_path / "d", tmp_path / "d" / "sub" / "circle")
    (tmp_path / "run.sh").write_text("x")
    (tmp_path / "run.sh").chmod(0o755)
    image = (
        gx.Image.debian_slim()
        .add_local_file(tmp_path / "run.sh", "/opt/", copy=True)
        .add_local_dir(tmp_path / "d", "/data", copy=True, ignore=["*.txt"])
        .add_local_dir(str(tmp_path / "d"), "rel")
        .add_local_file(tmp_path / "run.sh", "/x.sh")
    )
    made = steps(image)
    assert made[1]["files"] == [{"remote": "/opt/run.sh", "local": str(tmp_path / "run.sh"), "size": 1, "mode": 0o755}]
    assert [file["remote"] for file in made[2]["files"]] == ["/data/sub/b.bin"]
    app = gx.App()
    app.function(image=image, include_source=False)(f)
    got = manifest(app)
    files = [file["remote"] for number in got["functions"][0]["mounts"] for file in got["mounts"][number]["files"]]
    assert files == ["/root/rel/a.txt", "/root/rel/sub/b.bin", "/x.sh"]
    with pytest.raises(InvalidError, match=r"nowhere can't be read.*test_manifest.py, line"):
        gx.Image.debian_slim().add_local_dir("nowhere", "/x", copy=True)._manifest()
    with pytest.raises(InvalidError, match="is a folder"):
        gx.Image.debian_slim().add_local_file(tmp_path / "d", "/x", copy=True)._manifest()


def test_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x\nCOPY . /app\n")
    (tmp_path / ".dockerignore").write_text("secret*\n# comment\n")
    (tmp_path / "secret.txt").write_text("")
    (tmp_path / "code.py").write_text("")
    image = gx.Image.from_dockerfile(tmp_path / "Dockerfile", build_args={"A": "1"}, add_python="3.12")
    made = steps(image)[0]
    assert made["dockerfile"].startswith("FROM x") and made["build_args"] == {"A": "1"} and made["add_python"] == "3.12"
    assert [file["remote"] for file in made["files"]] == ["/.dockerignore", "/Dockerfile", "/code.py"]
    (tmp_path / "Plain").write_text("FROM x\nRUN true\n")
    assert "files" not in steps(gx.Image.from_dockerfile(path=str(tmp_path / "Plain")))[0]
    mounted = gx.Image.from_dockerfile(
        path=str(tmp_path / "Dockerfile"), context_mount=gx.Mount.from_local_dir(str(tmp_path), remote_path="/build_context")
    )
    assert "/build_context/code.py" in [file["remote"] for file in steps(mounted)[0]["files"]]
    commands = gx.Image.debian_slim().dockerfile_commands("COPY x /x", context_files={"x": str(tmp_path / "code.py")})
    assert steps(commands)[1]["files"][0]["remote"] == "/x"


def test_older_image_methods(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    image = gx.Image.debian_slim().copy_local_file(tmp_path / "x", "/x").copy_local_dir(tmp_path, "/d")
    image = image.copy_mount(gx.Mount.from_local_file(tmp_path / "x", remote_path="/y"))
    assert [step["files"][0]["remote"] for step in steps(image)[1:]] == ["/x", "/d/x", "/y"]
    got = one(mounts=[gx.Mount.from_local_file(tmp_path / "x", remote_path="/m")])
    assert len(got["mounts"]) == 2


def test_imports_block() -> None:
    image = gx.Image.debian_slim()
    with image.imports():
        import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401
    with image.imports():
        1 / 0  # noqa: B018
    assert isinstance(image._import_error, ImportError), "the first is what a container of the image raises"
    with pytest.raises(KeyboardInterrupt):
        with image.imports():
            raise KeyboardInterrupt


# -- source --


def run(folder: Path, *args: str, code: str = "") -> str:
    """Runs Python in a folder, with the SDK; what it prints."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    result = subprocess.run([sys.executable, *args], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout
    return result.stdout


APP = """
import gx
from helpers import h
app = gx.App()
@app.function()
def f():
    import lazy
    from pkg2.deep import x
def show():
    from gx._manifest import manifest
    made = manifest(app)
    print(made["functions"][0]["module"], *[file["remote"] for file in made["mounts"][0]["files"]])
if __name__ == "__main__":
    show()
"""


def test_source_of_a_script(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "helpers.py").write_text("import other\ndef h(): pass\n")
    (tmp_path / "other.py").write_text("import json, sys\n")
    (tmp_path / "lazy.py").write_text("import ignored\n")
    (tmp_path / "ignored.py").write_text("")
    (tmp_path / "unused.py").write_text("")
    (tmp_path / ".gxignore").write_text("ignored.py\n**/tests\n")
    deep = tmp_path / "pkg2" / "deep"
    (deep / "tests").mkdir(parents=True)
    (tmp_path / "pkg2" / "__init__.py").write_text("")
    (deep / "__init__.py").write_text("x = 1\n")
    (deep / "tests" / "t.py").write_text("")
    (deep / "data.json").write_text("")
    out = run(tmp_path, "app.py").split()
    assert out == [
        "app", "/root/app.py", "/root/helpers.py", "/root/lazy.py", "/root/other.py", "/root/pkg2/__init__.py", "/root/pkg2/deep/__init__.py",
    ]  # fmt: skip


def test_source_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "pkg" / "sub").mkdir(parents=True)
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "sub" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "sub" / "app.py").write_text(APP.replace("from helpers", "from ..util"))
    (tmp_path / "pkg" / "util.py").write_text("h = 1\n")
    (tmp_path / "lazy.py").write_text("")
    out = run(tmp_path, "-m", "pkg.sub.app").split()
    assert out == ["pkg.sub.app", "/root/lazy.py", "/root/pkg/__init__.py", "/root/pkg/sub/__init__.py", "/root/pkg/sub/app.py", "/root/pkg/util.py"]


def test_python_source(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "mypkg").mkdir()
    (tmp_path / "mypkg" / "__init__.py").write_text("")
    (tmp_path / "mypkg" / "data.txt").write_text("")
    (tmp_path / "mymod.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    image = gx.Image.debian_slim().add_local_python_source("mypkg", "mymod", copy=True)
    assert [file["remote"] for file in steps(image)[1]["files"]] == ["/root/mypkg/__init__.py", "/root/mymod.py"]
    image = gx.Image.debian_slim().add_local_python_source("mypkg", copy=True, ignore=[])
    assert len(steps(image)[1]["files"]) == 2
    with pytest.raises(ModuleNotMountable, match="no module 'nowhere'"):
        gx.Image.debian_slim().add_local_python_source("nowhere", copy=True)._manifest()


def test_uv_and_poetry(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "requirements.txt").write_text("idna\n")
    for name in ("pyproject.toml", "uv.lock", "poetry.lock"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    base = gx.Image.debian_slim()
    image = (
        base.uv_pip_install("six", ["attrs"], requirements=["requirements.txt"], index_url="https://i", extra_index_url="https://e", pre=True)
        .uv_pip_install("numpy --no-deps", uv_version="0.9.1", extra_options="--no-build", find_links="https://f")
        .uv_sync(groups=["dev"], extras=["gpu", "web"], extra_options="--no-group docs")
        .uv_sync(tmp_path, frozen=False)
        .poetry_install_from_file("pyproject.toml", with_=["dev"], without=["docs"], only=["main"])
        .poetry_install_from_file("pyproject.toml", ignore_lockfile=True, poetry_version="1.8.0")
    )
    made = [{**step, "files": [file["remote"] for file in step.get("files", [])]} for step in steps(image)[1:]]
    assert [(step["op"], step.get("packages"), step.get("options"), step.get("tool")) for step in made] == [
        ("uv_pip_install", ["six", "attrs"], ["--default-index", "https://i", "--index", "https://e", "--prerelease", "allow"], None),
        ("uv_pip_install", ["numpy --no-deps"], ["--find-links", "https://f", "--no-build"], "0.9.1"),
        ("uv_sync", None, ["--frozen", "--group", "dev", "--extra", "gpu", "--extra", "web", "--no-group", "docs"], None),
        ("uv_sync", None, None, None),
        ("poetry_install_from_file", None, ["--with", "dev", "--without", "docs", "--only", "main"], None),
        ("poetry_install_from_file", None, None, "1.8.0"),
    ]
    assert made[0]["requirements"] == "idna\n"
    assert [step["files"] for step in made[2:]] == [
        ["/pyproject.toml", "/uv.lock"], ["/pyproject.toml", "/uv.lock"], ["/pyproject.toml", "/poetry.lock"], ["/pyproject.toml"],
    ]  # fmt: skip
    assert base.uv_pip_install() is base
    (tmp_path / "uv.lock").unlink()
    (tmp_path / "poetry.lock").unlink()
    for use, what in (
        (lambda: base.uv_sync(), "no .*uv.lock: `uv lock` makes it"),
        (lambda: base.poetry_install_from_file("pyproject.toml"), "no .*poetry.lock: `poetry lock` makes it"),
        (lambda: base.uv_sync("nowhere"), "pyproject.toml can't be read"),
        (lambda: base.uv_pip_install(requirements=["none.txt"]), "none.txt can't be read"),
        (lambda: base.uv_pip_install("x", uv_version="1.0 --bad"), "it is a version"),
    ):
        with pytest.raises(InvalidError, match=what):
            use()._manifest()
    assert len(steps(base.uv_sync(frozen=False))[1]["files"]) == 1


def helper(x: int) -> int:
    return x + OFFSET


OFFSET = 1


def prepares(path: str) -> None:
    print(helper(1), os.path.basename(path))


def test_build_function(monkeypatch: Any) -> None:
    from gx._code import digest

    def key() -> str:
        return digest(prepares)

    before = key()
    assert key() == before
    monkeypatch.setattr(sys.modules[__name__], "OFFSET", 2)
    after = key()
    assert after != before, "a global that a function it calls uses"
    monkeypatch.setattr(sys.modules[__name__], "helper", lambda x: x)
    assert key() not in (before, after), "a function it calls"
    monkeypatch.undo()
    assert key() == before
    assert digest(prepares, arguments=b"other arguments") != before

    image = gx.Image.debian_slim().run_function(prepares, args=("x",), env={"A": "1"}, secrets=[gx.Secret.from_dict({"S": "v"})])
    step = image._steps[-1].manifest()
    assert (step["op"], step["env"], step["secrets"], step["timeout"]) == ("run_function", {"A": "1"}, [{"values": {"S": "v"}}], 3600.0)
    assert step["function"]["qualname"] == "prepares" and step["function"]["key"] != before
    assert any([file["remote"].endswith("test_manifest.py") for file in step["files"]])
    by_value = gx.Image.debian_slim().run_function(lambda: OFFSET)._steps[-1].manifest()
    assert by_value["function"]["payload"]
    for wrong in ({"timeout": 0}, {"timeout": True}, {"secrets": ["S"]}, {"kwargs": {"f": lambda: 0}}):
        with pytest.raises(InvalidError):
            gx.Image.debian_slim().run_function(prepares, **wrong)._steps[-1].manifest()  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="takes a function"):
        gx.Image.debian_slim().run_function("prepares")  # type: ignore[arg-type]
    with pytest.raises(UnimplementedError, match="network_file_systems"):
        gx.Image.debian_slim().run_function(prepares, network_file_systems={"/x": 1})
    with pytest.raises(InvalidError, match="is a gx.Volume"):
        gx.Image.debian_slim().run_function(prepares, volumes={"/x": 1})
    volume = gx.Volume.from_name("data", create_if_missing=True).read_only()
    for image in (
        gx.Image.debian_slim().run_function(prepares, volumes={"/x": volume}),
        gx.Image.debian_slim().run_commands("true", volumes={"/x": volume}),
    ):
        assert image._steps[-1].manifest()["volumes"] == [{"volume": "data", "path": "/x", "read_only": True, "create": True}]
    private = gx.Image.from_registry("x/y", secret=gx.Secret.from_name("registry"))
    assert private._steps[0].manifest()["secrets"] == [{"name": "registry"}]


def test_code_of_what_is_imported_late(tmp_path: Any, monkeypatch: Any) -> None:
    """Modules that a function imports when it runs count, and what these import."""
    from gx._code import digest

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "late_main.py").write_text("def f():\n    import late_helper\n    from late_package import sub\n    return late_helper.g()\n")
    (tmp_path / "late_helper.py").write_text("def g():\n    from late_deep import K\n    return K\n")
    (tmp_path / "late_deep.py").write_text("K = 1\nimport late_helper\n")
    (tmp_path / "late_package").mkdir()
    for name in ("__init__", "sub", "inner"):
        (tmp_path / "late_package" / f"{name}.py").write_text("from . import inner\n")
    (tmp_path / "late_unrelated.py").write_text("x = 1\n")
    import late_main  # type: ignore[import-not-found]

    seen = {digest(late_main.f)}
    for changed in ("late_helper.py", "late_deep.py", "late_package/inner.py"):
        file = tmp_path / changed
        file.write_text(file.read_text() + "# changed\n")
        now = digest(late_main.f)
        assert now not in seen, changed
        seen.add(now)
    (tmp_path / "late_unrelated.py").write_text("x = 2\n")
    assert digest(late_main.f) in seen


def test_defaults_of_parameters_are_code() -> None:
    """Where a parameter is left out, only the class says what it is."""
    from gx._code import digest

    def model(default: Any) -> type:
        class Model:
            size: str = gx.parameter(default=default) if default else gx.parameter()

        return Model

    assert digest(model("small")) == digest(model("small"))
    assert len({digest(model(default)) for default in ("small", "large", None)}) == 3


def test_schedule() -> None:
    app = gx.App("scheduled")
    space: Dict[str, Any] = {"__name__": "__main__"}
    exec("def job(x=1, *, y=2): ...\ndef needs(x): ...\ndef named(*, y): ...", space)
    app.function(schedule=gx.Cron("0 2 * * *", timezone="Europe/Berlin"), serialized=True)(space["job"])
    assert manifest(app)["functions"][0]["schedule"] == {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}
    for wrong, parameter in (("needs", "x"), ("named", "y")):
        with pytest.raises(InvalidError, match=f"{parameter} needs a default"):
            app.function(schedule=gx.Period(hours=1), serialized=True)(space[wrong])
    with pytest.raises(InvalidError, match="can't be combined with @gx.batched"):
        app.function(schedule=gx.Period(hours=1), serialized=True)(gx.batched(max_batch_size=2, wait_ms=1)(space["job"]))
    with pytest.raises(InvalidError, match="can't be combined with @gx.fastapi_endpoint"):
        app.function(schedule=gx.Period(hours=1), serialized=True)(gx.fastapi_endpoint()(space["job"]))


# -- what Modal's images had without being asked --


def packages(monkeypatch: pytest.MonkeyPatch, image: gx.Image, *, said: bool = True, web: bool = False, imports: str = "pydantic.main") -> list:
    """The steps of the image of a function whose module has imported a class from there, and uses an older name, or not."""
    from gx import _notices

    monkeypatch.setattr(_notices, "_said", {"keep_warm= is an older name; the present one is min_containers="} if said else set())
    monkeypatch.setattr(sys.modules[__name__], "Imported", type("Imported", (), {"__module__": imports}), raising=False)
    app = gx.App("test")
    app.function(image=image)(gx.fastapi_endpoint()(f) if web else f)
    (made,) = manifest(app)["images"]
    return [step.get("packages") for step in made["steps"]]


def test_former_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slim = gx.Image.debian_slim()
    assert packages(monkeypatch, slim.pip_install("torch==2.3.0")) == [None, ["torch==2.3.0"], ["pydantic"]]
    assert packages(monkeypatch, slim, web=True) == [None, ["fastapi"]]
    assert packages(monkeypatch, slim, imports="fastapi.applications") == [None, ["fastapi"]]
    assert packages(monkeypatch, slim, imports="numpy") == [None]
    assert packages(monkeypatch, slim, said=False) == [None]
    assert packages(monkeypatch, slim.pip_install("pydantic<3")) == [None, ["pydantic<3"]]
    assert packages(monkeypatch, slim.pip_install("fastapi[standard]")) == [None, ["fastapi[standard]"]]
    assert packages(monkeypatch, gx.Image.from_registry("python:3.11")) == [None]
    (tmp_path / "requirements.txt").write_text("pydantic\n")
    assert packages(monkeypatch, slim.pip_install_from_requirements(str(tmp_path / "requirements.txt"))) == [None, None]
    assert packages(monkeypatch, slim.add_local_file(__file__, "/data/")) == [None, ["pydantic"]]
