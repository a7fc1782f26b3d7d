"""What volumes are before a host knows of them: the manifest, and what is collected for an upload."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import gx
import pytest
from gx._volume_mounts import mounts
from gx._volume_upload import BatchUpload, _walk
from gx.exception import AlreadyExistsError, InvalidError, UnimplementedError


def test_mounts() -> None:
    data = gx.Volume.from_name("data", create_if_missing=True)
    other = gx.Volume.from_name("other", environment_name="dev").read_only()
    part = data.with_mount_options(sub_path="a/./b/")
    assert mounts({"/data": data, Path("/other/"): other, "//part": part, "/id": gx.Volume.from_id("vo-1")}, "f") == [
        {"volume": "data", "path": "/data", "create": True},
        {"volume": "other", "environment": "dev", "path": "/other", "read_only": True},
        {"volume": "data", "path": "/part", "sub_path": "a/b", "create": True},
        {"volume": "vo-1", "id": True, "path": "/id"},
    ]


@pytest.mark.parametrize(
    "volumes",
    [
        {"data": gx.Volume.from_name("a")},
        {"/": gx.Volume.from_name("a")},
        {"/root": gx.Volume.from_name("a")},
        {"/proc/x": gx.Volume.from_name("a")},
        {"/data/../etc": gx.Volume.from_name("a")},
        {"/data": "a"},
        {"/data": gx.Volume},
        {"/a": gx.Volume.from_name("a"), "/b": gx.Volume.from_name("a")},
        {"/a": gx.Volume.from_name("a"), "/a/": gx.Volume.from_name("b")},
        {"/a": gx.Volume.from_name("a"), "/a/b": gx.Volume.from_name("b")},
        ["/a"],
    ],
)
def test_what_cannot_be_mounted(volumes: Any) -> None:
    app = gx.App()
    with pytest.raises(InvalidError):
        app.function(serialized=True, volumes=volumes)(lambda: None)


def test_other_mistakes() -> None:
    with pytest.raises(UnimplementedError):
        mounts({"/data": gx.CloudBucketMount("b")}, "f")
    for name in (1, None):
        with pytest.raises(InvalidError):
            gx.Volume.from_name(name)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        gx.Volume.from_name("a").with_mount_options(sub_path="../x")
    with pytest.raises(InvalidError):
        gx.Volume.from_id("di-1")


def test_pickled() -> None:
    volume = pickle.loads(pickle.dumps(gx.Volume.from_name("a", environment_name="dev").with_mount_options(read_only=True, sub_path="x")))
    assert mounts({"/a": volume}, "f") == [
        {"volume": "a", "environment": "dev", "path": "/a", "read_only": True, "sub_path": "x"}
    ]


def test_app_wide() -> None:
    app = gx.App(volumes={"/a": gx.Volume.from_name("a"), "/b": gx.Volume.from_name("b")})

    @app.function(serialized=True, volumes={"/b": gx.Volume.from_name("c")})
    def f() -> None:
        pass

    from gx._manifest import manifest

    assert manifest(app)["functions"][0]["volumes"] == [{"volume": "a", "path": "/a"}, {"volume": "c", "path": "/b"}]


def test_what_a_batch_collects(tmp_path: Path) -> None:
    (tmp_path / "d" / "empty").mkdir(parents=True)
    (tmp_path / "d" / "x.txt").write_text("x")
    (tmp_path / "d" / "x.txt").chmod(0o750)
    (tmp_path / "d" / "again").symlink_to(tmp_path / "d")  # a circle
    (tmp_path / "d" / "link.txt").symlink_to("x.txt")
    batch = BatchUpload(gx.Volume.from_name("v"), False)
    batch.put_directory(tmp_path / "d", "/to/")
    batch.put_file(io.BytesIO(b"bytes"), "object", mode=0o600)
    batch.put_file(tmp_path / "d" / "x.txt", "folder/")
    made = {e["path"]: (e["op"], e.get("mode")) for e in batch._edits}
    assert made.pop("/to/empty")[0] == "mkdir"
    assert made == {
        "/to/x.txt": ("put", 0o750),
        "/to/link.txt": ("put", 0o750),
        "/object": ("put", 0o600),
        "/folder/x.txt": ("put", 0o750),
    }
    with pytest.raises(FileExistsError):
        batch.put_file(io.BytesIO(b""), "/object")
    assert [r for _, r, _ in _walk(str(tmp_path / "d"), False)] == ["link.txt", "x.txt"]


def test_bad_uploads(tmp_path: Path) -> None:
    batch = BatchUpload(gx.Volume.from_name("v"), True)
    with pytest.raises(FileNotFoundError):
        batch.put_file(tmp_path / "missing", "/x")
    with pytest.raises(FileNotFoundError):
        batch.put_directory(tmp_path / "missing", "/x")
    with pytest.raises(InvalidError, match="put_directory"):
        batch.put_file(tmp_path, "/x")
    (tmp_path / "f").write_text("")
    with pytest.raises(InvalidError, match="put_file"):
        batch.put_directory(tmp_path / "f", "/x")
    with pytest.raises(InvalidError, match="binary"):
        batch.put_file(io.StringIO("text"), "/x")  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="no name"):
        batch.put_file(io.BytesIO(b""), "/folder/")
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe, pytest.raises((InvalidError, OSError)):
        batch.put_file(pipe, "/x")
    assert batch._edits == []
