"""``volumes=`` of functions: which volumes are where in a container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional


def mounts(volumes: Optional[Mapping[Any, Any]], what: str) -> List[Dict[str, Any]]:
    """``volumes=`` of a function as the manifest has it (app.VolumeMount). Raises InvalidError."""
    from gx.cloud_bucket_mount import CloudBucketMount
    from gx.exception import InvalidError
    from gx.volume import Volume

    if not volumes:
        return []
    if not hasattr(volumes, "items"):
        raise InvalidError(f"{what}: volumes= maps paths in the container to volumes: {{'/data': gx.Volume.from_name('data')}}")
    made: Dict[str, Dict[str, Any]] = {}
    seen: Dict[Any, str] = {}
    for key, volume in volumes.items():
        path = _mount_path(key, what)
        if isinstance(volume, type) or not isinstance(volume, Volume):
            if isinstance(volume, CloudBucketMount):
                from gx._planned import planned

                planned(f"{what}: a CloudBucketMount in volumes=")
            raise InvalidError(f"{what}: volumes={{{path!r}: ...}} is a gx.Volume, not a {type(volume).__name__}")
        if path in made:
            raise InvalidError(f"{what}: volumes= has {path!r} twice")
        same = (volume._environment, volume._name, volume._found if not volume._name else "", volume._sub_path)
        if same in seen:
            raise InvalidError(f"{what}: {volume!r} is mounted twice, at {seen[same]} and {path}")
        seen[same] = path
        mount: Dict[str, Any] = {"volume": volume._name or volume._found, "path": path}
        if not volume._name:
            mount["id"] = True
        elif volume._environment:
            mount["environment"] = volume._environment
        for field, value in (("read_only", volume._read_only), ("sub_path", volume._sub_path), ("create", volume._create)):
            if value:
                mount[field] = value
        made[path] = mount
    for path in made:
        for other in made:
            if other.startswith(path + "/"):
                raise InvalidError(f"{what}: volumes= has {other!r} within {path!r}, another volume")
    return list(made.values())


def _mount_path(key: Any, what: str) -> str:
    from posixpath import normpath

    from gx.exception import InvalidError

    text = str(key)
    if not text.startswith("/") or "\0" in text or ".." in text.split("/"):
        raise InvalidError(f"{what}: volumes={{{text!r}: ...}}: the path in the container is absolute: '/data'")
    path = "/" + normpath(text).lstrip("/")
    if path in ("/", "/root", "/tmp", "/proc", "/sys", "/dev") or path.startswith(("/proc/", "/sys/", "/dev/")):
        raise InvalidError(f"{what}: a volume cannot be mounted at {path!r}: other things of the container are there")
    return path
