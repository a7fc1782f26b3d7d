"""Images: what the containers of a function have in them."""

from __future__ import annotations

import os

from gx import _files, _recipe
from gx._place import at, caller
from gx._planned import PlannedName
from gx._recipe import AUTO_DOCKERIGNORE, Step, invalid, planned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple, Union

    from gx._imports import Imports

    Words = Union[str, Sequence[str]]
    Env = Optional[Mapping[str, Optional[str]]]


class _Local:
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


class Image:
    """A recipe for an image. Each method returns a new Image that has one step more."""

    def __init__(self, _steps: Tuple[Step, ...] = (), _local: Tuple[_Local, ...] = ()) -> None:
        self._steps = _steps
        self._local = _local
        self._import_error: Optional[BaseException] = None  # the first in a block of imports()

    def __repr__(self) -> str:
        return f"gx.Image({' > '.join([str(step.fields['op']) for step in self._steps])})"

    # -- bases --

    @staticmethod
    def debian_slim(python_version: Optional[str] = None, force_build: bool = False) -> Image:
        """A small Debian with Python: by default the version that runs this program, or the nearest."""
        version = _recipe.version("debian_slim(python_version=...)", python_version)
        return Image()._base({"op": "debian_slim", "python": version}, force_build)

    @staticmethod
    def from_registry(
        tag: str,
        secret: Any = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        force_build: bool = False,
        add_python: Optional[str] = None,
        **_: Any,
    ) -> Image:
        """An image of a registry; ``add_python="3.11"`` adds a Python where it has none.

        ``secret`` is a gx.Secret with REGISTRY_USERNAME and REGISTRY_PASSWORD, where the
        registry asks for them. It is for the pull alone, and in no image.
        """
        if not isinstance(tag, str) or not tag or any([c.isspace() for c in tag]):
            raise invalid(f"Image.from_registry: {tag!r} is no reference to an image")
        setup = _recipe.words("from_registry", [setup_dockerfile_commands], "setup_dockerfile_commands")
        fields = {"op": "registry", "tag": tag, "setup": setup, "add_python": _recipe.version("from_registry(add_python=...)", add_python)}
        return Image()._base(fields, force_build, secrets=[secret] if secret is not None else None)

    @staticmethod
    def from_gcp_artifact_registry(
        tag: str,
        secret: Any = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        force_build: bool = False,
        add_python: Optional[str] = None,
        **_: Any,
    ) -> Image:
        """As ``from_registry``, for Google's registries: ``secret`` has SERVICE_ACCOUNT_JSON, a key of a service account."""
        return Image.from_registry(
            tag, secret, setup_dockerfile_commands=setup_dockerfile_commands, force_build=force_build, add_python=add_python
        )

    @staticmethod
    def from_scratch(force_build: bool = False) -> Image:
        """An image with nothing in it."""
        return Image()._base({"op": "scratch"}, force_build)

    @staticmethod
    def from_dockerfile(
        path: Any,
        context_mount: Any = None,
        force_build: bool = False,
        *,
        context_dir: Any = None,
        env: Env = None,
        secrets: Any = None,
        gpu: Any = None,
        add_python: Optional[str] = None,
        build_args: Optional[Mapping[str, str]] = None,
        ignore: Any = AUTO_DOCKERIGNORE,
    ) -> Image:
        """What a Dockerfile makes; its context is ``context_dir``, by default the Dockerfile's folder if it copies from it."""
        _recipe.no_gpu("from_dockerfile", gpu)
        file = _files.local_path(path, "Image.from_dockerfile")
        folder = None if context_dir is None else _files.local_path(context_dir, "Image.from_dockerfile")
        _older_context(context_mount, "from_dockerfile")

        def fill(fields: Dict[str, Any]) -> None:
            text = fields["dockerfile"] = _files.read_text(file, "Image.from_dockerfile")
            context = folder
            if context is None and context_mount is None and _recipe.needs_context(text):
                context = os.path.dirname(file)
            fields["files"] = _recipe.context_files(context, context_mount, ignore, file, "Image.from_dockerfile")

        fields = {
            "op": "dockerfile",
            "add_python": _recipe.version("from_dockerfile(add_python=...)", add_python),
            "build_args": _recipe.strings("from_dockerfile", "build_args", build_args),
        }
        return Image()._base(fields, force_build, fill, env, secrets)

    # -- packages --

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
        names, options = _recipe.split_packages("pip_install", packages)
        options += _recipe.pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        if not names:
            return self
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
        names, options = _recipe.split_packages("uv_pip_install", packages)
        options += _recipe.uv_options(find_links, index_url, extra_index_url, pre, extra_options)
        paths = [_files.local_path(path, what) for path in ([requirements] if isinstance(requirements, str) else requirements or ())]
        if not names and not paths:
            return self

        def fill(fields: Dict[str, Any]) -> None:
            fields["requirements"] = "\n".join([_files.read_text(path, what) for path in paths])

        fields = {"op": "uv_pip_install", "packages": names, "options": options, "tool": _recipe.tool("uv_pip_install", "uv_version", uv_version)}
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
            fields["files"] = _recipe.project(folder, "uv.lock", frozen, what, "`uv lock` makes it, frozen=False does without")

        options = ["--frozen"] if frozen else []
        options += _recipe.repeated("--group", groups) + _recipe.repeated("--extra", extras) + _recipe.split(extra_options)
        fields = {"op": "uv_sync", "options": options, "tool": _recipe.tool("uv_sync", "uv_version", uv_version)}
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
                why = "`poetry lock` makes it, ignore_lockfile=True does without"
                fields["files"] += _recipe.lock_file(lock or os.path.join(os.path.dirname(file), "poetry.lock"), "/poetry.lock", what, why)

        options = [
            word
            for name, values in (("--with", with_), ("--without", without), ("--only", only))
            for word in _recipe.repeated(name, values)
        ]
        version = _recipe.tool("poetry_install_from_file", "poetry_version", None if poetry_version == "latest" else poetry_version)
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

        options = _recipe.pip_options(find_links, index_url, extra_index_url, pre, extra_options)
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
            fields["packages"] = _recipe.pyproject_packages(path, optional, what)

        options = _recipe.pip_options(find_links, index_url, extra_index_url, pre, extra_options)
        return self._step("pip_install_from_pyproject", {"op": "pip_install", "options": options}, force_build, fill, env, secrets)

    def apt_install(
        self, *packages: Words, force_build: bool = False, env: Env = None, secrets: Any = None, gpu: Any = None
    ) -> Image:
        """Installs Debian packages."""
        _recipe.no_gpu("apt_install", gpu)
        names = _recipe.words("apt_install", packages)
        if not names:
            return self
        return self._step("apt_install", {"op": "apt_install", "packages": names}, force_build, env=env, secrets=secrets)

    # -- commands and settings --

    def run_commands(
        self,
        *commands: Words,
        env: Env = None,
        secrets: Any = None,
        volumes: Any = None,
        gpu: Any = None,
        force_build: bool = False,
    ) -> Image:
        """Runs shell commands, one after the other, in one layer; ``env`` is for them alone.

        ``volumes`` maps paths to gx.Volume: they are there while the commands run, and what these
        write into them is committed when they have ended well. They are no part of the image.
        """
        _recipe.no_gpu("run_commands", gpu)
        lines = _recipe.words("run_commands", commands, "commands")
        if not lines:
            return self
        fields = _recipe.with_volumes("run_commands", {"op": "run_commands", "commands": lines}, volumes)
        return self._step("run_commands", fields, force_build, env=env, secrets=secrets)

    def run_function(
        self,
        raw_f: Callable,
        *,
        env: Env = None,
        secrets: Any = None,
        volumes: Any = None,
        network_file_systems: Any = None,
        gpu: Any = None,
        cpu: Any = None,
        memory: Any = None,
        timeout: Optional[int] = 60 * 60,
        cloud: Optional[str] = None,
        region: Any = None,
        force_build: bool = False,
        args: Sequence[Any] = (),
        kwargs: Optional[Mapping[str, Any]] = None,
        include_source: bool = True,
    ) -> Image:
        """Runs a Python function in the image so far; what it writes becomes a part of the image.

        It runs again when its source changes, or that of the user's own functions that it calls, the values of the
        globals that it uses, ``args``, ``kwargs``, ``env``, or anything before it in the image. ``timeout``: seconds.
        ``volumes`` are as those of ``run_commands``.
        """
        raw = getattr(raw_f, "_raw", raw_f)
        if not callable(raw) or not hasattr(raw, "__qualname__"):
            raise _recipe.invalid(f"Image.run_function takes a function, not a {type(raw_f).__name__}")
        if network_file_systems:
            planned("Image.run_function(network_file_systems=...)")
        for name, value in (("cpu", cpu), ("memory", memory), ("cloud", cloud), ("region", region)):
            if value:
                from gx._notices import notice

                notice(f"Image.run_function({name}=...) has no effect: builds on a machine of your own use what it has")
        _recipe.no_gpu("run_function", gpu)
        if timeout is not None and (not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or timeout <= 0):
            raise _recipe.invalid(f"Image.run_function(timeout={timeout!r}); it is a number of seconds above 0")

        def fill(fields: Dict[str, Any]) -> None:
            from gx._build_function import fields as function

            fields.update(function(raw, args, kwargs or {}, include_source))

        fields = _recipe.with_volumes("run_function", {"op": "run_function", "timeout": float(timeout or 0)}, volumes)
        return self._step("run_function", fields, force_build, fill, env, secrets)

    def dockerfile_commands(
        self,
        *dockerfile_commands: Words,
        context_files: Optional[Mapping[str, str]] = None,
        env: Env = None,
        secrets: Any = None,
        gpu: Any = None,
        context_dir: Any = None,
        context_mount: Any = None,
        force_build: bool = False,
        ignore: Any = AUTO_DOCKERIGNORE,
        build_args: Optional[Mapping[str, str]] = None,
    ) -> Image:
        """Goes on with commands of a Dockerfile. ``context_files`` maps paths in the context to local files."""
        what = "Image.dockerfile_commands"
        _recipe.no_gpu("dockerfile_commands", gpu)
        _older_context(context_mount, "dockerfile_commands")
        lines = _recipe.words("dockerfile_commands", dockerfile_commands, "commands")
        if not lines:
            return self
        text = "\n".join(lines)
        single = [(_files.local_path(local, what), "/" + remote.lstrip("/")) for remote, local in (context_files or {}).items()]
        folder = None if context_dir is None else _files.local_path(context_dir, what)
        here = os.getcwd()

        def fill(fields: Dict[str, Any]) -> None:
            context = folder
            if context is None and context_mount is None and not single and _recipe.needs_context(text):
                context = here
            files = _recipe.context_files(context, context_mount, ignore, "", what)
            for local, remote in single:
                files += _files.one(local, remote, what)
            fields["files"] = files

        fields = {
            "op": "dockerfile_commands",
            "dockerfile": text,
            "build_args": _recipe.strings("dockerfile_commands", "build_args", build_args),
        }
        return self._step("dockerfile_commands", fields, force_build, fill, env, secrets)

    def env(self, vars: Mapping[str, str]) -> Image:
        """Sets environment variables."""
        values = _recipe.strings("env", "vars", vars)
        return self._step("env", {"op": "env", "env": values}) if values else self

    def workdir(self, path: Any) -> Image:
        """Sets the working directory of the steps that follow, and of functions."""
        return self._step("workdir", {"op": "workdir", "path": _files.remote_path(path, "Image.workdir")})

    def entrypoint(self, entrypoint_commands: Sequence[str]) -> Image:
        """Sets the command that what runs in the image is given to."""
        return self._step("entrypoint", {"op": "entrypoint", "commands": _recipe.command_list("entrypoint", entrypoint_commands)})

    def cmd(self, cmd: Sequence[str]) -> Image:
        """Sets the image's default command."""
        return self._step("cmd", {"op": "cmd", "commands": _recipe.command_list("cmd", cmd)})

    def shell(self, shell_commands: Sequence[str]) -> Image:
        """Sets the shell that runs the commands that follow."""
        return self._step("shell", {"op": "shell", "commands": _recipe.command_list("shell", shell_commands)})

    # -- local files --

    def add_local_file(self, local_path: Any, remote_path: Any, *, copy: bool = False) -> Image:
        """Adds a file when a container starts, or with ``copy=True`` as a layer.

        A remote path with a slash at its end is a folder; a relative one is below what ``workdir`` has set, else /root.
        """
        what = "Image.add_local_file"
        local, remote = _files.local_path(local_path, what), self._destination(remote_path, what)
        if remote.endswith("/"):
            remote += os.path.basename(local)
        return self._add("add_local_file", copy, lambda: _files.one(local, remote, what))

    def add_local_dir(self, local_path: Any, remote_path: Any, *, copy: bool = False, ignore: Any = ()) -> Image:
        """Adds what is in a folder when a container starts, or with ``copy=True`` as a layer.

        ``ignore``: patterns as in a .dockerignore, a function that is given each path relative to the folder and says
        whether it is left out, or a FilePatternMatcher. Without it a .dockerignore in the folder, or in the working
        directory if the folder is below that, counts; a .gxignore there counts always.
        """
        from gx._ignore import Ignore

        what = "Image.add_local_dir"
        local, remote, skip = _files.local_path(local_path, what), self._destination(remote_path, what), Ignore(ignore)
        return self._add("add_local_dir", copy, lambda: _tree(local, remote, skip.of(local), what))

    def add_local_python_source(self, *modules: str, copy: bool = False, ignore: Any = None) -> Image:
        """Adds local modules or packages, found as ``import`` finds them, to where a container can import them.

        Of packages only Python files, unless ``ignore`` says otherwise (see ``add_local_dir``).
        """
        from gx._ignore import Ignore
        from gx.file_pattern_matcher import NON_PYTHON_FILES

        names = _recipe.words("add_local_python_source", modules, "modules")
        skip = Ignore(NON_PYTHON_FILES if ignore is None else ignore)

        def files() -> List[Dict[str, Any]]:
            from gx._sources import module_files

            return [file for name in names for file in module_files(name, skip)]

        return self._add("add_local_python_source", copy, files)

    def _destination(self, path: Any, what: str) -> str:
        """Where local files appear: relative to what ``workdir`` has set."""
        folders = [str(step.fields["path"]) for step in self._steps if step.fields["op"] == "workdir"]
        return _files.destination(path, what, base=folders[-1] if folders else "/root")

    def copy_local_file(self, local_path: Any, remote_path: Any = "./") -> Image:
        """The older way to ``add_local_file(..., copy=True)``."""
        _older("Image.copy_local_file", "Image.add_local_file(..., copy=True)")
        return self.add_local_file(local_path, remote_path, copy=True)

    def copy_local_dir(self, local_path: Any, remote_path: Any = ".", ignore: Any = ()) -> Image:
        """The older way to ``add_local_dir(..., copy=True)``."""
        _older("Image.copy_local_dir", "Image.add_local_dir(..., copy=True)")
        return self.add_local_dir(local_path, remote_path, copy=True, ignore=ignore)

    def copy_mount(self, mount: Any, remote_path: Any = ".") -> Image:
        """The older way to ``add_local_dir(..., copy=True)``."""
        _older("Image.copy_mount", "Image.add_local_dir(..., copy=True)")
        below = "" if remote_path in (".", "./", None) else self._destination(remote_path, "Image.copy_mount").rstrip("/")

        def files() -> List[Dict[str, Any]]:
            return [{**file, "remote": below + str(file["remote"])} for file in mount._list()]

        return self._add("copy_mount", True, files)

    # -- other --

    def pipe(self, func: Callable[..., Image], *args: Any, **kwargs: Any) -> Image:
        """What ``func(image, *args, **kwargs)`` returns."""
        made = func(self, *args, **kwargs)
        if not isinstance(made, Image):
            raise invalid(f"Image.pipe: {getattr(func, '__name__', func)} returned a {type(made).__name__}, not an Image")
        return made

    def imports(self) -> Imports:
        """A block of imports that need to work only in containers of functions that use this image.

        An exception in it is raised there, and nowhere else: where the app is started, in containers of other images and
        while an image is built, the names are not defined. There is a notice of one that is no ImportError.
        """
        from gx._imports import Imports

        return Imports(self)

    # -- how a recipe grows --

    def _base(
        self,
        fields: Dict[str, Any],
        force: bool,
        fill: Optional[Callable[[Dict[str, Any]], None]] = None,
        env: Env = None,
        secrets: Any = None,
    ) -> Image:
        surrounded = _recipe.with_environment(str(fields["op"]), fill, env, secrets)
        return Image((Step(fields, caller(), surrounded, _recipe.checked_force(force)),))

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
        return Image((*self._steps, Step(fields, caller(), _recipe.with_environment(method, fill, env, secrets), _recipe.checked_force(force))))

    def _add(self, method: str, copy: bool, files: Callable[[], List[Dict[str, Any]]]) -> Image:
        if copy:

            def fill(fields: Dict[str, Any]) -> None:
                fields["files"] = files()

            return self._step(method, {"op": "copy"}, False, fill)
        if not self._steps:
            raise invalid(f"Image.{method}: an image begins with a base: gx.Image.debian_slim().{method}(...)")
        return Image(self._steps, (*self._local, _Local(method, caller(), files)))

    def _manifest(self) -> Dict[str, Any]:
        """The recipe, as the manifest has it (app.Image)."""
        steps = [step.manifest() for step in self._steps]
        forced = [i for i, step in enumerate(self._steps) if step.force]
        if any([os.environ.get(name, "") not in ("", "0") for name in ("GX_FORCE_BUILD", "MODAL_FORCE_BUILD")]):
            forced = [0]
        return {"steps": steps, "force": forced[0] if forced else -1}


_PLANNED = frozenset({
    "from_id", "from_name", "publish", "build", "hydrate", "pip_install_private_repos",
    "micromamba", "micromamba_install", "conda", "conda_install",
    "from_aws_ecr",
})  # fmt: skip


def _planned_static(name: str) -> Any:
    def use(*args: Any, **kwargs: Any) -> NoReturn:
        planned(f"Image.{name}")

    use.__doc__ = f"Planned: Image.{name}."
    return staticmethod(use)


for _name in _PLANNED:
    setattr(Image, _name, _planned_static(_name))
setattr(Image, "logs", PlannedName("Image.logs"))  # a property


def _tree(local: str, remote: str, ignore: Any, what: str) -> List[Dict[str, Any]]:
    from gx._tree import tree

    return tree(local, remote, ignore, what)


def _older(name: str, present: str) -> None:
    from gx._notices import older

    older(name, present)


def _older_context(context_mount: Any, method: str) -> None:
    if context_mount is not None:
        _older(f"Image.{method}(context_mount=...)", "context_dir=...")
