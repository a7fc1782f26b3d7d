"""Apps: functions that are started and stopped together."""

from __future__ import annotations

from gx._declare import LocalEntrypoint as LocalEntrypoint
from gx._declare import declare, declare_class, declare_entrypoint
from gx._dual import Dual, StaticDual
from gx._place import caller, invalid
from gx._settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Mapping, NoReturn, Optional, Sequence, Union

    from gx._client import Client
    from gx._logs import Logs
    from gx._running import Running
    from gx._session import Session
    from gx.cls import Cls
    from gx.function import Function
    from gx.image import Image
    from gx.secret import Secret


class App:
    """Functions that belong together, and what they share.

    ``image``, ``secrets``, ``volumes`` and ``include_source`` are defaults for its functions.
    """

    def __init__(
        self,
        name: Optional[str] = None,
        *,
        tags: Optional[Mapping[str, str]] = None,
        image: Optional[Image] = None,
        secrets: Sequence[Secret] = (),
        volumes: Optional[Mapping[str, Any]] = None,
        include_source: bool = True,
        mounts: Sequence[Any] = (),
    ) -> None:
        _check_name(name)
        # The same checks as for a function.
        self._shared = Settings(
            f"gx.App({'' if name is None else repr(name)})",
            {"image": image, "secrets": secrets, "volumes": volumes, "include_source": include_source, "mounts": mounts},
        )
        self._name = name
        self._tags: Dict[str, str] = dict(tags or {})
        self._place = caller()
        self._functions: Dict[str, Function] = {}
        self._classes: Dict[str, Cls] = {}
        self._entrypoints: Dict[str, LocalEntrypoint] = {}
        self._included: List[App] = []
        self._session: Optional[Session] = None
        self._client: Optional[Client] = None
        self._ids: Dict[str, str] = {}
        self._app_id: Optional[str] = None
        self._deployed: Optional[str] = None  # the id of the deployed app that this one is
        self._deployed_ids: Dict[str, str] = {}

    def __repr__(self) -> str:
        return f"gx.App({'' if self._name is None else repr(self._name)})"

    @property
    def name(self) -> Optional[str]:
        """The app's name."""
        return self._name

    @property
    def app_id(self) -> Optional[str]:
        """The id of the running app, or of the deployed one that it is; None for any other."""
        return self._app_id or self._deployed

    description = name

    @property
    def image(self) -> Optional[Image]:
        """The image of functions that name none."""
        return self._shared.image

    @image.setter
    def image(self, image: Image) -> None:
        Settings(f"{self!r}.image", {"image": image})
        self._shared.image = image

    @property
    def registered_functions(self) -> Dict[str, Function]:
        """The app's functions by name."""
        return dict(self._functions)

    @property
    def registered_classes(self) -> Dict[str, Cls]:
        """The app's classes by name."""
        return dict(self._classes)

    @property
    def registered_entrypoints(self) -> Dict[str, LocalEntrypoint]:
        """The app's local entrypoints by name."""
        return dict(self._entrypoints)

    @property
    def registered_web_endpoints(self) -> List[str]:
        """The names of the app's web endpoints: functions, and methods as "Class.method"."""
        functions = [name for name, function in self._functions.items() if function._settings.web]
        methods = [f"{name}.{m['name']}" for name, cls in self._classes.items() for m in cls._methods() if "web" in m]
        return functions + methods

    # -- declaring --

    def function(
        self,
        _warn_parentheses_missing: Any = None,
        *,
        image: Optional[Image] = None,
        schedule: Any = None,
        env: Optional[Mapping[str, Optional[str]]] = None,
        secrets: Optional[Sequence[Secret]] = None,
        gpu: Any = None,
        serialized: bool = False,
        network_file_systems: Optional[Mapping[str, Any]] = None,
        volumes: Optional[Mapping[str, Any]] = None,
        cpu: Any = None,
        memory: Any = None,
        ephemeral_disk: Optional[int] = None,
        min_containers: Optional[int] = None,
        max_containers: Optional[int] = None,
        buffer_containers: Optional[int] = None,
        scaledown_window: Optional[float] = None,
        proxy: Any = None,
        retries: Any = None,
        timeout: Optional[float] = 300,
        startup_timeout: Optional[float] = None,
        name: Optional[str] = None,
        is_generator: Optional[bool] = None,
        cloud: Optional[str] = None,
        region: Any = None,
        routing_region: Optional[str] = None,
        nonpreemptible: bool = False,
        enable_memory_snapshot: bool = False,
        block_network: bool = False,
        restrict_modal_access: bool = False,
        single_use_containers: bool = False,
        i6pn: Optional[bool] = None,
        include_source: Optional[bool] = None,
        max_inputs: Optional[int] = None,
        **older: Any,
    ) -> Callable[[Callable], Function]:
        """Makes the decorated function one of the app's.

        gpu: "T4", "A100-80GB:2", or a list in order of preference. cpu: cores,
        memory: MiB; each a request or (request, limit). timeout: seconds for
        one attempt. retries: a number or gx.Retries. scaledown_window: seconds
        that an idle container stays. ephemeral_disk: MiB.
        """
        given = dict(locals())
        for own in ("self", "_warn_parentheses_missing", "older"):
            del given[own]
        given.update(older)
        if _warn_parentheses_missing is not None:
            raise invalid("@app.function needs parentheses: @app.function()")

        return lambda function: declare(self, function, given)

    def local_entrypoint(
        self, _warn_parentheses_missing: Any = None, *, name: Optional[str] = None
    ) -> Callable[[Callable], LocalEntrypoint]:
        """Makes the decorated function what ``gx run`` runs; its parameters become flags."""
        if _warn_parentheses_missing is not None:
            raise invalid("@app.local_entrypoint needs parentheses: @app.local_entrypoint()")

        return lambda function: declare_entrypoint(self, function, name)

    def cls(
        self,
        _warn_parentheses_missing: Any = None,
        *,
        image: Optional[Image] = None,
        env: Optional[Mapping[str, Optional[str]]] = None,
        secrets: Optional[Sequence[Secret]] = None,
        gpu: Any = None,
        serialized: bool = False,
        network_file_systems: Optional[Mapping[str, Any]] = None,
        volumes: Optional[Mapping[str, Any]] = None,
        cpu: Any = None,
        memory: Any = None,
        ephemeral_disk: Optional[int] = None,
        min_containers: Optional[int] = None,
        max_containers: Optional[int] = None,
        buffer_containers: Optional[int] = None,
        scaledown_window: Optional[float] = None,
        proxy: Any = None,
        retries: Any = None,
        timeout: Optional[float] = 300,
        startup_timeout: Optional[float] = None,
        cloud: Optional[str] = None,
        region: Any = None,
        routing_region: Optional[str] = None,
        nonpreemptible: bool = False,
        enable_memory_snapshot: bool = False,
        block_network: bool = False,
        restrict_modal_access: bool = False,
        single_use_containers: bool = False,
        i6pn: Optional[bool] = None,
        include_source: Optional[bool] = None,
        max_inputs: Optional[int] = None,
        **older: Any,
    ) -> Callable[[Any], Any]:
        """Makes the decorated class one of the app's: its ``@gx.method()``s can be called remotely, and share containers.

        The parameters are those of ``function``; ``startup_timeout`` counts
        import and enter hooks (seconds).
        """
        given = dict(locals())
        for own in ("self", "_warn_parentheses_missing", "older"):
            del given[own]
        for name in ("schedule", "name", "is_generator"):
            if name in older:
                raise invalid(f"@app.cls() has no parameter {name}=")
        given.update(older)
        if _warn_parentheses_missing is not None:
            raise invalid("@app.cls needs parentheses: @app.cls()")

        return lambda decorated: declare_class(self, decorated, given)

    def server(self, *_: Any, **__: Any) -> NoReturn:
        """Planned: servers."""
        from gx._planned import planned

        planned("@app.server: servers")

    def include(self, other_app: App, inherit_tags: bool = True) -> App:
        """Takes over the functions of another app, and its tags."""
        if not isinstance(other_app, App):
            raise invalid(f"app.include takes a gx.App, not a {type(other_app).__name__}")
        for part in other_app._declared():
            name = part._name
            if (self._functions.get(name) or self._classes.get(name) or part) is not part:
                raise invalid(f"{self!r} and {other_app!r} both have a function or class {name!r}")
        self._functions.update(other_app._functions)
        self._classes.update(other_app._classes)
        self._included.append(other_app)
        if inherit_tags:
            self._tags = {**other_app._tags, **self._tags}
        return self

    # -- running --

    def _run(
        self,
        *,
        name: Optional[str] = None,
        detach: bool = False,
        interactive: bool = False,
        show_progress: Optional[bool] = None,
        environment_name: Optional[str] = None,
        client: Any = None,
    ) -> Running:
        """A block in which the app runs: ``with app.run(): ...`` or ``async with app.run(): ...``.

        With ``detach`` the app goes on after the block.
        """
        if interactive:
            from gx._planned import planned

            planned("app.run(interactive=True)")
        if show_progress is not None:
            from gx._notices import older

            older("app.run(show_progress=...)", "with gx.enable_output():")
        _check_name(name)
        from gx._running import Running

        return Running(self, name, environment_name, detach, show_progress)

    run = Dual(_run, _run)

    def _deploy(
        self,
        *,
        name: Optional[str] = None,
        tag: str = "",
        strategy: str = "rolling",
        environment_name: Optional[str] = None,
        client: Any = None,
    ) -> App:
        """Makes the app a version of a deployed one, as ``gx deploy`` does, and returns it with that one's ``app_id``.

        strategy: "rolling" (containers of the new version are ready before the old
        ones end) or "recreate" (the old ones end first). Raises InvalidError for an
        app without a name, ImageBuildError, and ExecutionError if the containers do
        not come up, in which case the version before goes on.
        """
        from gx._session import deploy

        _check_name(name)
        deploy(self, name, tag, strategy, environment_name)
        return self

    deploy = Dual(_deploy)

    @staticmethod
    def _lookup(
        name: str, *, create_if_missing: bool = False, environment_name: Optional[str] = None, client: Any = None
    ) -> App:
        """A deployed app, by its name. Raises NotFoundError.

        With ``create_if_missing`` an app of that name that is not deployed is one
        without functions.
        """
        from gx._running import look_up

        if not isinstance(name, str) or not name:
            from gx.exception import InvalidError

            raise InvalidError(f"gx.App.lookup({name!r}): it takes the name of an app")
        app = App(name)
        app._deployed = look_up(name, create_if_missing, environment_name)
        return app

    lookup = StaticDual(_lookup.__func__)  # type: ignore[attr-defined]

    def _set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets the app's tags."""
        self._tags = dict(tags)

    set_tags = Dual(_set_tags)

    def _get_tags(self) -> Dict[str, str]:
        """The app's tags."""
        return dict(self._tags)

    get_tags = Dual(_get_tags)

    def _get_dashboard_url(self) -> str:
        """The page about the app in the host's dashboard, for a browser that ``gx dashboard`` has let in.

        Raises ExecutionError while the app neither runs nor is deployed.
        """
        from gx._ask import ask

        if self.app_id is None:
            from gx.exception import ExecutionError

            raise ExecutionError(f"{self!r} neither runs nor is deployed, so that there is no page about it")
        return f"{ask('web.page', label='gx')[0]['url']}/#/app/{self.app_id}"

    get_dashboard_url = Dual(_get_dashboard_url)

    @property
    def logs(self) -> Logs:
        """What the app's functions have printed, which `gx app logs` prints: ``fetch``, ``tail`` and ``stream``.

        The app is the running or deployed one that this is, else that which last
        ran under its name.
        """
        from gx._environment import current
        from gx._logs import Logs

        if not (self.app_id or self._name):
            from gx.exception import ExecutionError

            raise ExecutionError(f"{self!r} has no name and does not run, so that it has no log")
        ref = self.app_id or "/".join(filter(None, (current(), self._name)))
        return Logs(lambda: (self.app_id or "", {"app": ref}))

    def _together(self) -> Iterator[App]:
        """This app and those that it includes."""
        yield self
        for app in self._included:
            yield from app._together()

    def _declared(self) -> List[Union[Function, Cls]]:
        """Its functions and classes."""
        return [*self._functions.values(), *self._classes.values()]

    def _function_id(self, name: str) -> Optional[str]:
        return (self._ids if self._client is not None or not self._deployed else self._deployed_ids).get(name)

    def _connect(self, function: str) -> Client:
        """The connection for calls of the app's functions."""
        if self._client is not None:
            return self._client
        from gx._running import connect

        return connect(self, function)

    def _attach(self, session: Optional[Session], client: Optional[Client], app_id: Optional[str], ids: Dict[str, str]) -> None:
        for app in self._together():
            app._session, app._client, app._app_id, app._ids = session, client, app_id, ids


def _check_name(name: Any) -> None:
    if name is None:
        return
    good = isinstance(name, str) and 0 < len(name) <= 64 and all([c.isalnum() or c in "-_." for c in name])
    if not good:
        raise invalid(f"App name {name!r}: a name has 1 to 64 letters, digits, dashes, dots and underscores")
