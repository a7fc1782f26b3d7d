# limit: 300
"""What one container may not do to the machine: too many processes, a full disk."""

import gx

app = gx.App("limits")


@app.function(max_containers=1)
def forks_on():
    """A fork bomb, which tells how far it came."""
    import os
    import signal

    children = []
    try:
        while len(children) < 100_000:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
    except OSError as error:
        return len(children), type(error).__name__, error.errno
    finally:
        for pid in children:
            os.kill(pid, 9)
        for pid in children:
            os.waitpid(pid, 0)
    return len(children), "", 0


@app.function(max_containers=1)
def threads_on():
    import threading

    done = threading.Event()
    threads = []
    try:
        while len(threads) < 100_000:
            thread = threading.Thread(target=done.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError as error:
        return len(threads), str(error)
    finally:
        done.set()
        for thread in threads:
            thread.join()


@app.function(ephemeral_disk=200)
def fills_disk(megabytes):
    written = 0
    with open("/var/tmp/large", "wb") as file:
        for _ in range(megabytes):
            file.write(b"x" * 1_000_000)
            written += 1
    import time

    time.sleep(3)
    return written


@app.function()
def leaves_children():
    """What a function started and forgot ends with the container at the latest."""
    import subprocess

    return subprocess.Popen(["sleep", "100000"]).pid > 0


@app.local_entrypoint()
def main():
    import errno

    count, kind, number = forks_on.remote()
    assert kind == "BlockingIOError" and number == errno.EAGAIN, (kind, number)
    assert 100 < count < 50_000, count
    assert forks_on.remote()[1] == "BlockingIOError"  # the same container goes on

    count, text = threads_on.remote()
    assert 100 < count < 50_000 and "thread" in text, (count, text)

    assert fills_disk.remote(50) == 50
    try:
        value = fills_disk.remote(1000)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
    except gx.exception.ExecutionError as error:
        assert "file system" in str(error) and "200 MiB" in str(error), error
    else:
        raise AssertionError(value)
    assert fills_disk.remote(50) == 50
    assert leaves_children.remote()
    print("ok")
