"""What makes a process unfit to be forked, found before it is.

A fork copies one thread and shares open files. So what must not be there is
other threads, whose locks and work would be lost; connections, files and shared
memory that several containers would use at once; timers and child processes,
which stay with the parent; and a GPU in use, which does not survive a fork.
"""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Sequence, Set

# Character devices without a state, by (major, minor): null, zero, full, random, urandom.
_STATELESS = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9)}


class Origins:
    """Which module's import began a thread, or opened a descriptor."""

    def __init__(self) -> None:
        self.threads: Dict[str, str] = {}  # by thread id
        self.files: Dict[str, str] = {}  # by descriptor
        self._seen_threads = set(os.listdir("/proc/self/task"))
        self._seen_files = _descriptors()
        self._replaced: List[Any] = []

    def __enter__(self) -> Origins:
        import _frozen_importlib_external as external

        loaders: List[Any] = [external._LoaderBasics, external.ExtensionFileLoader]
        for loader in loaders:
            original = loader.exec_module
            self._replaced.append((loader, original))
            loader.exec_module = self._observed(original)
        return self

    def __exit__(self, *_: object) -> None:
        for loader, original in self._replaced:
            loader.exec_module = original

    def _observed(self, original: Callable) -> Callable:
        def exec_module(loader: Any, module: Any) -> None:
            try:
                original(loader, module)
            finally:
                self._note(module.__name__)

        return exec_module

    def _note(self, module: str) -> None:
        """What is new belongs to the module that was executed just now: inner ones end first."""
        if module.partition(".")[0] == "gx":
            return  # it begins nothing; whoever has made it load may have
        threads, files = set(os.listdir("/proc/self/task")), _descriptors()
        if threads != self._seen_threads:
            for thread in threads - self._seen_threads:
                self.threads[thread] = module
            self._seen_threads = threads
        if files != self._seen_files:
            for file in files - self._seen_files:
                self.files[file] = module
            self._seen_files = files


def origins() -> Origins:
    """A block in which imports are observed."""
    return Origins()


def check(found: Origins, own: Sequence[int]) -> List[str]:
    """Why this process must not be forked, in a user's words; nothing if it may.

    ``own`` are descriptors that are meant to be open.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        _rehearse()
    return [
        *_threads(found),
        *_files(found, {0, 1, 2, *own}),
        *_memory(),
        *_children(),
        *_timers(),
        *_cuda(),
    ]


def _rehearse() -> None:
    """Forks once: libraries that are made for it (OpenBLAS) end their threads then."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 and newer warn of what is being found out here
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _threads(found: Origins) -> List[str]:
    own = str(os.getpid())
    names = {}
    threading = sys.modules.get("threading")
    if threading is not None:
        for thread in threading.enumerate():
            names[str(getattr(thread, "native_id", ""))] = thread.name
    reasons = []
    for task in sorted(os.listdir("/proc/self/task"), key=int):
        if task == own:
            continue
        name = names.get(task) or _read(f"/proc/self/task/{task}/comm")
        reasons.append(f"a thread is running ({name}){_by(found.threads.get(task))}")
    return _few(reasons)


def _files(found: Origins, own: set) -> List[str]:
    reasons = []
    for entry in sorted(_descriptors(), key=int):
        number = int(entry)
        if number in own:
            continue
        info, target = os.fstat(number), os.readlink(f"/proc/self/fd/{entry}")
        access = _flags(number)
        what = _shared(info, target, access)
        if what:
            reasons.append(what + _by(found.files.get(entry)))
    return _few(reasons)


def _descriptors() -> Set[str]:
    """The open descriptors, without that of the listing."""
    found = set(os.listdir("/proc/self/fd"))
    free = os.dup(2)  # the lowest that is free, as was the listing's
    os.close(free)
    found.discard(str(free))
    return found


def _shared(info: os.stat_result, target: str, access: int) -> str:
    """What is bad about an open descriptor; "" if nothing is."""
    mode = info.st_mode
    if stat.S_ISREG(mode):
        if access & os.O_ACCMODE == os.O_RDONLY:
            return ""
        return f"the file {target} is open for writing"
    if stat.S_ISDIR(mode):
        return f"the directory {target} is open"
    if stat.S_ISCHR(mode):
        if (os.major(info.st_rdev), os.minor(info.st_rdev)) in _STATELESS:
            return ""
        return f"the GPU is in use ({target})" if target.startswith("/dev/nvidia") else f"{target} is open"
    if stat.S_ISSOCK(mode):
        return "a network connection or socket is open"
    if stat.S_ISFIFO(mode):
        return "a pipe is open"
    return f"an {target[12:-1]} is open" if target.startswith("anon_inode:[") else f"{target} is open"


def _memory() -> List[str]:
    """Memory that is shared with whoever is forked, and writable."""
    reasons: Dict[str, None] = {}
    with open("/proc/self/maps") as maps:
        for line in maps:
            if line.split(" ", 2)[1][1::2] == "ws":
                path = line[73:].strip() or "anonymous"
                reasons[f"memory is shared ({path}), as by multiprocessing.Value or shared_memory"] = None
    return _few(list(reasons))


def _children() -> List[str]:
    own = str(os.getpid())
    reasons = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        text = _read(f"/proc/{entry}/stat")
        name, _, rest = text.rpartition(")")
        if rest.split()[1:2] == [own]:
            reasons.append(f"a child process is running ({name.partition('(')[2]})")
    return _few(reasons)


def _timers() -> List[str]:
    import signal

    kinds = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
    if any(signal.getitimer(kind) != (0.0, 0.0) for kind in kinds):
        return ["a timer is running (signal.alarm or setitimer)"]
    return []


def _cuda() -> List[str]:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    try:
        if cuda is not None and cuda.is_initialized():
            return ["CUDA is initialised (torch)"]
    except Exception:
        pass  # a torch without CUDA
    return []


def _by(module: Any) -> str:
    return f", since {module} was imported" if module else ""


def _few(reasons: List[str]) -> List[str]:
    """Not hundreds of the same."""
    unique = list(dict.fromkeys(reasons))
    return unique[:3] + ([f"and {len(unique) - 3} more of that kind"] if len(unique) > 3 else [])


def _flags(fd: int) -> int:
    for line in _read(f"/proc/self/fdinfo/{fd}").splitlines():
        if line.startswith("flags:"):
            return int(line[6:], 8)
    return os.O_RDWR


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
