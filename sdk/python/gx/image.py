"""Images: what the containers of a function have in them.

Here are bases, commands, settings and local files; packages are in
gx._packages, and how steps become a recipe in gx._recipe.
"""

from __future__ import annotations

import os

from gx import _files, _recipe
from gx._packages import Packages
from gx._planned import PlannedName
from gx._recipe import AUTO_DOCKERIGNORE, invalid, planned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple

    from gx._imports import Imports
    from gx._recipe import Env, Local, Step, Words


class Image(Packages):
    """A recipe for an image. Each method returns a new Image that has one step more."""

    def __init__(self, _steps: Tuple[Step, ...] = (), _local: Tuple[Local, ...] = ()) -> None:
        super().__init__(_steps, _local)
        self._import_error: Optional[BaseException] = None  # the first in a block of imports()

    def __repr__(self) -> str:
        return f"gx.Image({' > '.join([str(step.fields['op']) for step in self._steps])})"

    def _grown(self, steps: Tuple[Step, ...], local: Tuple[Local, ...]) -> Image:
        return Image(steps, local)

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
            from gx import _dockerfile

            text = fields["dockerfile"] = _files.read_text(file, "Image.from_dockerfile")
            context = folder
            if context is None and context_mount is None and _dockerfile.needs_context(text):
                context = os.path.dirname(file)
            fields["files"] = _dockerfile.context_files(context, context_mount, ignore, file, "Image.from_dockerfile")

        fields = {
            "op": "dockerfile",
            "add_python": _recipe.version("from_dockerfile(add_python=...)", add_python),
            "build_args": _recipe.strings("from_dockerfile", "build_args", build_args),
        }
        return Image()._base(fields, force_build, fill, env, secrets)

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
            from gx import _dockerfile

            context = folder
            if context is None and context_mount is None and not single and _dockerfile.needs_context(text):
                context = here
            files = _dockerfile.context_files(context, context_mount, ignore, "", what)
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
        names, skip = _recipe.words("add_local_python_source", modules, "modules"), None
        if ignore is not None:
            from gx._ignore import Ignore

            skip = Ignore(ignore)

        def files() -> List[Dict[str, Any]]:
            from gx._sources import module_files

            return [file for name in names for file in module_files(name, skip)]

        return self._add("add_local_python_source", copy, files)

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


for _method in vars(Packages).values():
    if hasattr(_method, "__qualname__"):  # in messages about its arguments it is a method of Image
        _method.__qualname__ = f"Image.{_method.__name__}"


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
