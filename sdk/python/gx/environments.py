"""Environments: separate sets of names on one host."""

from __future__ import annotations

from gx._dual import Dual, StaticDual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List


class EnvironmentManager:
    """``gx.Environment.objects``: makes, lists and deletes environments."""

    def _create(self, name: str, *, allow_existing: bool = False, client: Any = None) -> None:
        """Makes an environment. Raises AlreadyExistsError, unless ``allow_existing``."""
        from gx._ask import ask
        from gx.exception import AlreadyExistsError

        try:
            ask("environment.create", name=name)
        except AlreadyExistsError:
            if not allow_existing:
                raise

    def _list(self, *, client: Any = None) -> List[Environment]:
        """All environments, by name, the main one first."""
        from gx._ask import ask

        return [Environment(str(e["name"])) for e in ask("environment.list")[0]["environments"]]

    def _delete(self, name: str, *, allow_missing: bool = False, client: Any = None) -> None:
        """Deletes an environment and all that belongs to it. Raises NotFoundError, unless ``allow_missing``."""
        from gx._ask import ask
        from gx.exception import NotFoundError

        try:
            ask("environment.delete", name=name)
        except NotFoundError:
            if not allow_missing:
                raise

    create = Dual(_create)
    list = Dual(_list)
    delete = Dual(_delete)


class Environment:
    """A set of names of apps, volumes, secrets, dicts and queues that is separate from others'."""

    objects = EnvironmentManager()

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"gx.Environment({self._name!r})"

    @property
    def name(self) -> str:
        """Its name: what ``environment_name=`` and ``--env`` take."""
        return self._name

    @staticmethod
    def _from_name(name: str, *, create_if_missing: bool = False, client: Any = None) -> Environment:
        """The environment of a name; it need not exist yet. ``create_if_missing`` makes it now."""
        if create_if_missing:
            Environment.objects.create(name, allow_existing=True)
        return Environment(name)

    from_name = StaticDual(_from_name)
