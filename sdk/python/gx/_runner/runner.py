"""The runner: one process in a container that answers inputs of one function or class."""

from __future__ import annotations

import os
import sys
from _collections import deque  # type: ignore[import-not-found]
import _signal  # type: ignore[import-not-found]
from _thread import get_ident
from time import perf_counter

from gx import _wire
from gx._runner import errors, output, state
from gx._runner.answers import Answers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Deque, Dict, List, Optional

    from gx._runner.service import Service
    from gx._wire import Frame

_CALLS = 4096  # calls whose method and id are remembered; the oldest are forgotten


class Runner:
    """Speaks with the host, and keeps what came until it is run.

    Frames come in whichever thread reads the connection, see ``handle``. How
    inputs are run is the work of an executor: Serial, Threads or Aio.
    """

    def __init__(self, sock: Any = None) -> None:
        if sock is None:
            path = os.environ.get("GX_RUNNER_SOCKET", "/__gx/run/host.sock")
            self.connection = _wire.connect(path, self.handle)
        else:
            self.connection = _wire.Connection(sock, self.handle)
        self.answers = Answers(self.connection)
        self.outputs: tuple = ()
        self.start: Optional[dict] = None
        self.stopping: Optional[dict] = None  # StopBody, when the host has asked
        self.inputs: Deque[Frame] = deque()  # came, and not begun
        self.client: Optional[Callable[[Frame], None]] = None  # gets answers to calls made from here
        self.arrived: Callable[[], None] = lambda: None  # the executor's: inputs or stopping have changed
        self.cancel: Callable[[Callable[[Frame], bool]], None] = lambda matches: None  # the executor's
        self.web: Callable[[Frame], None] = lambda frame: None  # the executor's: a frame about a web request has come
        self.executing: Any = None  # the executor, once there is one
        self.mask: Optional[Callable[[str], str]] = None  # hides the values of secrets; None: there are none
        self._masks: Dict[int, Any] = {}  # of signals, by thread that is forking
        self._batches: Any = None  # a Collector, where the function takes batches
        self._staged: Any = None  # a Swap
        self._methods: Dict[int, str] = {}
        self._call_ids: Dict[int, str] = {}

    def handle(self, frame: Frame) -> None:
        """Takes one frame of the host. Any thread may be calling; nothing here blocks."""
        type, call = frame[0], frame[1]
        if type == _wire.INPUT:
            if self._batches is not None:
                whole = self._batches.add(frame)
                if whole is None:
                    return
                frame = whole
            self.inputs.append(frame)
            self.arrived()
        elif type >= _wire.WEB_REQUEST:
            if type == _wire.WEB_REQUEST:
                self.inputs.append(frame)
                self.arrived()
            else:
                self.web(frame)
        elif call & _wire.RUNNER_CALL and type != _wire.CANCEL:
            if self.client is not None:
                self.client(frame)
        elif type == _wire.CANCEL:
            self._cancel(call, frame[2])
        elif type == _wire.OPEN:
            _remember(self._methods, call, str(_wire.from_json(frame[3]).get("method", "")))
        elif type == _wire.OPENED:
            _remember(self._call_ids, call, str(_wire.from_json(frame[3]).get("call_id", "")))
        elif type == _wire.START:
            self.start = _wire.from_json(frame[3])
            if self.start.get("batch"):
                from gx._runner.batches import Collector

                self._batches = Collector()
        elif type == _wire.BATCH:
            if self._batches is not None:
                self._batches.announce(frame[2])
        elif type == _wire.STAGE:
            self._stage(frame)
        elif type == _wire.SWAP:
            self._swap()
        elif type == _wire.STOP:
            self.stopping = _wire.from_json(frame[3])
            self.arrived()
        # Other types have no meaning for a runner; a newer host may send them.

    def _stage(self, frame: Frame) -> None:
        """Sees whether newer code can take the place of what is here."""
        from gx._runner import swap

        self._staged, refused = None, ""
        try:
            body = _wire.from_json(frame[3])
            self._staged = swap.Swap(body["files"], body["functions"])
        except swap.Refused as reason:
            refused = str(reason)
        except Exception as error:  # the host replaces the container instead
            refused = f"{type(error).__name__}: {error}"
        self.connection.send(_wire.encode(_wire.STAGED, frame[1], body=_wire.to_json({"refused": refused})))

    def _swap(self) -> None:
        staged, self._staged = self._staged, None
        if staged is not None and self.start is not None:
            staged.make()
            self.start["functions"] = staged.functions

    def _cancel(self, call: int, index: int) -> None:
        def matches(frame: Frame) -> bool:
            # Of a batch the host answers what is cancelled, and the others go on.
            return type(frame) is tuple and frame[1] == call and index in (frame[2], _wire.ALL_INPUTS)

        for frame in list(self.inputs):
            if matches(frame):
                try:
                    self.inputs.remove(frame)
                except ValueError:
                    continue  # it was begun just now
                self.answers.error(
                    frame, errors.make("InputCancellation", "the input was cancelled before it began")
                )
                self.answers.flush()
        self.cancel(matches)

    def arguments(self, frame: Frame, function: Callable) -> Any:
        """The (args, kwargs) of an input, or of a batch. Raises what the caller is told instead."""
        if type(frame) is not tuple:
            from gx._runner.batches import gather

            return gather(frame, function, self.answers.error)  # type: ignore[arg-type]
        try:
            return _wire.loads(frame[3])
        except Exception as error:
            raise errors.not_loadable(error) from None

    def next(self) -> Optional[Frame]:
        """Takes the next input that has not begun, or None."""
        try:
            return self.inputs.popleft()
        except IndexError:
            return None  # perhaps it was cancelled just now, in another thread

    def method(self, frame: Frame) -> str:
        """The name of the method that an input is for; "" for a function."""
        return self._methods.get(frame[1], "")

    def may_stream(self, frame: Frame, function: Callable) -> None:
        """Raises InvalidError for the items of a function that its caller does not know to be a generator."""
        assert self.start is not None
        if type(frame) is tuple and self.method(frame) not in self.start["generators"]:
            name = getattr(function, "__qualname__", "the function")
            raise errors.make(
                "InvalidError",
                f"{name} returned a generator, but is not a generator function: return a list, or declare it with "
                f"is_generator=True and call it with remote_gen()",
            )

    def call_id(self, frame: Frame) -> str:
        """The id of an input's call: the host's if it told it, else one that is unique in the host."""
        assert self.start is not None
        return self._call_ids.get(frame[1]) or f"fc-{self.start.get('container', '')}-{frame[1]}"

    def input_id(self, frame: Frame) -> str:
        """The id of an input."""
        return f"in-{self.call_id(frame)[3:]}-{frame[2]}"

    # -- life --

    def run(self, load_sdk: Callable[[], None]) -> int:
        """From Hello to Bye; returns the exit code."""
        if not self.greet("runner", output.capture):
            return self._bye()
        self._wrap_exit()
        self.set_secrets()
        try:
            began = perf_counter()
            load_sdk()
            service = self.load()
            imported = perf_counter() - began
        except BaseException as error:
            return self.failed(error)
        return self.work(service, service.enter_snap + service.enter, imported)

    def go_on(self, service: Service, outputs: tuple) -> int:
        """The same in a process that was forked from one which has loaded the service."""
        for out in outputs:
            out.forked()
        if not self.greet("runner", lambda: outputs):
            return self._bye()
        self._wrap_exit()
        return self.work(service, service.enter, 0)

    def greet(self, role: str, capture: Callable[[], tuple]) -> bool:
        """Says who this is; returns whether there is something to run, which is then in ``start``."""
        hello = {
            "protocol": _wire.PROTOCOL,
            "role": role,
            "version": _version(),
            "python": sys.version.split(" ", 1)[0].rstrip("+"),
            "token": os.environ.pop("GX_TOKEN", ""),
        }
        self.connection.send(_wire.encode(_wire.HELLO, body=_wire.to_json(hello)))
        self.outputs = capture()
        self.connection.wait(lambda: self.start is not None or self.stopping is not None)
        if self.start is None:
            return False
        for out in self.outputs:
            out.tag(self.start.get("marker", ""))
        if self.start.get("secrets"):
            from gx._runner import masking

            self.mask = masking.masker(self.start["secrets"])
        state.runner = self
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork, after_in_parent=self._unblock)
        return True

    def set_secrets(self) -> None:
        """Sets the variables of secrets, before any code of the user is loaded.

        They come over the connection, so that no list of processes has them. A
        runner that was forked has those of its template, which are the same but
        for what imports have made of them.
        """
        assert self.start is not None
        for name, value in (self.start.get("secrets") or {}).items():
            os.environ[name] = value

    def work(self, service: Service, enter: List[Callable], imported: float) -> int:
        """Runs the hooks and all inputs; returns the exit code. ``imported`` is seconds."""
        try:
            began = perf_counter()
            executor = self.executing = self.executor(service)()
            for hook in enter:
                executor.hook(hook)
            if self.start is not None and self.start.get("web"):
                executor.prepare()
            entered = perf_counter() - began
        except BaseException as error:
            return self.failed(error)
        self.ready(imported, entered)
        executor.run()
        for hook in service.exit:
            try:
                executor.hook(hook)
            except BaseException as error:
                print(
                    f"exit hook {getattr(hook, '__qualname__', hook)} failed:\n{errors.head(error)['traceback']}",
                    file=sys.stderr,
                    end="",
                )
        return self._bye()

    def ready(self, imported: float, entered: float) -> None:
        """Tells the host that inputs may come, and how many seconds it took."""
        body = _wire.to_json({"import": round(imported, 6), "enter": round(entered, 6)})
        self.connection.send(_wire.encode(_wire.READY, body=body))

    def load(self) -> Service:
        """Imports what the host named. Raises what the user's code raises."""
        from gx._runner.service import load

        assert self.start is not None
        _emulate_gpus()
        root = os.environ.get("GX_ROOT", "/root")
        here = os.getcwd()
        for folder in [root] if here in (root, "/") else [here, root]:
            if folder in sys.path:
                sys.path.remove(folder)
            sys.path.insert(0, folder)
        return load(self.start)

    def executor(self, service: Service) -> Callable[[], Any]:
        """What makes the executor that suits the service; its code is loaded."""
        assert self.start is not None
        concurrency = max(1, int(self.start.get("concurrency") or 1))
        if self.start.get("web"):
            from gx._runner.web import Web

            return lambda: Web(self, service, concurrency)
        if service.asynchronous:
            from gx._runner.aio import Aio

            return lambda: Aio(self, service, concurrency)
        if concurrency > 1:
            from gx._runner.threads import Threads

            return lambda: Threads(self, service, concurrency)
        from gx._runner.serial import Serial

        return lambda: Serial(self, service)

    def leave(self, imported: float, entered: float) -> None:
        """Ends the connection of a template that has loaded everything."""
        self.ready(imported, entered)
        self._finish_output()
        state.runner = None
        self.connection.close()
        self.connection.abandon()

    def failed(self, error: BaseException) -> int:
        """Importing the user's code, or an enter hook, raised; returns the exit code."""
        self._finish_output()
        self.connection.send_payload(_wire.FAILED, 0, 0, errors.body(error))
        self.connection.close()
        return 1

    def _bye(self) -> int:
        self._finish_output()
        work = _counted()
        self.connection.send(_wire.encode(_wire.BYE, body=_wire.to_json({"work": work}) if work else b""))
        return 0

    def _finish_output(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # the user's own object, or one that was closed
        for out in self.outputs:
            out.finish(None)

    def finish(self, frame: Frame) -> None:
        """At the end of an input, before its answer is sent: what it printed is written."""
        stdout, stderr = self.outputs
        if sys.stdout is not sys.__stdout__:
            self._flush_foreign(sys.stdout)
        if stdout._partial or stdout._tagged is not None:
            stdout.finish(frame)
        if stderr._partial or stderr._tagged is not None:
            stderr.finish(frame)

    @staticmethod
    def _flush_foreign(stream: Any) -> None:
        """Flushes what the user's code has put in the place of sys.stdout."""
        try:
            stream.flush()
        except Exception:
            pass

    # -- forks, and the end of the process without warning --

    def _before_fork(self) -> None:
        """The child's output will belong to the input that forks.

        Python forgets signals that come to the child in its first moments, if
        there is a handler in Python: multiprocessing ends its workers by such.
        """
        if state.runner is self:
            for out in self.outputs:
                out.claim()
            self._masks[get_ident()] = _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM,))

    def _unblock(self) -> None:
        mask = self._masks.pop(get_ident(), None)
        if mask is not None:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def _after_fork(self) -> None:
        """In a child: the connection is the parent's."""
        if state.runner is self:
            state.runner = None
            self.connection.abandon()
            self.answers.waiting = []
            for out in self.outputs:
                out.forked()
            # The runner's own handler is for the runner; the user's is the child's too.
            if getattr(_signal.getsignal(_signal.SIGTERM), "__self__", None) is self.executing:
                _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
            self._unblock()

    def leave_child(self, error: Optional[BaseException]) -> None:
        """Ends a forked child that came back from the user's function: only the parent answers."""
        if error is not None and not isinstance(error, SystemExit):
            print(errors.head(error)["traceback"], file=sys.stderr, end="")
        self._finish_output()
        os._exit(0 if error is None or isinstance(error, SystemExit) and not error.code else 1)

    def _wrap_exit(self) -> None:
        """Lets os._exit send the answers that are waiting for company first."""
        exit_now = os._exit

        def _exit(status: int) -> None:
            if state.runner is self:
                try:
                    self.answers.flush()
                except Exception:
                    pass  # the process ends in any case
            exit_now(status)

        _exit.__doc__ = exit_now.__doc__
        os._exit = _exit  # type: ignore[assignment]


