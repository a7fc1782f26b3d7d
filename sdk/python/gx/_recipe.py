"""Recipes of images: the steps as the manifest has them (app.Step), and how one comes after the other."""

from __future__ import annotations

import os

from gx import _files
from gx._place import at, caller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple, Union

    from gx.image import Image

    Words = Union[str, Sequence[str]]
    Env = Optional[Mapping[str, Optional[str]]]


class Step:
    """One step. ``fill`` adds what is read from local files, when the app is started."""

    __slots__ = ("fields", "fill", "place", "force")

    def __init__(
        self,
        fields: Dict[str, Any],
        place: Tuple[str, int],
        fill: Optional[Callable[[Dict[str, Any]], None]] = None,
        force: bool = False,
    ) -> None:
        self.fields = fields
        self.fill = fill
        self.place = place
        self.force = force

    def manifest(self) -> Dict[str, Any]:
        """The step as the manifest has it. Raises InvalidError that names the user's line."""
        fields = dict(self.fields)
        if self.fill is not None:
            from gx.exception import Error

            try:
                self.fill(fields)
            except Error as error:
                raise type(error)(f"{error} {at(self.place)}") from None
        fields["file"], fields["line"] = self.place
        return {name: value for name, value in fields.items() if value or name == "op"}


class Local:
    """Local files that are added when a container starts."""

    def __init__(self, method: str, place: Tuple[str, int], files: Callable[[], List[Dict[str, Any]]]) -> None:
        self.method = method
        self.place = place
        self.files = files

    def manifest(self) -> List[Dict[str, Any]]:
        """The files, as the manifest has them."""
        from gx.exception import Error

        try:
            return self.files()
        except Error as error:
            raise type(error)(f"{error} {at(self.place)}") from None


class Recipe:
    """Steps, one after the other, and local files on top of them. It never changes: what is added makes another."""

    def __init__(self, _steps: Tuple[Step, ...] = (), _local: Tuple[Local, ...] = ()) -> None:
        self._steps = _steps
        self._local = _local

    def _grown(self, steps: Tuple[Step, ...], local: Tuple[Local, ...]) -> Image:
        """An image of these."""
        raise NotImplementedError

    def _unchanged(self) -> Image:
        """This one, where a method has nothing to add."""
        return self  # type: ignore[return-value]  # only Image is made of this

    def _base(
        self,
        fields: Dict[str, Any],
        force: bool,
        fill: Optional[Callable[[Dict[str, Any]], None]] = None,
        env: Env = None,
        secrets: Any = None,
    ) -> Image:
        surrounded = with_environment(str(fields["op"]), fill, env, secrets)
        return self._grown((Step(fields, caller(), surrounded, checked_force(force)),), ())

    def _step(
        self,
        method: str,
        fields: Dict[str, Any],
        force: bool = False,
        fill: Optional[Callable[[Dict[str, Any]], None]] = None,
        env: Env = None,
        secrets: Any = None,
    ) -> Image:
        if not self._steps:
            raise invalid(f"Image.{method}: an image begins with a base: gx.Image.debian_slim().{method}(...)")
        if self._local:
            before = self._local[-1]
            raise invalid(
                f"Image.{method} comes after Image.{before.method} {at(before.place)}: files that are added when a container "
                f"starts must be last; move {before.method} to the end, or make it a layer by copy=True"
            )
        return self._grown((*self._steps, Step(fields, caller(), with_environment(method, fill, env, secrets), checked_force(force))), ())

    def _add(self, method: str, copy: bool, files: Callable[[], List[Dict[str, Any]]]) -> Image:
        if copy:

            def fill(fields: Dict[str, Any]) -> None:
                fields["files"] = files()

            return self._step(method, {"op": "copy"}, False, fill)
        if not self._steps:
            raise invalid(f"Image.{method}: an image begins with a base: gx.Image.debian_slim().{method}(...)")
        return self._grown(self._steps, (*self._local, Local(method, caller(), files)))

    def _manifest(self) -> Dict[str, Any]:
        """The recipe, as the manifest has it (app.Image)."""
        steps = [step.manifest() for step in self._steps]
        forced = [i for i, step in enumerate(self._steps) if step.force]
        if any([os.environ.get(name, "") not in ("", "0") for name in ("GX_FORCE_BUILD", "MODAL_FORCE_BUILD")]):
            forced = [0]
        return {"steps": steps, "force": forced[0] if forced else -1}

    def _destination(self, path: Any, what: str) -> str:
        """Where local files appear: relative to what ``workdir`` has set."""
        folders = [str(step.fields["path"]) for step in self._steps if step.fields["op"] == "workdir"]
        return _files.destination(path, what, base=folders[-1] if folders else "/root")


