"""From ``FILE[::NAME]`` to what is to be run: imports the file, finds the app and the function."""

from __future__ import annotations

import os
import sys

from gx._report import Mistake, message, near, place, text, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Dict, List, NoReturn, Optional, Tuple, Union

    from gx.app import App, LocalEntrypoint
    from gx.cls import Cls
    from gx.function import Function

    Target = Union[Function, LocalEntrypoint, "Method"]


class Method:
    """A method of a class, of which there is no instance yet."""

    def __init__(self, cls: Cls, name: str) -> None:
        self.cls = cls
        self.method = name
        self.name = f"{cls._name}.{name}"


def find(reference: str, as_module: bool) -> Tuple[App, Target]:
    """The app and what of it is to be run. Raises Mistake; what SystemExit asks for goes through."""
    target, name, apps = _found(reference, as_module, "run")
    return _choose(target, name, apps)


def served(reference: str, as_module: bool) -> List[Tuple[str, App]]:
    """The apps of a file that have functions, by the name of their variable; with ``::NAME`` that one. Raises Mistake."""
    target, name, apps = _found(reference, as_module, "serve")
    if name:
        chosen = [(variable, app) for variable, app in apps.items() if name in (variable, app.name)]
        if not chosen:
            raise Mistake("usage", f"{target} has no app {name!r}", f"it has {', '.join(apps)}")
    else:
        chosen = [(variable, app) for variable, app in apps.items() if app._declared()]
    for variable, app in chosen or apps.items():
        if not app._declared():
            raise Mistake("usage", f"the app {variable!r} in {target} has no functions", "decorate functions by @app.function()")
    return chosen


def _found(reference: str, as_module: bool, command: str) -> Tuple[str, str, Dict[str, App]]:
    """What a reference names, imported: (file or module, name behind the colons, the apps there)."""
    target, separator, name = reference.partition("::")
    if separator and not name:
        raise Mistake("usage", f"{reference}: a name is missing behind the colons", f"gx {command} {target}::NAME")
    module = _import_module(target) if as_module else _import_file(target)
    apps = _apps(module)
    if not apps:
        raise Mistake(
            "no_app",
            f"{target} has no app",
            "declare one at the top of the file:\n  app = gx.App()\nand decorate functions by @app.function()",
        )
    return target, name, apps


# -- importing --

# Modules of Python that nothing else imports, so that a user's file may be called so.
_HARMLESS = ("antigravity", "idlelib", "lib2to3", "test", "this", "turtledemo")


def _import_file(target: str) -> ModuleType:
    path = os.path.abspath(target)
    if not os.path.isfile(path):
        if os.path.isdir(path):
            raise Mistake("usage", f"{target} is a folder; give a Python file", _python_files(path, target))
        if os.path.isfile(path + ".py"):
            raise Mistake("usage", f"there is no file {target}", f"gx run {target}.py")
        if "." in target and "/" not in target and not target.endswith(".py"):
            raise Mistake("usage", f"there is no file {target}", f"for a module: gx run -m {target}")
        raise Mistake("usage", f"there is no file {target}", _python_files(os.path.dirname(path), os.path.dirname(target)))
    folder, base = os.path.split(path)
    name, extension = os.path.splitext(base)
    if extension != ".py":
        raise Mistake("usage", f"{target} is not a Python file: its name must end in .py")
    if "." in name:
        raise Mistake("usage", f"{target} can't be imported: the name of a module has no dots; rename the file")
    if name == "__init__":
        folder, name = os.path.split(folder)
    if name in sys.modules or name in getattr(sys, "stdlib_module_names", ()) and name not in _HARMLESS:
        raise Mistake(
            "usage",
            f"{target} can't be imported: Python has a module {name!r} of its own, which others need; rename the file",
        )
    sys.path.insert(0, folder)
    hint = ""
    if os.path.isfile(os.path.join(folder, "__init__.py")):
        parent = os.path.basename(folder)
        hint = f"the file is part of the package {parent!r}; to import it as such: cd {near(os.path.dirname(folder))} && gx run -m {parent}.{name}"
    return _imported(name, target, path, hint)


def _import_module(target: str) -> ModuleType:
    if target.endswith(".py") or "/" in target:
        raise Mistake("usage", f"-m takes the name of a module, such as package.module; {target} is a file", f"gx run {target}")
    sys.path.insert(0, os.getcwd())
    return _imported(target, target, "", "")


def _imported(name: str, target: str, path: str, hint: str) -> ModuleType:
    try:
        __import__(name)
    except SyntaxError as error:
        raise Mistake("syntax", f"{near(error.filename or path)} is not valid Python: {error.msg}", "", place(error)) from None
    except ModuleNotFoundError as error:
        if not path and error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise Mistake("usage", f"there is no module {name!r}", "is the working directory the folder that has it?") from None
        raise _import_mistake(error, target, hint or _install_hint(error)) from None
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _import_mistake(error, target, hint if isinstance(error, ImportError) else "") from None
    return sys.modules[name]


def _import_mistake(error: Exception, target: str, hint: str) -> Mistake:
    from gx.exception import Error

    trace = text(error)
    if isinstance(error, Error):  # a decorator or an image says what is wrong with its parameters
        return Mistake("import", message(error), hint, place(error))
    return Mistake("import", f"{target} can't be imported: {type_name(error)}: {message(error)}", hint, place(error), trace)


