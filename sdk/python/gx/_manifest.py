"""An app as data (app.Manifest): what is sent to the host."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Union

    from gx.app import App
    from gx.cls import Cls
    from gx.function import Function
    from gx.image import Image

VERSION = 1


def manifest(app: App, name: Optional[str] = None, environment: Optional[str] = None) -> Dict[str, Any]:
    """Everything that the app declares. Raises InvalidError, also for local files that are missing."""
    from gx._environment import current
    from gx._version import __version__

    made = _Making(app)
    functions = [made.function(declared) for declared in app._declared()]
    return {
        "version": VERSION,
        "name": name or app.name or "",
        "environment": current(environment),
        "sdk": __version__,
        "python": "%d.%d" % sys.version_info[:2],
        "file": _near(made.file),
        "functions": functions,
        "images": made.images,
        "mounts": made.mounts,
    }


class _Making:
    """Collects the images and mounts that functions refer to by number."""

    def __init__(self, app: App) -> None:
        from gx.image import Image

        self.app = app
        self.images: List[Dict[str, Any]] = []
        self.mounts: List[Dict[str, Any]] = []
        self.file = app._place[0]
        self._image_numbers: Dict[int, int] = {}
        self._mount_numbers: Dict[str, int] = {}
        self._kept: List[Image] = []  # those that are numbered by their ids
        self._default: Image = Image.debian_slim()
        self._source: Optional[int] = None

    def function(self, function: Union[Function, Cls]) -> Dict[str, Any]:
        """One function or class, as app.Function has it."""
        from gx._former import completed
        from gx._place import defined
        from gx._sources import module_place
        from gx.secret import checked, manifest

        settings, shared = function._settings, function._app._shared
        image = settings.image or function._app.image or self.app.image or self._default
        kind, rest = _kind(function), settings.manifest()
        image = completed(image, function, [rest.get("web"), *[method.get("web") for method in kind.get("methods") or ()]])
        self._kept.append(image)
        payload = b""
        if _by_value(function):
            from gx._serialized import dumps

            payload = dumps(function._raw, settings.what, settings.serialized)
        fields: Dict[str, Any] = {
            "name": function._name,
            "module": module_place(function._raw.__module__)[0],
            "qualname": function._raw.__qualname__,
            "file": _near(defined(function._raw)[0]),
            "line": defined(function._raw)[1],
            **kind,
            "image": self.image(image),
            "mounts": self.function_mounts(function, image),
            "volumes": settings.mounted(shared.volumes) if settings.volumes or shared.volumes else [],
            "env": checked(settings.env or {}, f"{settings.what}: env="),
            "secrets": manifest([*shared.secrets, *settings.secrets], settings.what),
            **rest,
        }
        if payload:
            fields["payload"] = payload
        return {name: value for name, value in fields.items() if value or name in _ALWAYS}

    def image(self, image: Image) -> int:
        """The number of an image."""
        number = self._image_numbers.get(id(image))
        if number is None:
            if not image._steps:
                from gx.exception import InvalidError

                raise InvalidError("an image begins with a base, such as gx.Image.debian_slim()")
            recipe = image._manifest()
            same = [i for i, other in enumerate(self.images) if other == recipe]
            number = same[0] if same else len(self.images)
            if not same:
                self.images.append(recipe)
            self._image_numbers[id(image)] = number
        return number

    def function_mounts(self, function: Union[Function, Cls], image: Image) -> List[int]:
        """The numbers of a function's mounts: its source first, so that what the user names wins."""
        settings, shared = function._settings, function._app._shared
        numbers: List[int] = []
        include = shared.include_source if settings.include_source is None else settings.include_source
        if _by_value(function):
            from gx import _serialized

            numbers.append(self.mount("cloudpickle", _serialized.files))
        elif include is None or include:
            numbers.append(self.source())
        for local in image._local:
            numbers.append(self.mount(f"local {id(local)}", local.manifest))
        for mount in [*shared.mounts, *settings.mounts]:
            numbers.append(self.mount(f"mount {id(mount)}", mount._list))
        return numbers

    def source(self) -> int:
        """The number of the mount with the user's own Python files."""
        if self._source is None:
            from gx._sources import automatic

            names: List[str] = []
            for function in self.app._declared():
                if not _by_value(function) and function._raw.__module__ not in names:
                    names.append(function._raw.__module__)
            self._source = self.mount("source", lambda: automatic(names))
        return self._source

    def mount(self, key: str, files: Any) -> int:
        """The number of a mount, whose files are listed once."""
        number = self._mount_numbers.get(key)
        if number is None:
            number = self._mount_numbers[key] = len(self.mounts)
            self.mounts.append({"files": files()})
        return number


# Fields that are there even if they say nothing.
_ALWAYS = ("name", "image", "cpu", "memory", "retries", "scaling", "timeout", "startup_timeout", "concurrency")


def _kind(function: Union[Function, Cls]) -> Dict[str, Any]:
    from gx.function import Function

    if isinstance(function, Function):
        return {"generator": function.is_generator}
    methods = function._methods()
    kind = {"class": True, "methods": methods, "parametrized": function._constructor.needed()}
    if any("web" in method for method in methods):
        kind["parameters"] = function._constructor.queried()
    return kind


def _near(file: str) -> str:
    """A file as the user would name it from here."""
    if not file or file.startswith("<"):
        return ""
    try:
        near = os.path.relpath(file)
    except (OSError, ValueError):
        return file
    return file if near.startswith("..") else near


def _by_value(function: Union[Function, Cls]) -> bool:
    """Whether it is sent by value, because it was asked for or no file has it."""
    if function._settings.serialized:
        return True
    from gx._serialized import without_file

    return without_file(function._raw.__module__)
