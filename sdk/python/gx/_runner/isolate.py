"""How a process that was forked for a new container moves into it.

The runtime has made the mounts, the control groups and the network namespace;
what is left is what only the process itself can do. The rights for that are
those of the fork server's user namespace, and the last step gives them up.

Sources: namespaces(7), pivot_root(2), mount_namespaces(7), capabilities(7),
seccomp(2), include/uapi/linux of the kernel for the numbers.
"""

from __future__ import annotations

import os
from binascii import a2b_base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

NEWPID = 0x20000000
NEWNET = 0x40000000

_MS_BIND = 0x1000
_MNT_DETACH = 2
_AT_FDCWD = -100
_MOVE_MOUNT_F_EMPTY_PATH = 4
_SYS_MOVE_MOUNT, _SYS_PIDFD_OPEN = 429, 434  # the same on all architectures
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41, "s390x": 217}
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 22, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL, _SECCOMP_MODE_FILTER = 4, 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc: Any = None
_ctypes: Any = None
_pivot = 0
# The fork server's environment and folder, before any code of a user changed them.
_given: Dict[str, str] = {}
_folder = ""
_chosen = ""  # the folder that was changed to; "": none


def prepare() -> None:
    """Makes ready what is needed after a fork. Raises ImportError, OSError."""
    global _libc, _ctypes, _pivot, _given, _folder
    import ctypes

    _given, _folder = dict(os.environ), os.getcwd()
    _ctypes = ctypes
    _libc = ctypes.CDLL(None, use_errno=True)
    text, number = ctypes.c_char_p, ctypes.c_ulong
    _libc.mount.argtypes = [text, text, text, number, text]
    _libc.prctl.argtypes = [ctypes.c_int, number, ctypes.c_void_p, number, number]
    _libc.setrlimit.argtypes = [ctypes.c_int, ctypes.c_void_p]
    _libc.syscall.restype = ctypes.c_long
    machine = os.uname().machine
    if machine not in _PIVOT_ROOT:
        raise OSError(f"the number of pivot_root is not known for {machine}")
    _pivot = _PIVOT_ROOT[machine]


class Rules:
    """What every container is subject to; the runtime's policy, ready for use."""

    def __init__(self, policy: Dict[str, Any]) -> None:
        self.capabilities: List[int] = policy["capabilities"]
        self.rlimits: List[Tuple[int, int, int]] = policy["rlimits"]
        self.namespaces: int = policy["namespaces"]
        self.mount_flags: int = policy["mount_flags"]
        self.masked = [path.encode() for path in policy["masked"]]
        code = a2b_base64(policy["seccomp"])
        self._code = _ctypes.create_string_buffer(code, len(code))
        # struct sock_fprog: a short and a pointer, aligned
        self.filter = (_ctypes.c_size_t * 2)()
        _ctypes.c_ushort.from_buffer(self.filter).value = len(code) // 8
        self.filter[1] = _ctypes.addressof(self._code)


def unshare(namespaces: int) -> None:
    """Moves this process (or, for pid, its next children) into new namespaces."""
    _check(_libc.unshare(namespaces), "make new namespaces")


def setns(fd: int, kind: int) -> None:
    """Moves this process (or, for pid, its next children) into a namespace."""
    _check(_libc.setns(fd, kind), "enter a namespace")


def pidfd(pid: int) -> int:
    """A descriptor that stands for a child; it is closed in programs that are executed."""
    fd: int = _check(_libc.syscall(_SYS_PIDFD_OPEN, pid, 0), "open a process")
    return fd


class Order:
    """What is to be done in a container."""

    def __init__(self, message: Dict[str, Any], files: List[int]) -> None:
        self.env: List[str] = message["env"]
        self.dir: str = message["dir"]
        self.hostname: str = message["hostname"]
        self.out, self.err = files[:2]


def enter(network: bool, files: List[int], rules: Rules) -> None:
    """Moves this process into its container's namespaces and groups, for good.

    ``files`` are the mount tree, the network namespace if ``network``, and the
    control groups' entrances. Raises OSError.
    """
    global _chosen
    tree, groups = files[0], files[1:]
    if os.getcwd() != _folder:
        _chosen = os.getcwd()
    os.setsid()
    if network:
        namespace = groups.pop(0)
        setns(namespace, NEWNET)
        os.close(namespace)
    for fd in groups:
        os.write(fd, b"0")
        os.close(fd)
    unshare(rules.namespaces)
    _root(tree, rules)
    os.close(tree)
    for number, soft, hard in rules.rlimits:
        _check(_libc.setrlimit(number, (_ctypes.c_uint64 * 2)(soft, hard)), "set a resource limit")


def complete(order: Order, rules: Rules) -> None:
    """Makes this process, in its place, what the order says, and gives its rights up. Raises OSError."""
    os.dup2(order.out, 1)
    os.dup2(order.err, 2)
    os.close(order.out)
    os.close(order.err)
    host = order.hostname.encode()
    _check(_libc.sethostname(host, len(host)), "set the host name")
    os.chdir(_chosen or order.dir)
    _environment(order.env)
    _drop(rules)


def _root(tree: int, rules: Rules) -> None:
    """Makes the mount tree this process's whole file system."""
    flags = rules.mount_flags
    # Any directory will do; /dev is always there.
    _check(
        _libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, b"/dev", _MOVE_MOUNT_F_EMPTY_PATH),
        "mount the root",
    )
    os.chdir("/dev")
    # Before the old root goes: a user namespace gets no more of /proc than it sees somewhere.
    _check(_libc.mount(b"proc", b"proc", b"proc", flags, None), "mount /proc")
    _check(_libc.syscall(_pivot, b".", b"."), "change the root")
    _check(_libc.umount2(b".", _MNT_DETACH), "unmount the old root")
    os.chdir("/")
    _check(_libc.mount(b"mqueue", b"/dev/mqueue", b"mqueue", flags, None), "mount /dev/mqueue")
    for path in rules.masked:
        if _libc.mount(b"/dev/null", path, None, _MS_BIND, None) == 0:
            continue
        if _ctypes.get_errno() == 2:  # ENOENT
            continue
        _check(_libc.mount(b"tmpfs", path, b"tmpfs", flags, None), f"mask {path.decode()}")


def _environment(env: List[str]) -> None:
    """Gives this process its environment; what imports have changed in theirs stays changed."""
    fresh = dict([entry.split("=", 1) for entry in env if "=" in entry])
    for name in _given:
        if name not in fresh:
            os.environ.pop(name, None)
    for name, value in fresh.items():
        if _given.get(name) != value:
            os.environ[name] = value


def _drop(rules: Rules) -> None:
    """Gives up every capability and, by the filter, the calls that went with them."""
    for number in rules.capabilities:
        _check(_libc.prctl(_PR_CAPBSET_DROP, number, None, 0, 0), "drop a capability")
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, None, 0, 0), "drop capabilities")
    header = (_ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, (_ctypes.c_uint32 * 6)()), "drop all capabilities")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0), "set no_new_privs")
    _check(
        _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _ctypes.addressof(rules.filter), 0, 0),
        "set the filter of system calls",
    )


def _check(result: int, what: str) -> int:
    if result < 0:
        number = _ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
