"""``python -m gx._cli serve``: collects the apps of a user's file for ``gx serve``, and ends.

gx starts it before it is needed, has it import what the file needed last time
but for the user's own modules, and says when to import those: so that a change
costs the import of the user's own code, in a process that has never seen the
old one.
"""

from __future__ import annotations

import os
import sys

from gx import _host
from gx._shape import Shapes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Set, Tuple

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib/", "/lib64/")
_MOST = 20_000  # files of a kind that are told to gx


class Inputs:
    """What is read while the file is imported and the apps are described: what to watch."""

    def __init__(self) -> None:
        self.on = False
        self.read: Set[str] = set()
        self.written: Set[str] = set()
        self.trees: Set[str] = set()

    def hook(self, event: str, args: Tuple[Any, ...]) -> None:
        """An audit hook."""
        if not self.on:
            return
        if event == "open":
            path, _, flags = args
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            self._add(self.written if writes else self.read, path)
        elif event == "gx.input":  # looked for, and perhaps not there
            self._add(self.read, args[0])
        elif event == "gx.tree":
            self._add(self.trees, args[0])

    def _add(self, to: Set[str], path: Any) -> None:
        if not isinstance(path, (str, bytes)) or len(to) >= _MOST:
            return  # a descriptor
        text = os.path.abspath(os.fsdecode(path))
        if not text.startswith(_SYSTEM):
            to.add(text)

    def files(self) -> List[str]:
        """Files of the user's own: modules, and what was read and not written."""
        from gx._place import is_own

        found = {file for _, file in _modules() if not _library(file)} | self.read - self.written
        return sorted([f for f in found if not f.endswith(".pyc") and not _library(f) and not is_own(f)])


class Collector:
    """One collection of a file's apps."""

    def __init__(self, reference: str, as_module: bool, shapes: Shapes) -> None:
        self.reference = reference
        self.shapes = shapes
        self.as_module = as_module
        self.inputs = Inputs()

    def collect(self) -> Dict[str, Any]:
        """What gx is told (sdk.Collected)."""
        from gx._report import Mistake, of_user

        target = self.reference.partition("::")[0]
        if not self.as_module:
            self.inputs.read.add(os.path.abspath(target))
        sys.addaudithook(self.inputs.hook)
        # Byte code is valid by whole seconds and size: two saves in one second
        # would be taken for one.
        sys.dont_write_bytecode = True
        self.inputs.on = True
        told: Dict[str, Any] = {}
        try:
            told["apps"] = self._apps()
        except Mistake as mistake:
            told["exception"] = mistake.report()
            self._look_for(mistake, target)
        except SystemExit as exit:
            told["exception"] = {"kind": "import", "message": f"{target} called sys.exit({exit.code!r}) while it was imported"}
        except BaseException as error:
            told["exception"] = of_user(error, {})
            self._look_for(error, target)
        self.inputs.on = False
        told["files"], told["trees"] = self.inputs.files(), sorted(self.inputs.trees)
        told["modules"] = [name for name, file in _modules() if _library(file)]
        return told

    def _apps(self) -> List[Dict[str, Any]]:
        from gx import _entry
        from gx._manifest import manifest

        found: List[Dict[str, Any]] = [{"variable": name, "manifest": manifest(app)} for name, app in _entry.served(self.reference, self.as_module)]
        for one in found:
            self.shapes.add(one["manifest"])
        return found

    def _look_for(self, error: BaseException, target: str) -> None:
        """A module that was missing is watched for: with it the next attempt may go well."""
        cause: Any = error
        while cause is not None and not isinstance(cause, ModuleNotFoundError):
            cause = cause.__context__
        if cause is None or not cause.name:
            return
        for root in {os.path.dirname(os.path.abspath(target)), os.getcwd()}:
            path = os.path.join(root, *cause.name.split("."))
            self.inputs.read.update((path + ".py", os.path.join(path, "__init__.py")))


def _modules() -> Iterator[Tuple[str, str]]:
    """Modules that have a file, in the order of their import."""
    from gx._place import is_own

    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file and not is_own(file):
            yield name, os.path.abspath(file)


def _library(file: str) -> bool:
    prefixes = {prefix.rstrip("/") + "/lib" for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    return file.startswith(tuple(prefixes)) or "/site-packages/" in file or "/dist-packages/" in file


def _prepare(modules: List[str]) -> None:
    """Imports what is no module of the user's own. What fails here fails again where it can be told."""
    for name in modules:
        try:
            __import__(name)
        except BaseException:
            pass


def main() -> int:
    """Does what gx says on the control socket; returns the exit code."""
    control = _host.use_inherited()
    if control is None:
        print("this is for gx, which gx serve starts", file=sys.stderr)
        return 2
    from gx import _entry, _manifest, _report, app, exception, image  # noqa: F401 - is there when it is needed
    from gx.exception import ConnectionError

    shapes = Shapes()
    try:
        while True:
            line = control.receive()
            if "prepare" in line:
                _prepare(list(line["prepare"].get("modules") or ()))
                shapes.prepare(list(line["prepare"].get("files") or ()))
            elif "collect" in line:
                break
    except (ConnectionError, KeyboardInterrupt):
        return 0  # it was not needed
    ask = line["collect"]
    reference = str(ask.get("reference"))
    sys.argv = [reference]
    told = Collector(reference, bool(ask.get("module")), shapes).collect()
    _host.flush()
    control.tell(collected=told)
    control.close()
    # What the file has begun, such as threads, is not waited for: nothing here
    # is of use any more.
    _host.flush()
    os._exit(0)
