"""A runner that loses its connection to the host is replaced; so is one that talks nonsense to it."""

import os

import gx

app = gx.App("lost-connection")


def sockets():
    """The descriptors of this process that are sockets."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except OSError:
            pass
    return found


@app.function(max_containers=2)
def closes(x, marker):
    """Closes all that it did not open: the first time."""
    if x == 5:
        os.closerange(3, 4096)
    return x


@app.function(max_containers=1)
@gx.concurrent(max_inputs=4)
def closes_in_a_thread(x):
    if x == 5:
        os.closerange(3, 4096)
    return x


@app.function(max_containers=1)
async def closes_async(x):
    if x == 5:
        os.closerange(3, 4096)
    return x


@app.function(max_containers=1)
def talks_nonsense(x):
    if x == 5:
        for fd in sockets():
            os.write(fd, b"\xff" * 64)
    return x


@app.function(max_containers=1)
def shuts_down(x):
    import socket

    if x == 5:
        for fd in sockets():
            socket.socket(fileno=os.dup(fd)).shutdown(socket.SHUT_RDWR)
    return x


def given_up(call, *args):
    try:
        value = call(*args)
    except gx.exception.ExecutionError as error:
        assert "3 containers died" in str(error), error
        assert "connection" in str(error), error
        return
    raise AssertionError(value)


@app.local_entrypoint()
def main():
    given_up(closes.remote, 5, None)
    assert closes.remote(1, None) == 1
    for function in (closes_in_a_thread, closes_async, talks_nonsense, shuts_down):
        given_up(function.remote, 5)
        assert function.remote(1) == 1, function
    print("ok")
