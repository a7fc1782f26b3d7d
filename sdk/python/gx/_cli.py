"""``python -m gx._cli run``: what ``gx run`` starts. It imports the user's file and runs what was asked for."""

from __future__ import annotations

import os
import sys

from gx._program import Program, ignore_interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    from gx._session import Session

_RESULT_MOST = 64 << 10  # characters of a result that is shown


class Options:
    """The command line."""

    def __init__(self, words: List[str]) -> None:
        self.module = False
        self.write_result: Optional[str] = None
        self.reference = ""
        self.flags: List[str] = []
        todo = list(words)[::-1]
        while todo:
            word = todo.pop()
            if word == "-m":
                self.module = True
            elif word == "--write-result" and todo:
                self.write_result = todo.pop()
            else:
                self.reference, self.flags = word, todo[::-1]
                return


class Run(Program):
    """One run of a user's file."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def run(self) -> Optional[str]:
        """Imports, starts, calls, stops. Returns what is to be shown of the result."""
        from gx import _entry
        from gx._flags import Command, MethodCommand
        from gx.app import LocalEntrypoint

        options = self.options
        app, target = _entry.find(options.reference, options.module)
        reference = ("-m " if options.module else "") + options.reference
        callee: Any = target
        if isinstance(target, _entry.Method):
            name = target.name
            method = MethodCommand(target.cls, target.method, reference)
            args, kwargs = method.parse(options.flags)
            given, kwargs = method.split(kwargs)
            callee = getattr(target.cls(**given), target.method)
        else:
            name = target.name if isinstance(target, LocalEntrypoint) else target._name
            batched = not isinstance(target, LocalEntrypoint) and bool(target._settings.batch)
            args, kwargs = Command(target._raw, name, reference, batched=batched).parse(options.flags)
        session = self.start(app)
        value: Any = None
        shown: Optional[str] = None
        try:
            if isinstance(target, LocalEntrypoint):
                value = _local(target._raw, args, kwargs)
            else:
                value, shown = _call(callee, args, kwargs)
        except KeyboardInterrupt:
            ignore_interrupts()
            raise
        finally:
            session.stop()
        if options.write_result is not None:
            _write(options.write_result, value, name)
            return None
        return shown

    def start(self, app: Any) -> Session:
        """Starts the app, and remembers which local files its containers have."""
        from gx._session import start

        session = start(app, output=True, raw=True)
        self.sources = session.sources
        return session


def _call(function: Any, args: List[Any], kwargs: Dict[str, Any]) -> Any:
    """Calls a function remotely: (its value, what is shown of it)."""
    if function.is_generator:
        for item in function.remote_gen(*args, **kwargs):
            print(item if isinstance(item, str) else repr(item))
        return None, None
    value = function.remote(*args, **kwargs)
    if value is None:
        return None, None
    shown = repr(value)
    if len(shown) > _RESULT_MOST:
        shown = f"{shown[:_RESULT_MOST]}... ({len(shown) - _RESULT_MOST} more characters)"
    return value, shown


def _local(raw: Any, args: List[Any], kwargs: Dict[str, Any]) -> Any:
    value = raw(*args, **kwargs)
    if hasattr(value, "__await__"):
        import asyncio

        return asyncio.run(_awaited(value))
    return value


async def _awaited(value: Any) -> Any:
    return await value


def _write(path: str, value: Any, name: str) -> None:
    from gx._report import Mistake

    if not isinstance(value, (str, bytes)):
        raise Mistake("usage", f"--write-result needs a function that returns str or bytes; {name} returned {type(value).__name__}")
    data = value.encode() if isinstance(value, str) else value
    try:
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    except OSError as error:
        raise Mistake("usage", f"the result can't be written to {path}: {error.strerror or error}") from None


def main(words: List[str]) -> int:
    """Runs the command line; returns the exit code."""
    if words == ["serve"]:
        from gx import _serve

        _line_by_line()
        return _serve.main()
    if words[:1] == ["call"]:
        from gx import _call

        _line_by_line()
        return _call.main(words[1:])
    if len(words) < 2 or words[0] != "run":
        print("usage: python -m gx._cli run [-m] [--write-result FILE] [--env E] FILE[::NAME] [flags]", file=sys.stderr)
        return 2
    options = Options(words[1:])
    if not options.reference:
        print("gx run needs a file: gx run FILE[::NAME]", file=sys.stderr)
        return 2
    sys.argv = [options.reference, *options.flags]
    _line_by_line()
    return Run(options).main()


def _line_by_line() -> None:
    """What is printed here and what gx prints of functions keep their order."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


if __name__ == "__main__":
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]  # `python -m` has put the working directory first
    sys.exit(main(sys.argv[1:]))
