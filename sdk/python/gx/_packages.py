"""The methods of Image that install packages."""

from __future__ import annotations

import os

from gx import _files, _recipe
from gx._recipe import Recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

    from gx._recipe import Env, Words
    from gx.image import Image

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


class Packages(Recipe):
    """Steps that install packages: Python's by pip, uv or Poetry, and Debian's."""

    def pip_install(
        self,
        *packages: Words,
        find_links: Optional[str] = None,
        index_url: Optional[str] = None,
        extra_index_url: Optional[str] = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Env = None,
        secrets: Any = None,
        gpu: Any = None,
    ) -> Image:
        """Installs Python packages with pip, whose options may stand among them."""
        _recipe.no_gpu("pip_install", gpu)
        names, options = _split_packages("pip_install", packages)
        options += _pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        if not names:
            return self._unchanged()
        return self._step("pip_install", {"op": "pip_install", "packages": names, "options": options}, force_build, env=env, secrets=secrets)

    def uv_pip_install(
        self,
        *packages: Words,
        requirements: Optional[Sequence[str]] = None,
        find_links: Optional[str] = None,
        index_url: Optional[str] = None,
        extra_index_url: Optional[str] = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        uv_version: Optional[str] = None,
        env: Env = None,
        secrets: Any = None,
        gpu: Any = None,
    ) -> Image:
        """Installs Python packages with uv, which is not in the image; ``requirements``: local requirements files."""
        what = "Image.uv_pip_install"
        _recipe.no_gpu("uv_pip_install", gpu)
        names, options = _split_packages("uv_pip_install", packages)
        options += _uv_options(find_links, index_url, extra_index_url, pre, extra_options)
        paths = [_files.local_path(path, what) for path in ([requirements] if isinstance(requirements, str) else requirements or ())]
        if not names and not paths:
            return self._unchanged()

        def fill(fields: Dict[str, Any]) -> None:
            fields["requirements"] = "\n".join([_files.read_text(path, what) for path in paths])

        fields = {"op": "uv_pip_install", "packages": names, "options": options, "tool": _tool("uv_pip_install", "uv_version", uv_version)}
        return self._step("uv_pip_install", fields, force_build, fill, env, secrets)

    def uv_sync(
        self,
        uv_project_dir: Any = "./",
        *,
        force_build: bool = False,
        groups: Optional[Sequence[str]] = None,
        extras: Optional[Sequence[str]] = None,
        frozen: bool = True,
        extra_options: str = "",
        uv_version: Optional[str] = None,
        env: Env = None,
        secrets: Any = None,
        gpu: Any = None,
    ) -> Image:
        """Installs what the uv.lock of a local project names, but not the project itself, into the image's Python.

        With ``frozen=False`` the lock file may be missing or older than pyproject.toml. ``extra_options`` are of ``uv export``.
        """
        what = "Image.uv_sync"
        _recipe.no_gpu("uv_sync", gpu)
        folder = _files.local_path(uv_project_dir, what)

        def fill(fields: Dict[str, Any]) -> None:
            from gx._projects import project

            fields["files"] = project(folder, "uv.lock", frozen, what, "`uv lock` makes it, frozen=False does without")

        options = ["--frozen"] if frozen else []
        options += _repeated("--group", groups) + _repeated("--extra", extras) + _split(extra_options)
        fields = {"op": "uv_sync", "options": options, "tool": _tool("uv_sync", "uv_version", uv_version)}
        return self._step("uv_sync", fields, force_build, fill, env, secrets)

    def poetry_install_from_file(
        self,
        poetry_pyproject_toml: Any,
        poetry_lockfile: Any = None,
        *,
        ignore_lockfile: bool = False,
        force_build: bool = False,
        with_: Sequence[str] = (),
        without: Sequence[str] = (),
        only: Sequence[str] = (),
        poetry_version: Optional[str] = "latest",
        old_installer: bool = False,
        env: Env = None,
        secrets: Any = None,
        gpu: Any = None,
    ) -> Image:
        """Installs what the poetry.lock beside a local pyproject.toml names, but not the project itself, into the image's Python.

        ``with_``, ``without``, ``only``: groups of dependencies. ``ignore_lockfile=True`` locks anew in the build.
        """
        what = "Image.poetry_install_from_file"
        _recipe.no_gpu("poetry_install_from_file", gpu)
        file = _files.local_path(poetry_pyproject_toml, what)
        lock = None if poetry_lockfile is None else _files.local_path(poetry_lockfile, what)
        if old_installer:
            from gx._notices import notice

            notice(f"{what}(old_installer=True) has no effect: pip installs what the lock file names")

        def fill(fields: Dict[str, Any]) -> None:
            fields["files"] = _files.one(file, "/pyproject.toml", what)
            if not ignore_lockfile:
                from gx._projects import lock_file

                why = "`poetry lock` makes it, ignore_lockfile=True does without"
                fields["files"] += lock_file(lock or os.path.join(os.path.dirname(file), "poetry.lock"), "/poetry.lock", what, why)

        options = [
            word
            for name, values in (("--with", with_), ("--without", without), ("--only", only))
            for word in _repeated(name, values)
        ]
        version = _tool("poetry_install_from_file", "poetry_version", None if poetry_version == "latest" else poetry_version)
        fields = {"op": "poetry_install_from_file", "options": options, "tool": version}
        return self._step("poetry_install_from_file", fields, force_build, fill, env, secrets)

    def pip_install_from_requirements(
        self,
        requirements_txt: Any,
        find_links: Optional[str] = None,
        *,
        index_url: Optional[str] = None,
        extra_index_url: Optional[str] = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Env = None,
        secrets: Any = None,
        gpu: Any = None,
    ) -> Image:
        """Installs what a local requirements file names."""
        _recipe.no_gpu("pip_install_from_requirements", gpu)
        path = _files.local_path(requirements_txt, "Image.pip_install_from_requirements")

        def fill(fields: Dict[str, Any]) -> None:
            fields["requirements"] = _files.read_text(path, "Image.pip_install_from_requirements") or "\n"

        options = _pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        return self._step("pip_install_from_requirements", {"op": "pip_install", "options": options}, force_build, fill, env, secrets)

    def pip_install_from_pyproject(
        self,
        pyproject_toml: Any,
        optional_dependencies: Sequence[str] = (),
        *,
        find_links: Optional[str] = None,
        index_url: Optional[str] = None,
        extra_index_url: Optional[str] = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Env = None,
        secrets: Any = None,
        gpu: Any = None,
    ) -> Image:
        """Installs the dependencies that a local pyproject.toml names, and those optional ones."""
        _recipe.no_gpu("pip_install_from_pyproject", gpu)
        what = "Image.pip_install_from_pyproject"
        path, optional = _files.local_path(pyproject_toml, what), list(optional_dependencies)

        def fill(fields: Dict[str, Any]) -> None:
            from gx._projects import pyproject_packages

            fields["packages"] = pyproject_packages(path, optional, what)

        options = _pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        return self._step("pip_install_from_pyproject", {"op": "pip_install", "options": options}, force_build, fill, env, secrets)

    def apt_install(
        self, *packages: Words, force_build: bool = False, env: Env = None, secrets: Any = None, gpu: Any = None
    ) -> Image:
        """Installs Debian packages."""
        _recipe.no_gpu("apt_install", gpu)
        names = _recipe.words("apt_install", packages)
        if not names:
            return self._unchanged()
        return self._step("apt_install", {"op": "apt_install", "packages": names}, force_build, env=env, secrets=secrets)


