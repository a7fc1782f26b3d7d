"""A program that gx has started: what it does is told to gx, and its end is an exit code."""

from __future__ import annotations

import sys

from gx import _host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional


class Program:
    """What gx has started; ``run`` is what it is for."""

    def __init__(self) -> None:
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
        """Does what the program is for. Returns what is to be shown of its result."""
        raise NotImplementedError

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


def ignore_interrupts() -> None:
    """From here on nothing is cut short by a second Ctrl-C: gx ends us then."""
    import signal

    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        pass  # not in the main thread
