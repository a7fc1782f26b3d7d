"""The fork server: this process waits, and further containers are forked from it.

It speaks the fork protocol of gx's container runtime over a socket whose
descriptor number is in the environment variable ``GX_FORK_FD``; messages are
JSON. The runtime prepares a container's mounts, control groups and network and
sends their descriptors; the new process moves itself there (see isolate).

A program uses it like this::

    server = fork.Server(int(os.environ["GX_FORK_FD"]))
    server.step_down()
    policy = server.policy()
    ...                                   # load what all have in common
    instance = server.serve(policy)       # returns in each new container
    instance.started()
"""

from __future__ import annotations

import os
from _struct import Struct

import _socket
from gx._runner import isolate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, NoReturn, Tuple, Union

_INT = Struct("i")
_MESSAGE = 2 << 20  # bytes of the longest message
_DESCRIPTORS = 64  # in one message


class Instance:
    """A new process in its container, from the moment it is in place.

    ``args`` are the runtime's Spec.Args, to be understood as the program likes;
    they are there when ``serve`` returns.
    """

    def __init__(self, channel: int) -> None:
        self.args: List[str] = []
        self._channel = _socket.socket(fileno=channel)
        self._report = -1

    def await_order(self) -> isolate.Order:
        """Waits in place until the runtime has something to be done here."""
        _send(self._channel, {"placed": True})
        try:
            message, files = _receive(self._channel)
        except (EOFError, OSError):
            os._exit(0)  # there is nothing to do any more
        self._channel.close()
        self.args, self._report = message["args"], files[2]
        return isolate.Order(message, files)

    def misplaced(self, message: str) -> NoReturn:
        """Tells the runtime why this process is not where it should be, and ends it."""
        try:
            _send(self._channel, {"error": message})
        except OSError:
            pass  # nobody waits for it any more
        finally:
            os._exit(127)

    def started(self) -> None:
        """Tells the runtime that this process goes on."""
        os.write(self._report, b"R")
        os.close(self._report)

    def execute(self) -> NoReturn:
        """Goes on as the program ``args[0]``, looked up in PATH."""
        os.write(self._report, b"R")
        try:
            os.execvp(self.args[0], self.args)
        except OSError as error:
            self.failed(f"exec {self.args[0]}: {error.strerror}")

    def failed(self, message: str) -> NoReturn:
        """Tells the runtime why this process does not go on, and ends it."""
        if self._report < 0:
            self.misplaced(message)
        try:
            os.write(self._report, message.encode("utf-8", "replace"))
        except OSError:
            pass  # nobody waits for it any more
        finally:
            os._exit(127)


