"""What a variant of a function or class has otherwise, as app.Options has it.

Variants with equal options share containers, and the host compares bytes: so
the options are canonical, with sorted keys and nothing that says nothing.
"""

from __future__ import annotations

from gx._place import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    Options = Dict[str, Any]

_NAMES = (
    "cpu", "memory", "gpu", "env", "secrets", "volumes", "retries", "max_containers", "buffer_containers",
    "scaledown_window", "timeout", "region", "cloud", "routing_region",
    "concurrency_limit", "container_idle_timeout", "allow_concurrent_inputs",
)  # fmt: skip


def options(what: str, given: Dict[str, Any]) -> Options:
    """The options that ``with_options(**given)`` means. Raises InvalidError."""
    from gx._settings import Settings
    from gx.secret import checked, manifest

    what = f"{what}: with_options"
    for name in given:
        if name not in _NAMES:
            raise invalid(f"{what} has no parameter {name}=; it has {', '.join(_NAMES[:11])}")
    said = {name: value for name, value in given.items() if value is not None}
    settings = Settings(what, said)
    fields, scaling = settings.fields, settings.fields["scaling"]
    made: Options = {
        "env": checked(settings.env or {}, f"{what}: env="),
        "secrets": manifest(settings.secrets, what),
        "volumes": settings.mounted({}) if settings.volumes else None,
        "gpu": fields["gpu"],
        "cpu": fields["cpu"],
        "memory": fields["memory"],
        "timeout": fields["timeout"] if "timeout" in said else None,
        "retries": fields["retries"],
        "max_containers": scaling.get("max"),
        "buffer_containers": scaling.get("buffer"),
        "scaledown_window": scaling.get("window"),
    }
    if "allow_concurrent_inputs" in said:
        made["concurrency"] = settings.concurrency
    return _canonical(made)


def concurrency(what: str, max_inputs: Any, target_inputs: Any = None) -> Options:
    """The options that ``with_concurrency`` means. Raises InvalidError."""
    from gx._settings import Settings

    settings = Settings(f"{what}: with_concurrency", {})
    settings.concurrent(max_inputs, target_inputs)
    return _canonical({"concurrency": settings.concurrency, "target_inputs": settings.target_inputs})


def batching(what: str, max_batch_size: Any, wait_ms: Any, generator: bool = False) -> Options:
    """The options that ``with_batching`` means. Raises InvalidError."""
    from gx._settings import Settings

    if generator:
        raise invalid(f"{what} is a generator, and a batched function returns a list of values")
    settings = Settings(f"{what}: with_batching", {})
    settings.batched(max_batch_size, wait_ms)
    return {"batch": dict(settings.batch)}


def merged(before: Optional[Options], new: Options) -> Optional[Options]:
    """The options of a variant of a variant: the new ones win, and environments are added up. None for none."""
    if before is None:
        return new or None
    together = {**before, **new}
    if "concurrency" in new and "target_inputs" not in new:
        together.pop("target_inputs", None)
    if "env" in before and "env" in new:
        together["env"] = {**before["env"], **new["env"]}
    if "secrets" in before and "secrets" in new:
        together["secrets"] = [*before["secrets"], *new["secrets"]]
    return _canonical(together) or None


def _canonical(fields: Options) -> Options:
    """Sorted, at every depth, without what is empty. An empty text in an environment says something."""
    return {
        name: {key: value[key] for key in sorted(value)} if isinstance(value, dict) else value
        for name, value in sorted(fields.items())
        if value
    }
