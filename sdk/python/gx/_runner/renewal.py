"""What a forked runner must not have in common with its siblings, and threads.

Pools of threads do not survive a fork, so in the template the usual libraries
get one thread, and each runner has as many as it would have had. OpenBLAS
takes care of itself: it ends its threads before a fork, and makes new ones when
they are first needed.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

# What libraries read when they are loaded, or when they need their first thread.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
)
_OPENBLAS = "OPENBLAS_NUM_THREADS"

# The function that sets the number of threads, by part of a library's name; and
# the variables that the library would have read.
_LIBRARIES: Dict[str, Tuple[str, Tuple[str, ...]]] = {
    "libgomp": ("omp_set_num_threads", ("OMP_NUM_THREADS",)),
    "libiomp5": ("omp_set_num_threads", ("OMP_NUM_THREADS",)),
    "libomp": ("omp_set_num_threads", ("OMP_NUM_THREADS",)),
    "libmkl_rt": ("MKL_Set_Num_Threads", ("MKL_NUM_THREADS", "OMP_NUM_THREADS")),
    "libblis": ("bli_thread_set_num_threads", ("BLIS_NUM_THREADS", "OMP_NUM_THREADS")),
}
_MANY = 1 << 16

_setters: List[Tuple[Any, Tuple[str, ...]]] = []
_cores = _MANY


def restrain() -> None:
    """Lets libraries that are loaded from now on have one thread.

    os.environ, which the user's code may look at, stays as it is.
    """
    for name in _VARIABLES:
        os.putenv(name, "1")
    # It would go by the number of OpenMP.
    os.putenv(_OPENBLAS, str(_threads((_OPENBLAS, "OMP_NUM_THREADS"), _MANY)))


def prepare() -> None:
    """Finds what release needs, once everything is loaded."""
    global _cores
    import ctypes

    _cores = _count_cores()
    _setters.clear()
    for path in _loaded():
        base = path.rsplit("/", 1)[1]
        for part, (name, variables) in _LIBRARIES.items():
            if part not in base:
                continue
            try:
                library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
            except OSError:
                continue  # its file is not what was loaded any more
            setter = getattr(library, name, None)
            if setter is not None:
                _setters.append((setter, variables))
            break


def reseed() -> None:
    """In a forked process: random numbers of its own. The module random sees to itself."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed(list(memoryview(os.urandom(32)).cast("I")))
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "default_generator"):
        torch.default_generator.seed()


def changes(before: Dict[str, str]) -> Dict[str, Optional[str]]:
    """The variables that the user's code has set while it was loaded, or removed (None). gx's own are not its to change."""
    now = dict(os.environ)
    found: Dict[str, Optional[str]] = {name: value for name, value in now.items() if before.get(name) != value}
    found.update({name: None for name in before if name not in now})
    return {name: value for name, value in found.items() if not name.startswith("GX_")}


def release(changed: Dict[str, Optional[str]]) -> None:
    """In a forked runner, with its environment: what loading the user's code has made of it, and as many threads as without the fork."""
    for name, value in changed.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    for name in (*_VARIABLES, _OPENBLAS):
        value = os.environ.get(name)
        if value is None:
            os.unsetenv(name)
        else:
            os.putenv(name, value)
    # torch.set_num_threads makes a pool at once, which takes 13 ms. It goes by
    # the number of OpenMP, for which its own choice is the number of cores.
    most = _cores if "torch" in sys.modules else _MANY
    for setter, variables in _setters:
        setter(_threads(variables, most))


def _threads(variables: Tuple[str, ...], most: int) -> int:
    for name in variables:
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return min(len(os.sched_getaffinity(0)), most)


def _count_cores() -> int:
    """The machine's physical cores, of which each may be several CPUs."""
    cores = set()
    folder = "/sys/devices/system/cpu"
    try:
        for entry in os.listdir(folder):
            if entry[:3] == "cpu" and entry[3:].isdigit():
                with open(f"{folder}/{entry}/topology/thread_siblings_list") as siblings:
                    cores.add(siblings.read())
    except OSError:
        pass
    return len(cores) or _MANY


def _loaded() -> List[str]:
    """The files of the shared libraries in this process."""
    files: Dict[str, None] = {}
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line[73:].strip()
            if path.startswith("/") and ".so" in path:
                files[path] = None
    return list(files)
