# both
# limit: 240
# alone
"""Volumes: what containers write, commit, see of each other, and what is done with files from outside."""

import asyncio
import errno
import io
import os
import pathlib
import stat
import uuid

import gx
from gx.exception import AlreadyExistsError, InvalidError, NotFoundError, VolumeUploadTimeoutError  # noqa: F401

NAME = os.environ.get("VOLUME", f"volumes-{uuid.uuid4().hex[:8]}")
app = gx.App("volumes", image=gx.Image.debian_slim().env({"VOLUME": NAME}))
volume = gx.Volume.from_name(NAME, create_if_missing=True)
DATA = pathlib.Path("/data")


def raised(kind, what, *args, **kwargs):
    try:
        what(*args, **kwargs)
    except kind as error:
        return str(error)
    raise AssertionError(f"{what} raised no {kind}")


def tree(root=DATA):
    """What is in a folder: path to kind, permissions, and content or target."""
    found = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            found[str(path.relative_to(root))] = ("link", os.readlink(path))
        elif stat.S_ISDIR(info.st_mode):
            found[str(path.relative_to(root))] = ("folder", stat.S_IMODE(info.st_mode))
        else:
            found[str(path.relative_to(root))] = ("file", stat.S_IMODE(info.st_mode), path.read_bytes()[:100])
    return found


@app.function(volumes={"/data": volume}, single_use_containers=True)
def look():
    return tree()


@app.function(volumes={"/data": volume}, single_use_containers=True)
def write(files, commit=True, gone=()):
    """Each in a container of its own, which ends as soon as it has answered."""
    for name, text in files.items():
        (DATA / name).parent.mkdir(parents=True, exist_ok=True)
        (DATA / name).write_text(text)
    for name in gone:
        (DATA / name).unlink()
    if commit:
        volume.commit()


@app.function(volumes={"/data": volume}, single_use_containers=True)
def crash(after_commit):
    (DATA / "committed").write_text("yes")
    if after_commit:
        volume.commit()
    (DATA / "uncommitted").write_text("lost")
    os._exit(1)


@app.function(volumes={"/data": volume}, single_use_containers=True)
def arrange():
    """Everything that a file system can be asked for."""
    (DATA / "a").mkdir()
    (DATA / "a/file").write_text("one")
    (DATA / "a/script").write_text("#!/bin/sh\n")
    (DATA / "a/script").chmod(0o755)
    (DATA / "a/secret").write_text("s")
    (DATA / "a/secret").chmod(0o600)
    (DATA / "empty").mkdir()
    (DATA / "empty").chmod(0o750)
    (DATA / "link").symlink_to("a/file")
    (DATA / "dangling").symlink_to("/nowhere")
    os.link(DATA / "a/file", DATA / "a/second")
    (DATA / "ünï cödé \n").write_text("weird")
    volume.commit()
    (DATA / "a").rename(DATA / "b")
    (DATA / "b/file").write_text("two")
    (DATA / "empty").rmdir()
    (DATA / "empty").mkdir()
    (DATA / "dangling").unlink()
    (DATA / "link").unlink()
    (DATA / "link").symlink_to("b/file")
    volume.commit()
    return tree()


@app.function(volumes={"/data": volume}, timeout=200)
def sparse():
    """A file of 5 GB that is mostly nothing, of which a byte is changed between commits."""
    with open(DATA / "large", "wb") as f:
        f.truncate(5 << 30)
        f.seek(3 << 30)
        f.write(b"middle")
    volume.commit()
    with open(DATA / "large", "r+b") as f:
        f.seek(4 << 30)
        f.write(b"later")
    volume.commit()
    return (DATA / "large").stat().st_blocks * 512


@app.function()
def elsewhere():
    return sorted(os.listdir("/elsewhere"))


@app.cls(volumes={"/data": volume}, max_containers=1)
class Keeper:
    """A container that stays, which sees what others commit when it reloads."""

    @gx.method()
    def write(self, name, text):
        (DATA / name).write_text(text)

    @gx.method()
    def names(self):
        return sorted(os.listdir(DATA))

    @gx.method()
    def reload(self):
        volume.reload()
        return self.names.local()

    @gx.method()
    def reload_while_open(self, name):
        with open(DATA / name):
            try:
                volume.reload()
            except RuntimeError as error:
                return str(error)