def _split_packages(method: str, values: Sequence[Any]) -> Tuple[List[str], List[str]]:
    """Packages and the options of pip among them: (packages, options)."""
    packages: List[str] = []
    options: List[str] = []
    todo = _recipe.words(method, values)[::-1]
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
            raise _recipe.invalid(
                f"Image.{method}: {name} names a local file, which a build does not see; "
                "use pip_install_from_requirements, or add_local_dir(..., copy=True) and run_commands"
            )
        options.append(word)
        if name in _WITH_VALUE and not equals:
            if not todo:
                raise _recipe.invalid(f"Image.{method}: the option {name} needs a value")
            options.append(todo.pop().strip())
    return packages, options


def _pip_options(
    find_links: Optional[str], index_url: Optional[str], extra_index_url: Optional[str], pre: bool, extra_options: str
) -> List[str]:
    """The parameters that pip_install and its relatives share, as pip spells them."""
    options: List[str] = []
    for flag, value in (("--find-links", find_links), ("--index-url", index_url), ("--extra-index-url", extra_index_url)):
        if value:
            options += [flag, str(value)]
    if pre:
        options.append("--pre")
    return options + _split(extra_options)


def _uv_options(
    find_links: Optional[str], index_url: Optional[str], extra_index_url: Optional[str], pre: bool, extra_options: str
) -> List[str]:
    """The same as uv spells them."""
    options: List[str] = []
    for flag, value in (("--find-links", find_links), ("--default-index", index_url), ("--index", extra_index_url)):
        if value:
            options += [flag, str(value)]
    if pre:
        options += ["--prerelease", "allow"]
    return options + _split(extra_options)


def _split(options: str) -> List[str]:
    """Options that are written in one string."""
    if not options:
        return []
    import shlex

    return shlex.split(options)


def _repeated(flag: str, values: Optional[Sequence[str]]) -> List[str]:
    """An option once for each of its values."""
    values = [values] if isinstance(values, str) else values or ()
    return [word for value in values for word in (flag, str(value))]


def _tool(method: str, name: str, version: Optional[str]) -> str:
    """The version of a tool that installs packages; "" is the newest."""
    if version is None:
        return ""
    if not isinstance(version, str) or not version or not all([c.isalnum() or c in "._-+!" for c in version]):
        raise _recipe.invalid(f'Image.{method}({name}={version!r}); it is a version such as "1.2.3"')
    return version
