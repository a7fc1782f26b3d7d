"""The parameters of ``@app.function``, checked."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from gx.image import Image

TIMEOUT = 300  # seconds that one attempt may take, where the user says nothing

# Older names and the present ones.
_OLDER = {
    "container_idle_timeout": "scaledown_window",
    "concurrency_limit": "max_containers",
    "keep_warm": "min_containers",
}
_MOST_SECONDS = 10 * 365 * 86400
# What has no meaning on a machine of one's own, and the values that say nothing.
_WITHOUT_EFFECT: Dict[str, Tuple[Any, ...]] = {
    "cloud": (None,), "region": (None,), "routing_region": (None,), "proxy": (None,), "i6pn": (None, False),
    "nonpreemptible": (False, None), "restrict_modal_access": (False, None), "enable_memory_snapshot": (False, None),
}  # fmt: skip


class Settings:
    """What a function needs and how it scales; ``manifest()`` has it as app.Function does."""

    def __init__(self, what: str, given: Dict[str, Any]) -> None:
        self.what = what
        given = self._present_names(given)
        self.image: Optional[Image] = given.get("image")
        self.secrets: List[Any] = list(given.get("secrets") or ())
        self.volumes: Dict[Any, Any] = given.get("volumes") or {}
        self.env = given.get("env")
        self.mounts: List[Any] = list(given.get("mounts") or ())
        self.serialized = bool(given.get("serialized"))
        self.include_source: Optional[bool] = given.get("include_source")
        self.is_generator: Optional[bool] = given.get("is_generator")
        self.schedule = given.get("schedule")
        self.concurrency = 1
        self.target_inputs = 0
        self.batch: Dict[str, int] = {}
        self.web: Dict[str, Any] = {}
        self._check_objects(given)
        self.fields = self._fields(given)
        for name, nothing in _WITHOUT_EFFECT.items():
            if given.get(name) not in nothing:
                self._notice(f"{name}= has no effect on a machine of your own")
        if given.get("allow_concurrent_inputs") is not None:
            from gx._notices import older

            older("allow_concurrent_inputs=", "@gx.concurrent(max_inputs=...)")
            self.concurrent(given["allow_concurrent_inputs"], None)

    def concurrent(self, max_inputs: Any, target_inputs: Any) -> None:
        """Sets how many inputs a container takes at once."""
        self.concurrency = int(self._whole("max_inputs", max_inputs, 1, 100_000) or 1)
        self.target_inputs = int(self._whole("target_inputs", target_inputs, 1, 100_000) or 0)
        if self.target_inputs > self.concurrency:
            raise self._invalid(f"target_inputs={target_inputs} is more than max_inputs={max_inputs}")

    def batched(self, max_batch_size: Any, wait_ms: Any) -> None:
        """Sets how inputs are put together."""
        size = self._whole("max_batch_size", max_batch_size, 1, 10_000)
        wait = self._whole("wait_ms", wait_ms, 0, 600_000)
        self.batch = {"size": size or 1, "wait": wait or 0}

    def web_endpoint(self, decorator: str, settings: Dict[str, Any]) -> None:
        """Sets what kind of web endpoint the function is."""
        if self.fields["retries"]:
            raise self._invalid(f"retries= has no meaning with @gx.{decorator}: who asks a web endpoint decides whether to ask again")
        if self.batch:
            raise self._invalid(f"@gx.batched can't be combined with @gx.{decorator}")
        self.web = settings

    def manifest(self) -> Dict[str, Any]:
        """The fields of app.Function that come from here; images, mounts and environment are added elsewhere."""
        fields = {name: value for name, value in self.fields.items() if value}
        fields.setdefault("cpu", {})
        fields.setdefault("memory", {})
        fields.setdefault("retries", {})
        fields.setdefault("scaling", {})
        fields["concurrency"] = self.concurrency
        if self.target_inputs:
            fields["target_inputs"] = self.target_inputs
        if self.batch:
            fields["batch"] = self.batch
        if self.web:
            fields["web"] = self.web
        if self.schedule is not None:
            fields["schedule"] = self.schedule._manifest()
        return fields

    # -- checks --

    def _present_names(self, given: Dict[str, Any]) -> Dict[str, Any]:
        given = dict(given)
        for old, present in _OLDER.items():
            if old in given:
                value = given.pop(old)
                if value is not None:
                    from gx._notices import older

                    older(f"{old}=", f"{present}=")
                    if given.get(present) is not None:
                        raise self._invalid(f"{old}= is the older name of {present}=; give one of them")
                    given[present] = value
        unknown = [name for name in given if name not in KNOWN]
        if unknown:
            from difflib import get_close_matches

            near = get_close_matches(unknown[0], KNOWN, 1)
            raise self._invalid(f"there is no parameter {unknown[0]}=" + (f"; did you mean {near[0]}=?" if near else ""))
        return given

    def _check_objects(self, given: Dict[str, Any]) -> None:
        # What a function does not use is not imported: this runs in containers too.
        if self.image is not None:
            from gx.image import Image

            if not isinstance(self.image, Image):
                raise self._invalid(f"image= is a gx.Image, not a {type(self.image).__name__}")
        if self.secrets:
            from gx.secret import Secret

            self._check_list("secrets", self.secrets, Secret)
        if self.volumes:
            self.mounted({})
        if self.mounts:
            from gx._notices import older
            from gx.mount import Mount

            self._check_list("mounts", self.mounts, Mount)
            older("mounts=", "Image.add_local_file, add_local_dir or add_local_python_source")
        if self.env is not None:
            from gx.exception import InvalidError
            from gx.secret import checked

            try:
                checked(self.env, "env")
            except (InvalidError, AttributeError):
                raise self._invalid("env= maps names of environment variables to strings") from None
        for name in ("network_file_systems", "shared_volumes"):
            if given.get(name):
                from gx._planned import planned

                planned(f"{self.what}: {name}=")
        if self.schedule is not None:
            from gx.schedule import Schedule

            if not isinstance(self.schedule, Schedule):
                raise self._invalid(f"schedule= is a gx.Cron or a gx.Period, not a {type(self.schedule).__name__}")

    def mounted(self, shared: Dict[Any, Any]) -> List[Dict[str, Any]]:
        """The volumes as app.Function has them, with those of the app. Raises InvalidError."""
        from gx._volume_mounts import mounts

        if not hasattr(self.volumes, "items"):
            return mounts(self.volumes, self.what)  # says what is wrong
        return mounts({**shared, **self.volumes}, self.what)

    def _check_list(self, name: str, values: List[Any], kind: type) -> None:
        for value in values:
            if not isinstance(value, kind):
                raise self._invalid(f"{name}= is a list of gx.{kind.__name__}, and has a {type(value).__name__}")

    def _parsed(self, given: Dict[str, Any]) -> Tuple[List[str], Dict[str, float]]:
        """The GPUs and the retries, as the manifest has them."""
        gpus: List[str] = []
        retries: Dict[str, float] = {}
        if given.get("gpu") is None and given.get("retries") is None:
            return gpus, retries
        from gx.exception import InvalidError
        from gx.gpu import parse as parse_gpu
        from gx.retries import parse as parse_retries

        try:
            gpus, how = parse_gpu(given.get("gpu")), parse_retries(given.get("retries"))
        except InvalidError as error:
            raise self._invalid(str(error)) from None
        return gpus, how._manifest() if how is not None else retries

    def _fields(self, given: Dict[str, Any]) -> Dict[str, Any]:
        gpus, retries = self._parsed(given)
        timeout = self._seconds("timeout", given.get("timeout")) or TIMEOUT
        max_inputs = self._whole("max_inputs", given.get("max_inputs"), 1)
        if given.get("single_use_containers"):
            max_inputs = 1
        scaling = {
            "min": self._whole("min_containers", given.get("min_containers"), 0, 1_000_000),
            "max": self._whole("max_containers", given.get("max_containers"), 1, 1_000_000),
            "buffer": self._whole("buffer_containers", given.get("buffer_containers"), 0, 1_000_000),
            "window": self._seconds("scaledown_window", given.get("scaledown_window")),
        }
        if scaling["min"] and scaling["max"] and scaling["min"] > scaling["max"]:
            raise self._invalid(f"min_containers={scaling['min']} is more than max_containers={scaling['max']}")
        return {
            "gpu": gpus,
            "cpu": self._limit("cpu", given.get("cpu"), 0.001, 100_000),
            "memory": self._limit("memory", given.get("memory"), 1, 1 << 30),
            "disk": self._whole("ephemeral_disk", given.get("ephemeral_disk"), 1, 1 << 40),
            "network": "none" if given.get("block_network") else "",
            "timeout": float(timeout),
            "startup_timeout": float(self._seconds("startup_timeout", given.get("startup_timeout")) or max(timeout, TIMEOUT)),
            "retries": retries,
            "scaling": {name: value for name, value in scaling.items() if value},
            "max_inputs": max_inputs,
        }

    def _limit(self, name: str, value: Any, least: float, most: float) -> Dict[str, float]:
        """A request, or (request, limit)."""
        if value is None:
            return {}
        pair = value if isinstance(value, (tuple, list)) else (value,)
        numbers = [isinstance(n, (int, float)) and not isinstance(n, bool) and least <= n <= most for n in pair]
        if not 1 <= len(pair) <= 2 or not all(numbers):
            unit = "MiB" if name == "memory" else "cores"
            raise self._invalid(f"{name}={value!r}; it is a number of {unit} of at least {least}, or (request, limit)")
        if len(pair) == 2 and pair[0] > pair[1]:
            raise self._invalid(f"{name}={value!r}: the request is more than the limit")
        limit = {"request": float(pair[0])}
        if len(pair) == 2:
            limit["max"] = float(pair[1])
        return limit

    def _whole(self, name: str, value: Any, least: int, most: int = 1 << 31) -> Optional[int]:
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._invalid(f"{name}={value!r}; it is a whole number from {least} " + ("on" if most >= 1 << 30 else f"to {most}"))
        return value

    def _seconds(self, name: str, value: Any) -> Optional[float]:
        if value is None:
            return None
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _MOST_SECONDS
        if not good:
            raise self._invalid(f"{name}={value!r}; it is a number of seconds above 0")
        return float(value)

    def _invalid(self, message: str) -> Exception:
        from gx._place import at, caller
        from gx.exception import InvalidError

        return InvalidError(f"{self.what}: {message} {at(caller())}")

    def _notice(self, message: str) -> None:
        from gx._notices import notice

        notice(f"{self.what}: {message}")


KNOWN = (
    "image", "schedule", "env", "secrets", "gpu", "serialized", "network_file_systems", "volumes", "cpu", "memory",
    "ephemeral_disk", "min_containers", "max_containers", "buffer_containers", "scaledown_window", "proxy", "retries",
    "timeout", "startup_timeout", "name", "is_generator", "cloud", "region", "routing_region", "nonpreemptible",
    "enable_memory_snapshot", "block_network", "restrict_modal_access", "single_use_containers", "i6pn",
    "include_source", "max_inputs", "mounts", "allow_concurrent_inputs", "shared_volumes",
)  # fmt: skip
