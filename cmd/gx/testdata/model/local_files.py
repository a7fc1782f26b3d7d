# both
# limit: 240
"""Local files: what comes along, where it appears, and that nobody spoils it for others."""

import os
import pathlib
import stat
import subprocess
import tempfile

import gx

STRANGE = ["a\nb", "-rf", "with space", "ünïcödé", "*?["]

if gx.is_local():
    top = pathlib.Path(tempfile.mkdtemp(dir="."))
    for name in ["data/a.txt", "data/sub/b.txt", "data/sub/c.log", "data/cache/x", "run.sh", "layer/tool.sh", "layer/m.py", "beside.yaml"]:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (top / "data" / "empty").mkdir()
    (top / "data" / "link.txt").symlink_to("sub/b.txt")
    (top / "data" / "folder").symlink_to("sub")
    (top / "data" / "sub" / "up").symlink_to("..")
    for name in STRANGE:
        (top / "data" / name).write_text(name)
    for name in ("run.sh", "layer/tool.sh"):
        (top / name).write_text("#!/bin/sh\necho ran $0\n")
        (top / name).chmod(0o700)
else:
    top = pathlib.Path("/not/here")

image = (
    gx.Image.debian_slim()
    .add_local_dir(top / "layer", "/opt/layer", copy=True)
    .add_local_file(top / "layer" / "tool.sh", "/tmp/in-the-layer", copy=True)
    .run_commands("/opt/layer/tool.sh > /made-by-the-layer", "cat /opt/layer/m.py >> /made-by-the-layer")
    .workdir("/srv")
    .add_local_dir(top / "data", "/data", ignore=["**/*.log", "cache"])
    .add_local_file(top / "run.sh", "/bin/")
    .add_local_file(top / "beside.yaml", "/tmp/deep/er/beside.yaml")
    .add_local_file(top / "beside.yaml", "beside.yaml")
)
app = gx.App(image=image)


@app.function()
def look():
    files = sorted(os.path.relpath(os.path.join(base, name), "/data") for base, _, names in os.walk("/data") for name in names)
    return {
        "files": files,
        "contents": [pathlib.Path("/data", name).read_text() for name in ["a.txt", "link.txt", "folder/b.txt", *STRANGE]],
        "empty": os.listdir("/data/empty"),
        "modes": [oct(stat.S_IMODE(os.stat(path).st_mode)) for path in ("/bin/run.sh", "/data/a.txt", "/data", "/tmp", "/tmp/deep")],
        "owner": os.stat("/data/a.txt").st_uid,
        "ran": subprocess.run(["run.sh"], stdout=subprocess.PIPE, text=True).stdout,
        "bin": os.path.islink("/bin"),
        "beside": [pathlib.Path("/tmp/deep/er/beside.yaml").read_text(), pathlib.Path("beside.yaml").read_text(), os.getcwd()],
        "layer": pathlib.Path("/made-by-the-layer").read_text(),
        "app": __file__,
        "local": gx.is_local(),
    }


@app.function(max_containers=1, single_use_containers=True)
def spoil():
    """What a container writes is its own."""
    path = pathlib.Path("/data/a.txt")
    before = path.read_text()
    path.write_text("spoilt")
    os.unlink("/data/link.txt")
    pathlib.Path("/data/empty/new").write_text("new")
    return before, os.listdir("/data/empty"), path.read_text()


@app.local_entrypoint()
def main():
    got = look.remote()
    expected = ["a.txt", "folder/b.txt", "link.txt", "sub/b.txt", *STRANGE]
    assert got["files"] == sorted(expected), got["files"]
    assert got["contents"] == ["data/a.txt", "data/sub/b.txt", "data/sub/b.txt", *STRANGE], got["contents"]
    assert got["empty"] == [], got["empty"]
    assert got["modes"] == ["0o755", "0o644", "0o755", "0o1777", "0o755"], got["modes"]
    assert got["owner"] == 0
    assert got["ran"] in ("ran /bin/run.sh\n", "ran /usr/bin/run.sh\n"), got["ran"]
    assert got["bin"], "the image's /bin is a link still"
    assert got["beside"] == ["beside.yaml", "beside.yaml", "/srv"], got["beside"]
    assert got["layer"] == "ran /opt/layer/tool.sh\nlayer/m.py", got["layer"]
    assert got["app"] == "/root/local_files.py", got["app"]
    assert not got["local"]

    for _ in range(2):
        assert spoil.remote() == ("data/a.txt", ["new"], "spoilt")
    assert (top / "data" / "a.txt").read_text() == "data/a.txt"
    assert look.remote()["contents"] == got["contents"]
    print("ok")