def _install_hint(error: ModuleNotFoundError) -> str:
    top = (error.name or "").partition(".")[0]
    if not top:
        return ""
    return (
        f"{top!r} is not installed in the Python that imports the file ({sys.executable}).\n"
        f"If only containers need it, import it inside the function, or in a block:\n  with image.imports():\n      import {top}"
    )


def _python_files(folder: str, shown: str) -> str:
    try:
        names = sorted([name for name in os.listdir(folder) if name.endswith(".py")])[:5]
    except OSError:
        return ""
    return "there: " + ", ".join([os.path.join(shown, name) for name in names]) if names else ""


# -- choosing --


def _apps(module: ModuleType) -> Dict[str, App]:
    """The apps of a module, by the name of their variable; those that are included in another are left out."""
    from gx.app import App, LocalEntrypoint

    found: Dict[str, App] = {}
    for name, value in vars(module).items():
        if isinstance(value, App) and not any([value is app for app in found.values()]):
            found[name] = value
    if not found:
        from gx.cls import Cls
        from gx.function import Function

        for value in vars(module).values():
            app = value._app if isinstance(value, (Function, Cls)) else value.app if isinstance(value, LocalEntrypoint) else None
            if app is not None and not any([app is other for other in found.values()]):
                found[app.name or "app"] = app
    included = [inner for app in found.values() for inner in app._together() if inner is not app]
    return {name: app for name, app in found.items() if not any([app is inner for inner in included])}


def _choose(target: str, name: str, apps: Dict[str, App]) -> Tuple[App, Target]:
    if name:
        return _named(target, name, apps)
    if len(apps) > 1:
        with_entry = {variable: app for variable, app in apps.items() if app._entrypoints}
        if len(with_entry) != 1:
            raise Mistake(
                "many_apps",
                f"{target} has {len(apps)} apps: " + ", ".join([_described(variable, app) for variable, app in apps.items()]),
                "say which function to run:\n" + _choices(target, with_entry or apps),
            )
        apps = with_entry
    ((_, app),) = apps.items()
    entries = list(app._entrypoints.values())
    if len(entries) == 1:
        return app, entries[0]
    if len(entries) > 1:
        raise Mistake("usage", f"{target} has {len(entries)} local entrypoints: {', '.join(app._entrypoints)}", "say which:\n" + _choices(target, apps))
    targets = _targets(app)
    if len(targets) == 1:
        return app, next(iter(targets.values()))
    if not targets:
        raise Mistake("usage", f"the app in {target} has no functions", "decorate functions by @app.function()")
    raise Mistake(
        "usage",
        f"{target} has no local entrypoint, and {len(targets)} functions: {', '.join(targets)}",
        "say which to run:\n" + _choices(target, apps),
    )


def _targets(app: App) -> Dict[str, Union[Function, Method]]:
    """What of an app can be called remotely, by name; of a class its methods."""
    found: Dict[str, Union[Function, Method]] = dict(app._functions)
    for cls in app._classes.values():
        for method in cls._methods():
            found[f"{cls._name}.{method['name']}"] = Method(cls, method["name"])
    return found


def _only_method(target: str, app: App, name: str) -> Optional[Method]:
    """The method of a class that is named without it."""
    cls = app._classes.get(name)
    if cls is None:
        return None
    methods = [Method(cls, method["name"]) for method in cls._methods()]
    if len(methods) > 1:
        raise Mistake(
            "usage",
            f"class {name} has {len(methods)} methods: {', '.join([method.method for method in methods])}",
            "say which to run:\n" + "\n".join([f"  gx run {target}::{method.name}" for method in methods[:10]]),
        )
    return methods[0]


def _named(target: str, name: str, apps: Dict[str, App]) -> Tuple[App, Target]:
    wanted = apps
    variable, dot, rest = name.partition(".")
    if dot and variable in apps:
        wanted, name = {variable: apps[variable]}, rest
    found: List[Tuple[App, Target]] = []
    for app in wanted.values():
        target_: Optional[Target] = app._entrypoints.get(name) or _targets(app).get(name) or _only_method(target, app, name)
        if target_ is not None:
            found.append((app, target_))
    if len(found) == 1:
        return found[0]
    if found:
        names = [variable for variable, app in wanted.items() if any([app is other for other, _ in found])]
        raise Mistake(
            "usage",
            f"{len(found)} apps in {target} have a function {name!r}",
            "say whose:\n" + "\n".join([f"  gx run {target}::{variable}.{name}" for variable in names]),
        )
    _unknown(target, name, wanted)


def _unknown(target: str, name: str, apps: Dict[str, App]) -> NoReturn:
    from difflib import get_close_matches

    names = [known for app in apps.values() for known in (*app._entrypoints, *_targets(app))]
    near_names = get_close_matches(name, names, 3)
    what = f"did you mean {' or '.join([repr(n) for n in near_names])}? " if near_names else ""
    raise Mistake(
        "usage",
        f"{target} has no function {name!r}",
        f"{what}it has {', '.join(names)}" if names else "its app has no functions",
    )


def _choices(target: str, apps: Dict[str, App]) -> str:
    lines = []
    for app in apps.values():
        for name in [*app._entrypoints, *([] if app._entrypoints else _targets(app))]:
            lines.append(f"  gx run {target}::{name}")
    return "\n".join(lines[:10])


def _described(variable: str, app: Any) -> str:
    return f"{variable} ({app.name})" if app.name and app.name != variable else variable
