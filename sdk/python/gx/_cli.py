"""``python -m gx._cli run``: what ``gx run`` starts. It imports the user's file and runs what was asked for."""

from __future__ import annotations

import os
import sys

from gx import _host, _session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

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


class Program:
    """One run of a user's file."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.control = _host.use_inherited()
        self.sources: Dict[str, str] = {}  # files of containers, and the local ones that they are

    def main(self) -> int:
        """Runs it and returns the exit code."""
        from gx._report import Mistake

        result = ""
        try:
            result = self.run() or ""
            code = 0
        except Mistake as mistake:
            code = 2
            self.tell(exception=mistake.report())
        except _host.StartError as failure:
            code = failure.exit or 1
            if not failure.shown:
                self.tell(exception={"kind": "start", "message": str(failure)})
        except SystemExit as exit:
            code = self.exit_code(exit.code)
        except KeyboardInterrupt:
            code = 130
            self.tell(exception={"kind": "interrupt", "message": "interrupted"})
        except BaseException as error:
            from gx._report import of_user

            code = 1
            self.tell(exception=of_user(error, self.sources))
        _host.flush()
        self.tell(exit={"code": code, "result": result})
        if self.control is not None:
            self.control.close()
        return code

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
            # Nothing of what follows may be cut short by a second one: gx kills us then.
            _ignore_interrupts()
            raise
        finally:
            session.stop()
        if options.write_result is not None:
            _write(options.write_result, value, name)
            return None
        return shown

    def start(self, app: Any) -> _session.Session:
        """Starts the app, and remembers which local files its containers have."""
        session = _session.start(app, output=True, raw=True)
        self.sources = session.sources
        return session

    def tell(self, **line: Any) -> None:
        """Says something to gx; to the user, if there is no gx to hear it."""
        from gx.exception import ConnectionError

        try:
            if self.control is not None:
                self.control.tell(**line)
                return
        except ConnectionError:
            pass
        if "exception" in line:
            fields = line["exception"]
            print(fields.get("traceback") or f"error: {fields['message']}\n{fields.get('hint', '')}".rstrip(), file=sys.stderr)
        elif line.get("exit", {}).get("result"):
            print(line["exit"]["result"])

    @staticmethod
    def exit_code(code: Any) -> int:
        """What sys.exit(code) means."""
        if code is None:
            return 0
        if isinstance(code, int):
            return code & 0xFF
        print(code, file=sys.stderr)
        return 1


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


def _ignore_interrupts() -> None:
    import signal

    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        pass  # not in the main thread


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
    return Program(options).main()


def _line_by_line() -> None:
    """What is printed here and what gx prints of functions keep their order."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


if __name__ == "__main__":
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]  # `python -m` has put the working directory first
    sys.exit(main(sys.argv[1:]))