def _emulate_gpus() -> None:
    """Has torch find the container's emulated GPUs, should the image's Python have left out what does so at its start."""
    page = os.environ.get("GX_GPU_PAGE")
    if page and "gx_cuda" not in sys.modules:
        folder = page.rpartition("/")[0] + "/python"
        if os.path.exists(folder + "/gx_cuda"):
            sys.path.insert(0, folder)
            import gx_cuda  # type: ignore[import-not-found]

            gx_cuda.install()


def _counted() -> Any:
    """What was computed on emulated cards, where it was to be counted; else None."""
    counting = sys.modules.get("gx_cuda.estimate")
    return None if counting is None else counting.report()


def _remember(known: dict, call: int, value: str) -> None:
    if len(known) >= _CALLS:
        del known[next(iter(known))]
    known[call] = value


def _version() -> str:
    """The SDK's version, without executing the SDK."""
    try:
        from gx._version import __version__  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return ""
    return str(__version__)


def main(load_sdk: Callable[[], None], keep: Any) -> int:
    """Runs until the host says stop, or is gone. ``keep`` is kept alive."""
    try:
        return until_lost(lambda: Runner().run(load_sdk))
    finally:
        del keep


def until_lost(run: Callable[[], int]) -> int:
    """Runs a runner; returns its exit code. Without its host it ends the process."""
    try:
        return run()
    except (OSError, _wire.ProtocolError) as error:
        # Without its host nothing here can be of use to anyone.
        print(f"gx: the runner has lost its host: {error}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(70)
