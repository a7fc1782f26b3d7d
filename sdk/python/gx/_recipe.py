"""What the methods of Image put into a recipe: steps as the manifest has them (app.Step)."""

from __future__ import annotations

import os
import sys

from gx import _files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, List, Mapping, NoReturn, Optional, Sequence, Tuple

# Options of pip whose value is the next word.
_WITH_VALUE = {
    "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host", "--platform",
    "--python-version", "--implementation", "--abi", "--only-binary", "--no-binary", "--progress-bar",
    "--global-option", "--config-settings", "-C", "-t", "--target", "--prefix", "--root", "--upgrade-strategy",
    "--timeout", "--retries", "--cert", "--client-cert", "--proxy", "--cache-dir", "--src", "--report",
    "--use-feature", "--use-deprecated", "--log", "--exists-action", "--python",
}  # fmt: skip
# Options of pip that name local files.
_LOCAL = {"-r", "--requirement", "-c", "--constraint", "-e", "--editable"}


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
            from gx._place import at
            from gx.exception import Error

            try:
                self.fill(fields)
            except Error as error:
                raise type(error)(f"{error} {at(self.place)}") from None
        fields["file"], fields["line"] = self.place
        return {name: value for name, value in fields.items() if value or name == "op"}


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


def split_packages(method: str, values: Sequence[Any]) -> Tuple[List[str], List[str]]:
    """Packages and the options of pip among them: (packages, options)."""
    packages: List[str] = []
    options: List[str] = []
    todo = words(method, values)[::-1]
    while todo:
        word = todo.pop().strip()
        if not word:
            continue
        if not word.startswith("-"):
            packages.append(word)
            continue
        if " " in word:
            import shlex

            todo += shlex.split(word)[::-1]
            continue
        name, equals, _ = word.partition("=")
        if name in _LOCAL:
            raise invalid(
                f"Image.{method}: {name} names a local file, which a build does not see; "
                "use pip_install_from_requirements, or add_local_dir(..., copy=True) and run_commands"
            )
        options.append(word)
        if name in _WITH_VALUE and not equals:
            if not todo:
                raise invalid(f"Image.{method}: the option {name} needs a value")
            options.append(todo.pop().strip())
    return packages, options


def pip_options(
    find_links: Optional[str], index_url: Optional[str], extra_index_url: Optional[str], pre: bool, extra_options: str
) -> List[str]:
    """The parameters that pip_install and its relatives share, as pip spells them."""
    options: List[str] = []
    for flag, value in (("--find-links", find_links), ("--index-url", index_url), ("--extra-index-url", extra_index_url)):
        if value:
            options += [flag, str(value)]
    if pre:
        options.append("--pre")
    return options + split(extra_options)


def uv_options(
    find_links: Optional[str], index_url: Optional[str], extra_index_url: Optional[str], pre: bool, extra_options: str
) -> List[str]:
    """The same as uv spells them."""
    options: List[str] = []
    for flag, value in (("--find-links", find_links), ("--default-index", index_url), ("--index", extra_index_url)):
        if value:
            options += [flag, str(value)]
    if pre:
        options += ["--prerelease", "allow"]
    return options + split(extra_options)


def split(options: str) -> List[str]:
    """Options that are written in one string."""
    if not options:
        return []
    import shlex

    return shlex.split(options)


def repeated(flag: str, values: Optional[Sequence[str]]) -> List[str]:
    """An option once for each of its values."""
    values = [values] if isinstance(values, str) else values or ()
    return [word for value in values for word in (flag, str(value))]


def tool(method: str, name: str, version: Optional[str]) -> str:
    """The version of a tool that installs packages; "" is the newest."""
    if version is None:
        return ""
    if not isinstance(version, str) or not version or not all([c.isalnum() or c in "._-+!" for c in version]):
        raise invalid(f'Image.{method}({name}={version!r}); it is a version such as "1.2.3"')
    return version


def project(folder: str, lock: str, needed: bool, what: str, why: str) -> List[Dict[str, Any]]:
    """The files of a local project that say what it needs."""
    files = _files.one(os.path.join(folder, "pyproject.toml"), "/pyproject.toml", what)
    path = os.path.join(folder, lock)
    if needed or os.path.exists(path):
        files += lock_file(path, "/" + lock, what, why)
    return files


def lock_file(path: str, remote: str, what: str, why: str) -> List[Dict[str, Any]]:
    """A lock file, which must be there; ``why`` says what to do if it is not."""
    if not os.path.exists(path):
        raise invalid(f"{what}: there is no {path}: {why}")
    return _files.one(path, remote, what)


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


def pyproject_packages(path: str, optional: Iterable[str], what: str) -> List[str]:
    """The dependencies that a pyproject.toml names."""
    text = _files.read_text(path, what)
    try:
        project = _toml()(text).get("project")
    except ValueError as error:
        raise invalid(f"{what}: {path} is not TOML: {error}") from None
    if not isinstance(project, dict) or "dependencies" not in project:
        raise invalid(f"{what}: {path} has no project.dependencies")
    packages = list(project["dependencies"])
    extras = project.get("optional-dependencies", {})
    for name in optional:
        if name not in extras:
            raise invalid(f"{what}: {path} has no optional dependencies {name!r}; it has {', '.join(sorted(extras)) or 'none'}")
        packages += extras[name]
    return packages


def _toml() -> Callable[[str], Dict[str, Any]]:
    """A reader of TOML: Python's own from 3.11 on, else one that is installed, else pip's."""
    for module in ("tomllib", "tomli", "pip._vendor.tomli"):
        try:
            loads = __import__(module, fromlist=["loads"]).loads
        except ImportError:
            continue
        return loads  # type: ignore[no-any-return]
    raise invalid("Image.pip_install_from_pyproject: this Python can't read TOML; use Python 3.11 or newer, or install tomli")


def context_files(context_dir: Optional[str], mount: Any, ignore: Any, dockerfile: str, what: str) -> List[Dict[str, Any]]:
    """The files of a build's context."""
    if mount is not None:
        from gx.mount import Mount

        if not isinstance(mount, Mount):
            raise invalid(f"{what}: context_mount= is a gx.Mount, not a {type(mount).__name__}")
        return mount._list()
    if context_dir is None:
        return []
    from gx._ignore import Ignoring
    from gx._tree import tree
    from gx.file_pattern_matcher import FilePatternMatcher, matcher

    if ignore is AUTO_DOCKERIGNORE:
        for file in (dockerfile + ".dockerignore" if dockerfile else "", os.path.join(context_dir, ".dockerignore")):
            if file:
                sys.audit("gx.input", file)
            if file and os.path.isfile(file):
                return tree(context_dir, "/", Ignoring(FilePatternMatcher.from_file(file)), what)
        ignore = None
    return tree(context_dir, "/", Ignoring(matcher(ignore)), what)


def needs_context(dockerfile: str) -> bool:
    """Whether a Dockerfile copies anything from its context."""
    for line in dockerfile.splitlines():
        parts = line.split()
        if parts and parts[0].upper() in ("COPY", "ADD"):
            sources = [part for part in parts[1:] if not part.startswith("--")]
            if not any([part.startswith("--from=") for part in parts]) and not all(
                [part.startswith(("http://", "https://", "git@", "<<")) for part in sources[:-1]]
            ):
                return True
        if parts and parts[0].upper() == "RUN" and any([p.startswith("--mount=") and "bind" in p and "from=" not in p for p in parts]):
            return True
    return False


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
