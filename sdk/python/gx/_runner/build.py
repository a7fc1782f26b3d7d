"""Started in a build step: ``python build.py KEY FOLDER``, with the image's own Python. Calls one function of the user's.

What to call is in FOLDER/request.json, see build.CallRequest; the user's own
modules are below its ``root``. The exit status is 0, or 1 with the user's
traceback on standard error.
"""

import os
import sys

GRACE = 5.0
"""Seconds after its timeout after which a function that can't be interrupted is ended."""


def start() -> int:
    """Calls the function; returns the exit code."""
    sdk, here = __file__.rsplit("/", 3)[0], __file__.rsplit("/", 1)[0]
    if here in sys.path:
        sys.path.remove(here)
    sys.path.insert(0, sdk)
    import json

    # These take a moment, which is not the function's.
    from gx import _members, _wire  # noqa: F401
    from gx._runner import errors, service, state  # noqa: F401

    with open(sys.argv[2] + "/request.json", encoding="utf-8") as file:
        request = json.load(file)
    for folder in (os.getcwd(), request["root"]):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    del sys.argv[1:]
    state.building = True
    keep = sys.modules["__main__"]  # the user's module takes the name over
    try:
        _limit(request)
        try:
            call(request)
        finally:
            _unlimited()
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            return 0
        sys.stdout.flush()
        text = errors.head(error)["traceback"].replace(request["root"] + "/", "/root/")  # as in containers
        print(text + _postponed(request, error), file=sys.stderr, end="", flush=True)
        return 1
    finally:
        del keep
    return 0


def call(request: dict) -> None:
    """Finds the function and calls it with its arguments."""
    from binascii import a2b_base64

    from gx import _wire
    from gx._members import is_async
    from gx._runner.service import function_of

    function = function_of(request)
    args, kwargs = _wire.loads(a2b_base64(request["args"])) if request.get("args") else ((), {})
    value = function(*args, **kwargs)
    if is_async(function):
        import asyncio

        asyncio.run(value)


def _limit(request: dict) -> None:
    """Ends the function when its time is over, and what of it does not end by that."""
    import faulthandler
    import signal

    limit = float(request.get("timeout") or 0)
    if not limit:
        return

    def over(*_: object) -> None:
        raise TimeoutError(f"{request.get('name')} ran for longer than its timeout of {limit:g} s")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit)
    # It may be in C, or have left threads. This ends the process with status 1, and says where it hung.
    faulthandler.dump_traceback_later(limit + GRACE, exit=True)


def _unlimited() -> None:
    """What raises in the main thread has no use once the function has returned."""
    import signal

    signal.setitimer(signal.ITIMER_REAL, 0)


def _postponed(request: dict, error: BaseException) -> str:
    """Why a name is not defined that stands in a block of ``image.imports()``."""
    module = sys.modules.get(request.get("module") or "")
    if not isinstance(error, NameError) or module is None:
        return ""
    for value in list(vars(module).values()):
        reason = getattr(value, "_import_error", None) if type(value).__module__ == "gx.image" else None
        if reason is not None:
            return (
                f"`with image.imports()` could not import it: {type(reason).__name__}: {reason}\n"
                "A function that runs while the image is built has what the steps before it have installed.\n"
            )
    return ""


if __name__ == "__main__":
    sys.exit(start())