@app.function(volumes={"/data": volume.read_only()}, single_use_containers=True)
def read_only():
    try:
        (DATA / "x").write_text("x")
    except OSError as error:
        assert error.errno == errno.EROFS, error
    return raised(InvalidError, volume.commit)


@app.function(volumes={"/all": volume.read_only(), "/part": volume.with_mount_options(sub_path="b")}, single_use_containers=True)
def part():
    """The same volume twice: as it was, and a folder of it to write into."""
    pathlib.Path("/part/new").write_text("through a sub-path")
    volume.commit()
    return sorted(os.listdir("/all/b")), sorted(os.listdir("/part"))


@app.function(volumes={"/data": volume}, max_containers=10, single_use_containers=True)
def ten(i, barrier):
    """Ten of these commit at the same moment."""
    (DATA / f"own-{i}").write_text(str(i))
    (DATA / "shared").write_text(str(i) * 1000)
    barrier.put(i)
    barrier.get(partition="go", timeout=100)
    volume.commit()


@app.local_entrypoint()
def main():
    # Written by one container, committed, seen by the next.
    assert look.remote() == {}
    write.remote({"x": "1", "dir/y": "2"})
    assert look.remote() == {"x": ("file", 0o644, b"1"), "dir": ("folder", 0o755), "dir/y": ("file", 0o644, b"2")}
    # A normal end commits, a crash does not.
    write.remote({"x": "changed"}, commit=False, gone=["dir/y"])
    wait_for(lambda: b"".join(volume.read_file("x")) == b"changed")
    assert look.remote() == {"x": ("file", 0o644, b"changed"), "dir": ("folder", 0o755)}
    raised(Exception, crash.remote, False)
    assert "committed" not in look.remote()
    raised(Exception, crash.remote, True)
    assert "committed" in look.remote() and "uncommitted" not in look.remote()
    volume.remove_file("committed")
    volume.remove_file("dir", recursive=True)
    volume.remove_file("x")
    assert look.remote() == {}

    # What a file system has.
    made = arrange.remote()
    assert look.remote() == made, (look.remote(), made)
    assert made["empty"] == ("folder", 0o755) and made["link"] == ("link", "b/file") and "dangling" not in made and "a" not in made
    assert made["b/script"][1] == 0o755 and made["b/secret"][1] == 0o600 and made["b/file"][2] == b"two"
    assert made["ünï cödé \n"][2] == b"weird"
    assert "read-only" in read_only.remote()
    there = ["file", "script", "second", "secret"]
    assert part.remote() == (there, sorted([*there, "new"]))
    assert "b/new" in [e.path for e in volume.iterdir("/")]

    assert elsewhere.with_options(volumes={"/elsewhere": volume}).remote() == sorted(os.path.basename(e.path) for e in volume.listdir("/"))

    # Containers that stay see others' commits when they reload; what they have written stays theirs.
    keeper = Keeper()
    keeper.write.remote("mine", "m")
    write.remote({"theirs": "t"})
    assert "theirs" not in keeper.names.remote()
    names = keeper.reload.remote()
    assert "theirs" in names and "mine" in names
    assert "theirs" in keeper.reload_while_open.remote("theirs")

    # Ten commit at once: nobody's file is lost, and the shared one is one of theirs, whole.
    with gx.Queue.ephemeral() as barrier:
        calls = [ten.spawn(i, barrier) for i in range(10)]
        assert len([barrier.get(timeout=120) for _ in range(10)]) == 10
        barrier.put_many(range(10), partition="go")
        for call in calls:
            call.get()
    now = {e.path for e in volume.iterdir("/")}
    assert {f"own-{i}" for i in range(10)} <= now
    shared = b"".join(volume.read_file("shared"))
    assert shared in [str(i).encode() * 1000 for i in range(10)]

    # A large file, mostly holes, takes what it holds.
    assert sparse.remote() < 8 << 20  # the kernel copies what surrounds a change
    entry = volume.listdir("/large")[0]
    assert entry.size == 5 << 30

    outside()
    print("ok")


