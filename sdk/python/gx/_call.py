"""``python -m gx._cli call``: what ``gx call`` starts. It calls a function of an app on the host, and prints what it returns."""

from __future__ import annotations

import sys

from gx._program import Program, ignore_interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional


class Call:
    """The command line: APP FUNCTION, and the arguments as JSON."""

    def __init__(self, words: List[str]) -> None:
        self.app = self.function = ""
        self.args: List[Any] = []
        self.kwargs: Dict[str, Any] = {}
        self.params: Dict[str, Any] = {}
        self.json = False
        self.spawn = False
        self.version: Optional[int] = None
        names: List[str] = []
        todo = list(words)[::-1]
        while todo:
            word = todo.pop()
            if not word.startswith("--") or word == "--":
                names.append(word)
                continue
            flag, separator, value = word[2:].partition("=")
            if flag in ("json", "spawn") and not separator:
                setattr(self, flag, True)
                continue
            if not separator:
                if not todo:
                    raise _mistake(f"--{flag} needs a value")
                value = todo.pop()
            self._flag(flag, value)
        if len(names) != 2:
            raise _mistake(f"an app and a function are needed, not {' '.join(names) or 'nothing'}")
        self.app, self.function = names

    def _flag(self, flag: str, value: str) -> None:
        if flag == "args":
            given = _json(value, "--args")
            self.args = given if isinstance(given, list) else [given]
        elif flag in ("kwargs", "params"):
            given = _json(value, f"--{flag}")
            if not isinstance(given, dict):
                raise _mistake(f"--{flag} takes an object, as '{{\"name\": 1}}', not {value}")
            getattr(self, flag).update(given)
        elif flag == "version":
            if not value.isdigit():
                raise _mistake(f"--version {value}: it is a number")
            self.version = int(value)
        else:
            try:
                import json

                self.kwargs[flag.replace("-", "_")] = json.loads(value)
            except ValueError:
                self.kwargs[flag.replace("-", "_")] = value


class Caller(Program):
    """One call."""

    def __init__(self, words: List[str]) -> None:
        super().__init__()
        self.words = words

    def run(self) -> Optional[str]:
        """Calls the function. Returns what is to be shown of its value."""
        from gx._report import Mistake
        from gx.exception import InvalidError, NotFoundError

        call = Call(self.words)
        try:
            function = self.find(call)
            if call.spawn:
                return str(function.spawn(*call.args, **call.kwargs).object_id)
            if function.is_generator:
                for item in function.remote_gen(*call.args, **call.kwargs):
                    print(_shown(item, call.json) if call.json or not isinstance(item, str) else item)
                return None
            value = function.remote(*call.args, **call.kwargs)
        except (NotFoundError, InvalidError) as error:
            if getattr(error, "__gx_remote__", False):
                raise
            raise Mistake("usage", str(error), "gx app list shows the apps there are") from None
        except KeyboardInterrupt:
            ignore_interrupts()
            raise
        return None if value is None and not call.json else _shown(value, call.json)

    def find(self, call: Call) -> Any:
        """The function, or the method of an instance of a class."""
        from gx.cls import Cls
        from gx.function import Function

        name, _, method = call.function.partition(".")
        if not method:
            if call.params:
                raise _mistake("--params is for the class of a method, as Model.ask")
            return Function.from_name(call.app, name, version=call.version).hydrate()
        cls = Cls.from_name(call.app, name, version=call.version).hydrate()
        instance = cls(**call.params)
        found = instance._gx_method(method)
        if found is None:
            raise _mistake(f"{name} of app {call.app} has no method {method!r}")
        return found


def _json(text: str, what: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError as error:
        raise _mistake(f"{what} is no JSON: {error}: {text}") from None


def _shown(value: Any, as_json: bool) -> str:
    if not as_json:
        return repr(value)
    import json

    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise _mistake(f"the result, a {type(value).__name__}, can't be written as JSON: {error}") from None


def _mistake(message: str) -> Exception:
    from gx._report import Mistake

    return Mistake("usage", message, "gx call APP FUNCTION [--args JSON] [--kwargs JSON] [--NAME VALUE ...]")


def main(words: List[str]) -> int:
    """Runs the command line; returns the exit code."""
    sys.argv = ["gx call", *words]
    return Caller(words).main()
