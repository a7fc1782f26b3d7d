"""What `gx serve` has collected of a file: its apps, or what is wrong with it, and what to watch."""

import json
import os
import socket
import subprocess
import sys

import pytest

SDK = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

HELPER = "def double(x):\n    return 2 * x\n"
APP = """
import json
import gx
import helper

with open("settings.json") as f:
    SETTINGS = json.load(f)
with open("journal.txt", "a") as f:
    f.write("imported\\n")

image = gx.Image.debian_slim().pip_install_from_requirements("requirements.txt").add_local_dir("assets", "/assets")
app = gx.App("one", image=image)
other = gx.App("two")
empty = gx.App("three")


@app.function(secrets=[gx.Secret.from_dotenv()])
def f(x):
    return helper.double(x)


@other.function()
def g():
    pass
"""


class Serving:
    """The process that `gx serve` starts, played by its other end."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.ours, theirs = socket.socketpair()
        env = {**os.environ, "PYTHONPATH": SDK, "GX_CONTROL_FD": str(theirs.fileno()), "PYTHONDONTWRITEBYTECODE": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gx._cli", "serve"], pass_fds=[theirs.fileno()], env=env, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        theirs.close()
        self.ours.settimeout(60)
        self.lines = self.ours.makefile("r")

    def say(self, **line):
        self.ours.sendall(json.dumps(line).encode() + b"\n")

    def collect(self, reference, module=False):
        """Everything that it tells, and what it has printed."""
        self.say(collect={"reference": reference, "module": module})
        told = {}
        for line in self.lines:
            told.update(json.loads(line))
        self.lines.close()
        self.ours.close()
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return told["collected"], out

    def near(self, paths):
        return [os.path.relpath(path, os.path.realpath(self.folder)) for path in paths]


@pytest.fixture
def project(tmp_path):
    tmp_path = tmp_path.resolve()
    for name, text in {
        "app.py": APP, "helper.py": HELPER, "settings.json": "{}", "requirements.txt": "six\n",
        ".env": "A=1\n", "assets/a.txt": "a", "unused.py": "",
    }.items():  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def collect(folder, reference="app.py", **more):
    return Serving(folder).collect(reference, **more)


def test_apps_and_what_they_are_made_of(project):
    serving = Serving(project)
    serving.say(prepare={"modules": ["json", "no_such_module"]})
    told, _ = serving.collect("app.py")
    assert [(a["variable"], a["manifest"]["name"]) for a in told["apps"]] == [("app", "one"), ("other", "two")]
    assert [f["name"] for f in told["apps"][0]["manifest"]["functions"]] == ["f"]
    files = serving.near(told["files"])
    assert [f for f in files if not f.endswith("ignore")] == [".env", "app.py", "helper.py", "requirements.txt", "settings.json"]
    assert ".gxignore" in files, "what is not there yet may come"
    assert serving.near(told["trees"]) == ["assets"]
    assert "json" in told["modules"] and "helper" not in told["modules"]
    assert not [name for name in told["modules"] if name.partition(".")[0] in ("gx", "modal")]
    assert not (project / "__pycache__").exists(), "byte code of one second ago may be taken for the new"


def test_one_app_by_name(project):
    for name in ("other", "two"):
        told, _ = collect(project, f"app.py::{name}")
        assert [a["variable"] for a in told["apps"]] == ["other"]
    told, _ = collect(project, "app.py::nothing")
    assert told["exception"]["kind"] == "usage"
    told, _ = collect(project, "app.py::empty")
    assert "has no functions" in told["exception"]["message"]


def test_module(project):
    told, _ = collect(project, "app", module=True)
    assert [a["variable"] for a in told["apps"]] == ["app", "other"]
    assert str(project / "app.py") in told["files"]


def test_syntax_error(project):
    (project / "helper.py").write_text("def double(x:\n    return 2 * x\n")
    serving = Serving(project)
    told, _ = serving.collect("app.py")
    assert not told.get("apps")
    assert (told["exception"]["kind"], told["exception"]["file"], told["exception"]["line"]) == ("syntax", "helper.py", 1)
    assert "helper.py" in serving.near(told["files"]) and "app.py" in serving.near(told["files"])


def test_what_is_missing_is_watched_for(project):
    (project / "helper.py").unlink()
    serving = Serving(project)
    told, _ = serving.collect("app.py")
    assert told["exception"]["kind"] == "import"
    assert "helper.py" in serving.near(told["files"]) and "helper/__init__.py" in serving.near(told["files"])
    (project / "helper.py").write_text(HELPER)
    (project / "settings.json").unlink()
    (project / ".env").unlink()
    serving = Serving(project)
    told, _ = serving.collect("app.py")
    assert (told["exception"]["file"], told["exception"]["line"]) == ("app.py", 6)
    assert "settings.json" in serving.near(told["files"])
    (project / "settings.json").write_text("{}")
    serving = Serving(project)
    told, _ = serving.collect("app.py")
    assert "no .env" in told["exception"]["message"] and ".env" in serving.near(told["files"])
    serving = Serving(project)
    told, _ = serving.collect("nowhere.py")
    assert told["exception"]["kind"] == "usage" and serving.near(told["files"]) == ["nowhere.py"]


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "raise KeyboardInterrupt", "1 / 0"])
def test_a_file_that_does_not_want_to_be_imported(project, code):
    (project / "app.py").write_text("print('hello')\n" + code + "\n")
    told, out = collect(project)
    assert told["exception"]["message"] is not None and not told.get("apps")
    assert out == "hello\n"


def test_threads_and_exit_handlers_are_not_waited_for(project):
    (project / "app.py").write_text(
        "import threading, time, atexit, gx\napp = gx.App()\natexit.register(time.sleep, 3600)\n"
        "threading.Thread(target=time.sleep, args=(3600,)).start()\n@app.function()\ndef f(): pass\n"
    )
    told, _ = collect(project)
    assert len(told["apps"]) == 1


def test_it_ends_with_gx(project):
    serving = Serving(project)
    serving.lines.close()
    serving.ours.close()
    _, err = serving.process.communicate(timeout=60)
    assert (serving.process.returncode, err) == (0, "")
