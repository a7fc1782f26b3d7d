"""Decorators that go below ``@app.function()`` or ``@app.cls()``, or on the methods of a class."""

from __future__ import annotations

from gx._place import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, NoReturn, Optional, Tuple

ROLES = ("enter_snap", "enter", "exit", "method")
"""What a method of a class may be to its containers."""
_REMOTE = ("remote", "remote_gen", "map", "starmap", "for_each", "spawn", "spawn_map", "local")


class Marked:
    """A function, method or class with what decorators said of it.

    On an instance of its class, in a container or here, a method with the role
    "method" can be called remotely as well; others are plain methods.
    """

    def __init__(self, raw: Any, marks: Dict[str, Any]) -> None:
        self._raw = raw
        self._marks = marks
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
            found = getattr(raw, attribute, None)
            if found is not None:
                self.__dict__[attribute] = found
        self.__wrapped__ = raw
        self._gx_roles: Tuple[str, ...] = tuple([role for role in ROLES if role in marks or role == "method" and ("batched" in marks or "web" in marks)])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._raw(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        if "method" in self._gx_roles:
            handle = getattr(instance, "__dict__", {}).get("_gx_handle")
            if handle is not None:
                function = handle._gx_method(self.__name__)
                if function is not None and function._raw is self._raw:  # and not that of a class which overrides it
                    return function
        return self._raw.__get__(instance, owner)

    def __getattr__(self, name: str) -> Any:
        if name in _REMOTE and "method" in self.__dict__.get("_gx_roles", ()):
            what = self.__dict__.get("__qualname__", "the method")
            raise invalid(f"{what}.{name}() needs an instance: {what.rpartition('.')[0] or 'Class'}(...).{what.rpartition('.')[2]}.{name}(...)")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<{' '.join(self._marks)} {self._raw!r}>"


def _mark(decorator: str, marked: Any, name: str, mark: Any) -> Marked:
    """Adds a mark to what a decorator is put on, checked as far as it can be before the class is whole."""
    from gx.cls import Cls
    from gx.function import Function

    if isinstance(marked, Function):
        raise invalid(f"@gx.{decorator} goes below @app.function(), not above it (function {marked._name})")
    if isinstance(marked, Cls):
        raise invalid(f"@gx.{decorator} goes below @app.cls(), not above it (class {marked._name})")
    marks: Dict[str, Any] = {}
    if isinstance(marked, Marked):
        marks, marked = dict(marked._marks), marked._raw
    if isinstance(marked, type):
        if name != "concurrent":
            raise invalid(f"@gx.{decorator} goes on a method, not on a class (class {marked.__qualname__})")
    elif not hasattr(marked, "__code__"):
        kind = type(marked).__name__
        if isinstance(marked, (staticmethod, classmethod)) or not callable(marked):
            raise invalid(f"@gx.{decorator} goes on a plain function or method, not on a {kind}")
    if name == "web" and "web" in marks:
        raise invalid(f"{marked.__qualname__} has two decorators of web endpoints: @gx.{marks['web'][0]} and @gx.{mark[0]}")
    marks[name] = mark
    hooks = [role for role in ("enter", "enter_snap", "exit") if role in marks]
    if hooks and ("method" in marks or "batched" in marks):
        raise invalid(
            f"{marked.__qualname__} has @gx.{hooks[0].partition('_')[0]}() and @gx.{'batched' if 'batched' in marks else 'method'}(): "
            "what runs when a container starts or ends can't be called as well"
        )
    if "web" in marks:
        others = [other for other in ("enter", "enter_snap", "exit", "batched") if other in marks]
        if others:
            raise invalid(f"{marked.__qualname__} has @gx.{marks['web'][0]}() and @gx.{others[0].partition('_')[0]}(): a web endpoint can't be that as well")
    return Marked(marked, marks)


def _parentheses(decorator: str, first: Any, example: str = "") -> None:
    if first is not None:
        raise invalid(f"@gx.{decorator} needs parentheses: @gx.{decorator}({example})")


def concurrent(
    _warn_parentheses_missing: Any = None, *, max_inputs: Optional[int] = None, target_inputs: Optional[int] = None
) -> Callable[[Any], Any]:
    """Lets a container take up to ``max_inputs`` inputs at once: plain functions on threads, async ones on one loop.

    It goes below ``@app.function()`` or ``@app.cls()``. New containers are
    started as if each took ``target_inputs`` (default: as many).
    """
    if _warn_parentheses_missing is not None or max_inputs is None:
        raise invalid("@gx.concurrent needs parentheses and a number: @gx.concurrent(max_inputs=8)")
    return lambda marked: _mark("concurrent", marked, "concurrent", (max_inputs, target_inputs))


def batched(_warn_parentheses_missing: Any = None, *, max_batch_size: Any = None, wait_ms: Any = None) -> Callable[[Any], Any]:
    """Collects single inputs into lists, for a function or the only method of a class.

    Callers give and get single values. The function gets a list for each of
    its parameters, of up to ``max_batch_size`` values, and returns a list with
    one value for each. A batch waits up to ``wait_ms`` milliseconds for company.
    """
    if _warn_parentheses_missing is not None or max_batch_size is None or wait_ms is None:
        raise invalid("@gx.batched needs both numbers: @gx.batched(max_batch_size=8, wait_ms=50)")
    return lambda marked: _mark("batched", marked, "batched", (max_batch_size, wait_ms))


def method(_warn_parentheses_missing: Any = None, *, is_generator: Optional[bool] = None) -> Callable[[Any], Any]:
    """Makes a method of a class that ``@app.cls()`` decorates callable remotely."""
    _parentheses("method", _warn_parentheses_missing)
    return lambda marked: _mark("method", marked, "method", is_generator)


def enter(_warn_parentheses_missing: Any = None, *, snap: bool = False) -> Callable[[Any], Any]:
    """Runs a method when a container starts, before its first input; those with ``snap=True`` come first."""
    _parentheses("enter", _warn_parentheses_missing)
    return lambda marked: _mark("enter", marked, "enter_snap" if snap else "enter", None)


def exit(_warn_parentheses_missing: Any = None) -> Callable[[Any], Any]:
    """Runs a method when a container ends, within its grace period (30 s)."""
    _parentheses("exit", _warn_parentheses_missing)
    return lambda marked: _mark("exit", marked, "exit", None)


def build(*_: Any, **__: Any) -> NoReturn:
    """The older way to ``Image.run_function``."""
    raise invalid(
        "@gx.build() is not accepted any more: move what the method does into a function, and run it while the image is built: "
        "image = gx.Image.debian_slim().run_function(download)"
    )


def parameter(*given: Any, default: Any = ..., init: bool = True) -> Any:
    """A parameter of a class, of a type that its annotation says: str, int, float, bool or bytes.

        class Model:
            size: int = gx.parameter(default=7)

    ``Model(size=8)`` has containers of its own. With ``init=False`` it is no
    parameter of ``Model(...)``, and has its default always.
    """
    from gx._parameters import Parameter

    if given:
        raise invalid(f"gx.parameter takes its default by name: gx.parameter(default={given[0]!r})")
    if not init and default is ...:
        raise invalid("gx.parameter(init=False) needs a default")
    return Parameter(default, init)


def clustered(*_: Any, **__: Any) -> NoReturn:
    """Planned: several containers as one."""
    _planned("@gx.clustered: clusters")


def fastapi_endpoint(
    _warn_parentheses_missing: Any = None,
    *,
    method: str = "GET",
    label: Optional[str] = None,
    custom_domains: Any = None,
    docs: bool = False,
    requires_proxy_auth: bool = False,
) -> Callable[[Any], Any]:
    """Makes a function or method answer web requests, as a route of FastAPI does: parameters from the query, or from a JSON body.

    ``method``: GET, POST, ... ``label``: its name in the URL, default
    APP-FUNCTION. ``docs``: with a page /docs. ``requires_proxy_auth``: requests
    need a token in the headers Modal-Key and Modal-Secret. The image needs
    FastAPI.
    """
    _parentheses("fastapi_endpoint", _warn_parentheses_missing)
    verbs = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    if not isinstance(method, str) or method.upper() not in verbs:
        raise invalid(f"@gx.fastapi_endpoint(method={method!r}): it is one of {', '.join(verbs)}")
    settings = {"kind": "fastapi", "method": method.upper(), "docs": bool(docs)}
    return _web("fastapi_endpoint", settings, label, custom_domains, requires_proxy_auth)


def web_endpoint(*args: Any, **settings: Any) -> Callable[[Any], Any]:
    """The older name of ``fastapi_endpoint``, whose parameters it takes, by name."""
    from gx._notices import older

    _parentheses("web_endpoint", args[0] if args else None, 'method="POST"')
    older("@gx.web_endpoint", "@gx.fastapi_endpoint")
    settings.pop("wait_for_response", None)
    return fastapi_endpoint(**settings)


def asgi_app(
    _warn_parentheses_missing: Any = None,
    *,
    label: Optional[str] = None,
    custom_domains: Any = None,
    requires_proxy_auth: bool = False,
) -> Callable[[Any], Any]:
    """Serves the ASGI application (FastAPI, Starlette, ...) that the function returns; each container makes one at its start."""
    _parentheses("asgi_app", _warn_parentheses_missing)
    return _web("asgi_app", {"kind": "asgi"}, label, custom_domains, requires_proxy_auth)


def wsgi_app(
    _warn_parentheses_missing: Any = None,
    *,
    label: Optional[str] = None,
    custom_domains: Any = None,
    requires_proxy_auth: bool = False,
) -> Callable[[Any], Any]:
    """Serves the WSGI application (Flask, Django, ...) that the function returns; requests run on threads."""
    _parentheses("wsgi_app", _warn_parentheses_missing)
    return _web("wsgi_app", {"kind": "wsgi"}, label, custom_domains, requires_proxy_auth)


def web_server(
    port: Any = None,
    *,
    startup_timeout: float = 5.0,
    label: Optional[str] = None,
    custom_domains: Any = None,
    requires_proxy_auth: bool = False,
) -> Callable[[Any], Any]:
    """Serves what the function starts, and leaves running: any server that listens on ``port`` of its container.

    The function is called once in each container and returns at once. The
    server has ``startup_timeout`` seconds to listen.
    """
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise invalid("@gx.web_server needs the port that the server listens on, from 1 to 65535: @gx.web_server(8000)")
    if not isinstance(startup_timeout, (int, float)) or not 0 < startup_timeout <= 86400:
        raise invalid(f"@gx.web_server(startup_timeout={startup_timeout!r}): it is a number of seconds above 0")
    settings = {"kind": "server", "port": port, "startup_timeout": float(startup_timeout)}
    return _web("web_server", settings, label, custom_domains, requires_proxy_auth)


def _web(decorator: str, settings: Dict[str, Any], label: Optional[str], domains: Any, auth: bool) -> Callable[[Any], Any]:
    """Marks a web endpoint; ``settings`` are those of app.Web."""
    if label is not None:
        plain = isinstance(label, str) and label.isascii() and label.replace("-", "").isalnum() and label == label.lower()
        if not plain or len(label) > 63 or label[0] == "-" or label[-1] == "-":
            raise invalid(
                f"@gx.{decorator}(label={label!r}): a label is a part of a host name, of 1 to 63 small letters, digits and dashes, with no dash at either end"
            )
        settings["label"] = label
    if domains:
        from gx._notices import notice

        notice(f"@gx.{decorator}(custom_domains=...) has no effect on a machine of your own")
    if auth:
        settings["proxy_auth"] = True
    return lambda marked: _mark(decorator, marked, "web", (decorator, settings))



def _planned(what: str) -> NoReturn:
    from gx._planned import planned

    planned(what)