def words(method: str, values: Sequence[Any], what: str = "packages") -> List[str]:
    """Arguments that may be strings or lists of strings, as one list of strings."""
    out: List[str] = []
    for value in values:
        if isinstance(value, (list, tuple)):
            out += words(method, value, what)
        elif isinstance(value, str):
            out.append(value)
        else:
            raise invalid(f"Image.{method}: {what} are strings or lists of strings, not {type(value).__name__}")
    return out


def with_environment(
    method: str, fill: Optional[Callable[[Dict[str, Any]], None]], env: Any, secrets: Any
) -> Optional[Callable[[Dict[str, Any]], None]]:
    """``fill``, that also adds the variables of a step's commands, which are read when the app is started.

    Values of ``env`` count when it is asked whether the step changed; those of ``secrets`` do not, and are kept nowhere.
    """
    if not env and not secrets:
        return fill
    from gx.secret import Secret, checked, manifest

    if secrets and not all([isinstance(secret, Secret) for secret in secrets]):
        raise invalid(f"Image.{method}: secrets= is a list of gx.Secret")
    plain = checked(env or {}, f"Image.{method}: env=")

    def filled(fields: Dict[str, Any]) -> None:
        if fill is not None:
            fill(fields)
        if plain:
            fields["env"] = plain
        if secrets:
            fields["secrets"] = manifest(secrets, f"Image.{method}")

    return filled


def with_volumes(method: str, fields: Dict[str, Any], volumes: Any) -> Dict[str, Any]:
    """A step that has these volumes while it runs."""
    from gx._volume_mounts import mounts

    return {**fields, "volumes": mounts(volumes, f"Image.{method}")} if volumes else fields


def command_list(method: str, value: Any) -> List[str]:
    """A command as a list of words, for entrypoint, cmd and shell."""
    if not isinstance(value, (list, tuple)) or not all([isinstance(word, str) for word in value]):
        raise invalid(f'Image.{method} takes a list of strings, such as ["/bin/sh", "-c"]')
    return list(value)


class _Auto:
    def __repr__(self) -> str:
        return "AUTO_DOCKERIGNORE"


AUTO_DOCKERIGNORE: Any = _Auto()
"""Means: what the .dockerignore beside the Dockerfile or in the context says."""


def version(what: str, version: Any) -> str:
    """A version of Python as "3.11", "" for None."""
    if version is None:
        return ""
    if isinstance(version, float):
        raise invalid(f'Image.{what}: write the version as a string, "{version}": as a number 3.10 is 3.1')
    parts = version.split(".") if isinstance(version, str) else []
    if len(parts) not in (2, 3) or parts[0] != "3" or not all([part.isdigit() for part in parts]):
        raise invalid(f'Image.{what}: {version!r} is no version of Python such as "3.11"')
    return ".".join(parts[:2])


def strings(method: str, name: str, values: Optional[Mapping[str, Any]]) -> Dict[str, str]:
    """A mapping of strings to strings, as a dict."""
    values = {} if values is None else values
    if not hasattr(values, "items") or not all([isinstance(k, str) and isinstance(v, str) for k, v in values.items()]):
        raise invalid(f"Image.{method}: {name} maps strings to strings")
    return dict(values)


def checked_force(force: Any) -> bool:
    """force_build=, which must be a bool."""
    if not isinstance(force, bool):
        raise invalid(f"force_build={force!r}; it is True or False")
    return force


def no_gpu(method: str, gpu: Any) -> None:
    """Says that a build has no GPU."""
    if gpu:
        from gx._notices import notice
        from gx.gpu import parse

        parse(gpu)
        notice(f"Image.{method}(gpu=...) has no effect: builds on a machine of your own run without a GPU")


def invalid(message: str) -> Exception:
    """InvalidError with this message."""
    from gx.exception import InvalidError

    return InvalidError(message)


def planned(what: str) -> NoReturn:
    """Raises UnimplementedError."""
    from gx._planned import planned

    planned(what)
