"""Functions that the engine's tests run in containers."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time


def square(x):
    return x * x


def slow(seconds):
    time.sleep(seconds)
    return seconds


def _until(condition):
    end = time.monotonic() + 150
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("what is waited for does not come")
        time.sleep(0.005)


def meet(n):
    """Lasts until n of it run at the same time; half a second for 0."""
    if n == 0:
        time.sleep(0.5)
        return n
    folder = os.environ["SHARED"]
    os.close(tempfile.mkstemp(dir=folder)[0])
    _until(lambda: len(os.listdir(folder)) >= n)
    return n


def held(x):
    """Lasts, except for 0, until the test releases it."""
    if x:
        _until(lambda: os.path.exists(os.path.join(os.environ["SHARED"], "released")))
    return x


def shout(n):
    for i in range(n):
        print("line", i)
    print("to stderr", file=sys.stderr)
    subprocess.run(["echo", "from a child"], check=True)
    return n


def raw(n):
    os.write(1, b"caf\xe9 \xff\n")
    os.write(1, b"x" * n + b"\nunfinished")
    return n


def gigabyte(n):
    line = "y" * 999
    for _ in range(n):
        print(line)
    return n


def fails(x):
    raise ValueError(f"no {x}")


def flaky(path):
    with open(path, "a") as f:
        f.write("x")
    if os.path.getsize(path) < 3:
        raise ValueError("not yet")
    return os.path.getsize(path)


def leaves(code):
    os._exit(code)


def pause(x):
    time.sleep(0.001)
    return x


def crashes(x):
    ctypes.string_at(0)


def stubborn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except BaseException:
            pass
    return seconds


def hog(mib):
    data = []
    for _ in range(mib):
        data.append(bytearray(1 << 20))
    return mib


def forks(x):
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    return os.waitpid(pid, 0)[1] >> 8


def count(n):
    for i in range(n):
        yield i


def closes(x):
    from gx._runner import state

    os.close(state.runner.connection.fd)
    time.sleep(60)


def big(n):
    return n * b"z"


def length(data):
    return len(data)


def whoami(x):
    return os.environ["GX_FUNCTION"] + " " + os.environ.get("FROM_IMAGE", "") + " " + os.environ.get("FROM_FUNCTION", "")


def pid(x):
    return os.getpid()


class Stubborn:
    def stay(self, seconds):
        return stubborn(seconds)


Stubborn.stay._gx_roles = ("method",)


class Model:
    def double(self, x):
        return 2 * x

    def triple(self, x):
        return 3 * x

    def bye(self):
        print("bye")


Model.double._gx_roles = ("method",)
Model.triple._gx_roles = ("method",)
Model.bye._gx_roles = ("exit",)


def job():
    return 7


def badjob():
    raise ValueError("by itself")


def longjob():
    time.sleep(600)