class Server:
    """One end of the socket. Not for use in several threads."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self.fd = fd
        self._sock = _socket.socket(fileno=fd)
        self._children: Dict[int, Tuple[int, int]] = {}  # pidfd: (id of the request, pid)
        self._placed: Callable[[], None] = lambda: None
        self._own: Dict[str, int] = {}  # open namespaces of this process

    def step_down(self) -> None:
        """Goes on in a child process; this one, the container's first, waits for it.

        Every container that is forked has pid 1, too. If the server had it,
        libraries that tell by the pid that they were forked would not notice.
        """
        pid = os.fork()
        if pid == 0:
            return
        self._sock.close()
        while True:
            try:
                child, status = os.wait()
            except InterruptedError:
                continue
            if child == pid:
                os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))

    def policy(self) -> Dict[str, Any]:
        """Waits until the runtime has made everything, and returns its rules."""
        message, _ = _receive(self._sock)
        isolate.prepare()
        policy: Dict[str, Any] = message["policy"]
        return policy

    def refuse(self, reason: str) -> None:
        """Says that this process must not be forked, and why, in a user's words."""
        self._send({"refused": reason})
        self._sock.close()  # the program goes on to its end, and would be told of a socket that is left

    def serve(self, policy: Dict[str, Any], placed: Callable[[], None] = lambda: None) -> Instance:
        """Waits for requests; returns in each process that it forks, isolated as asked.

        ``placed`` is called there first, when the process is in its container
        and waits for its order: what takes time and needs neither the order's
        environment nor threads is best done then.

        In the server itself it does not return: the process ends with the
        connection.
        """
        from select import POLLIN, poll

        flags = os.O_RDONLY | os.O_CLOEXEC
        self._own = {kind: os.open(f"/proc/self/ns/{kind}", flags) for kind in ("pid", "net")}
        rules = isolate.Rules(policy)
        self._placed = placed
        poller = poll()
        poller.register(self.fd, POLLIN)
        self._send({"ready": True})
        while True:
            for fd, _ in poller.poll():
                if fd != self.fd:
                    poller.unregister(fd)
                    self._bury(fd)
                    continue
                try:
                    message, files = _receive(self._sock)
                except EOFError:
                    os._exit(0)
                if "fork" not in message:
                    self._network(message["id"])
                    continue
                child = self._fork(message, files, rules)
                if isinstance(child, Instance):
                    return child
                if child >= 0:
                    poller.register(child, POLLIN)

    def _network(self, number: int) -> None:
        """Makes a network namespace, and hands it over."""
        try:
            isolate.unshare(isolate.NEWNET)
            try:
                made = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            finally:
                isolate.setns(self._own["net"], isolate.NEWNET)
        except OSError as error:
            self._send({"id": number, "error": str(error)})
            return
        self._send({"id": number}, made)
        os.close(made)

    def _fork(self, message: Dict[str, Any], files: List[int], rules: isolate.Rules) -> Union[int, Instance]:
        """In the server a pidfd, or -1; in the new process an Instance."""
        number, request = message["id"], message["fork"]
        pidfd = -1
        try:
            isolate.unshare(isolate.NEWPID)
            try:
                pid = os.fork()
                if pid == 0:
                    return self._become(request, files, rules)
            finally:
                if self._own:  # not in the child
                    isolate.setns(self._own["pid"], isolate.NEWPID)
            pidfd = isolate.pidfd(pid)
            self._children[pidfd] = (number, pid)
            self._send({"id": number}, pidfd)
        except OSError as error:
            self._send({"id": number, "error": str(error)})
        finally:
            if self._own:
                for fd in files:
                    os.close(fd)
        return pidfd

    def _become(self, request: Dict[str, Any], files: List[int], rules: isolate.Rules) -> Instance:
        """In the new process: moves to its container, waits there, and becomes what is asked for."""
        own, self._own = self._own, {}
        instance = Instance(files[0])
        try:
            self._sock.close()
            for fd in [*own.values(), *self._children]:
                os.close(fd)
            self._children = {}
            isolate.enter(bool(request["namespace"]), files[1:], rules)
            self._placed()
            isolate.complete(instance.await_order(), rules)
        except BaseException as error:
            instance.failed(str(error) or type(error).__name__)
        return instance

    def _bury(self, pidfd: int) -> None:
        """A container's first process has ended."""
        number, pid = self._children.pop(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._send({"exited": number, "status": status})

    def _send(self, message: Dict[str, Any], *files: int) -> None:
        try:
            _send(self._sock, message, *files)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)  # the runtime is gone, and with it all that this process was for


def _receive(sock: _socket.socket) -> Tuple[Dict[str, Any], List[int]]:
    from json import loads

    space = _socket.CMSG_SPACE(_DESCRIPTORS * _INT.size)
    text, ancillary, _, _ = sock.recvmsg(_MESSAGE, space, _socket.MSG_CMSG_CLOEXEC)
    if not text:
        raise EOFError("the runtime has closed the connection")
    files = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            files += [fd for (fd,) in _INT.iter_unpack(data[: len(data) // _INT.size * _INT.size])]
    return loads(text), files


def _send(sock: _socket.socket, message: Dict[str, Any], *files: int) -> None:
    from json import dumps

    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _INT.pack(fd)) for fd in files]
    sock.sendmsg([dumps(message).encode()], rights)