def outside():
    """What needs no container."""
    with gx.Volume.ephemeral() as v:
        pathlib.Path("up/sub/none").mkdir(parents=True, exist_ok=True)
        pathlib.Path("up/a.txt").write_text("a")
        pathlib.Path("up/sub/b.sh").write_text("b")
        pathlib.Path("up/sub/b.sh").chmod(0o755)
        with v.batch_upload() as batch:
            batch.put_directory("up", "/dir")
            batch.put_file("up/a.txt", "/single")
            batch.put_file(io.BytesIO(b"from memory"), "memory", mode=0o600)
        assert [(e.path, e.type) for e in v.iterdir("/")] == [
            ("dir", 2), ("dir/a.txt", 1), ("dir/sub", 2), ("dir/sub/b.sh", 1), ("dir/sub/none", 2), ("memory", 1), ("single", 1),
        ]  # fmt: skip
        assert [e.path for e in v.listdir("/dir")] == ["dir/a.txt", "dir/sub"]
        assert v.listdir("dir/sub/b.sh")[0].mode == 0o755 and v.listdir("memory")[0].mode == 0o600
        assert b"".join(v.read_file("memory")) == b"from memory"
        into = io.BytesIO()
        assert v.read_file_into_fileobj("memory", into) == 11 and into.getvalue() == b"from memory"
        # All of it or nothing.
        try:
            with v.batch_upload() as batch:
                batch.put_file(io.BytesIO(b"new"), "new")
                batch.put_file(io.BytesIO(b"again"), "single")
        except FileExistsError as error:
            assert "single" in str(error)
        else:
            raise AssertionError("a file was replaced without force")
        assert "new" not in [e.path for e in v.listdir("/")]
        with v.batch_upload(force=True) as batch:
            batch.put_file(io.BytesIO(b"again"), "single")
        assert b"".join(v.read_file("single")) == b"again"
        v.copy_files(["single", "memory"], "/dir/sub/none")
        v.copy_files(["dir"], "copy", recursive=True)
        assert b"".join(v.read_file("copy/sub/none/memory")) == b"from memory"
        raised(FileNotFoundError, v.remove_file, "missing")
        raised(FileNotFoundError, lambda: list(v.read_file("missing")))
        raised(FileNotFoundError, lambda: list(v.iterdir("missing")))
        raised(InvalidError, v.remove_file, "dir")
        raised(InvalidError, lambda: list(v.read_file("../../etc/passwd")))
        raised(InvalidError, lambda: list(v.iterdir("/dir/../..")))
        for bad in ("../up", "a/../../b", "x" * 300, "zero\0"):
            with_error = raised(InvalidError, upload, v, bad)
            assert len(with_error) < 400
        v.remove_file("dir", recursive=True)
        assert [e.path for e in v.listdir("/")] == ["copy", "memory", "single"]
        raised(InvalidError, v.commit)
        raised(InvalidError, v.reload)

        async def twins():
            assert [e.path async for e in v.iterdir.aio("/", recursive=False)] == ["copy", "memory", "single"]
            assert b"".join([part async for part in v.read_file.aio("memory")]) == b"from memory"
            async with v.batch_upload() as batch:
                batch.put_file(io.BytesIO(b"x"), "async")
            await v.remove_file.aio("async")
            await v.copy_files.aio(["single"], "single2")
            return len(await v.listdir.aio("/"))

        assert asyncio.run(twins()) == 4
    raised(NotFoundError, v.listdir, "/")

    # Names.
    other = NAME + "-2"
    for bad in ("", "a/b", "..", ".a", "-a", "ü", "a b", "a\0b", "n" * 300):
        assert len(raised(InvalidError, gx.Volume.objects.create, bad)) < 400
        raised(InvalidError, gx.Volume.from_name(bad, create_if_missing=True).listdir, "/")
    gx.Volume.objects.create(other)
    raised(AlreadyExistsError, gx.Volume.objects.create, other)
    gx.Volume.objects.create(other, allow_existing=True)
    assert other in [v.name for v in gx.Volume.objects.list()]
    raised(AlreadyExistsError, gx.Volume.rename, other, NAME)
    gx.Volume.rename(other, other + "-renamed")
    raised(NotFoundError, gx.Volume.from_name(other).listdir, "/")
    gx.Volume.objects.delete(other + "-renamed")
    raised(NotFoundError, gx.Volume.objects.delete, other)
    gx.Volume.objects.delete(other, allow_missing=True)
    # One that is in use stays.
    assert "container" in raised(Exception, gx.Volume.objects.delete, NAME)


def upload(v, path):
    with v.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"x"), path)


def wait_for(what):
    """A container that has answered commits when it has ended, which is soon."""
    import time

    for _ in range(600):
        try:
            if what():
                return
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come")
