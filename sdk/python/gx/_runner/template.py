"""The runner as a template: it loads the user's code, and runners are forked from it.

It does what a runner does up to the hooks of ``enter(snap=True)``, over a
connection with the host that it then closes; makes sure that nothing is lost or
shared by mistake when it is forked; and waits for requests of the container
runtime. In each container that is forked, the runner begins with the hooks of
``enter``.
"""

from __future__ import annotations

import os
from time import perf_counter

import _socket
from gx._runner import fork, output
from gx._runner.runner import Runner, until_lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Tuple

    from gx._runner.service import Service


def main(load_sdk: Callable[[], None], keep: Any) -> int:
    """Returns the exit code, in the template and in every runner. ``keep`` is kept alive."""
    server = fork.Server(int(os.environ.pop("GX_FORK_FD")))
    server.step_down()
    try:
        policy = server.policy()
        from gx._runner import guards, renewal
    except (ImportError, OSError) as error:
        server.refuse(f"the image's Python lacks what it takes: {error}")
        return 0
    before = dict(os.environ)
    renewal.restrain()
    with guards.origins() as found:
        code, loaded = _load(load_sdk)
    if loaded is None:
        return code
    service, outputs = loaded
    reasons = guards.check(found, [server.fd])
    if reasons:
        server.refuse("; ".join(reasons))
        return 0
    import gc

    gc.collect()
    gc.freeze()
    renewal.prepare()
    changed = renewal.changes(before)
    instance = server.serve(policy, _settle)
    try:
        renewal.release(changed)
        runner = Runner()
    except BaseException as error:
        instance.failed(str(error) or type(error).__name__)
    instance.started()
    try:
        return until_lost(lambda: runner.go_on(service, outputs))
    finally:
        del keep


def _settle() -> None:
    """In a new process, while it waits for its order: gets its own copies of
    the memory that a runner's first moments change."""
    from gx._runner import renewal

    renewal.reseed()
    Runner(_socket.socketpair()[0]).connection.close()


def _load(load_sdk: Callable[[], None]) -> Tuple[int, Optional[Tuple[Service, tuple]]]:
    """The exit code if there is nothing to fork, else the user's code and the outputs."""
    runner = Runner()
    if not runner.greet("template", output.capture):
        return 0, None
    try:
        runner.set_secrets()
        began = perf_counter()
        load_sdk()
        service = runner.load()
        imported = perf_counter()
        for hook in service.enter_snap:
            _run(hook)
        entered = perf_counter()
        runner.executor(service)  # loads what runners need
    except BaseException as error:
        return runner.failed(error), None
    runner.leave(imported - began, entered - imported)
    return 0, (service, runner.outputs)


def _run(hook: Callable) -> None:
    """Runs a hook; an async one on an event loop that ends with it."""
    value = hook()
    if hasattr(value, "__await__"):
        import asyncio

        async def wait() -> None:
            await value

        asyncio.run(wait())
