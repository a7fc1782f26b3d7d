# both
# limit: 240
"""Out of memory is told as that, with the limit and what was used."""

import subprocess
import sys

import gx

app = gx.App("oom")


@app.function(memory=(64, 200))
def greedy(megabytes):
    hoard = [bytearray(1_000_000) for _ in range(megabytes)]
    return len(hoard)


@app.function(memory=(64, 200), retries=gx.Retries(max_retries=1, initial_delay=0.0))
def greedy_twice():
    print("attempt")
    return len([bytearray(1_000_000) for _ in range(1000)])


@app.function(memory=(64, 300), max_containers=1)
@gx.concurrent(max_inputs=4)
def together(megabytes):
    import time

    hoard = [bytearray(1_000_000) for _ in range(megabytes)]
    time.sleep(1)
    return len(hoard)


@app.function(memory=(64, 200))
def child(megabytes):
    """Only the child process needs too much: the function goes on."""
    code = f"hoard = [bytearray(1_000_000) for _ in range({megabytes})]"
    return subprocess.run([sys.executable, "-c", code]).returncode


def out_of_memory(call, *args):
    try:
        value = call(*args)
    except gx.exception.ResourceExhaustedError as error:
        for word in ("out of memory", "memory limit is", "had used", "memory="):
            assert word in str(error), (word, str(error))
        return str(error)
    raise AssertionError(value)


@app.local_entrypoint()
def main():
    text = out_of_memory(greedy.remote, 1000)
    assert "200 MiB" in text, text
    assert greedy.remote(20) == 20
    out_of_memory(greedy_twice.remote)

    # Of several inputs at once the one that needs too much is told, not the others.
    answers = list(together.map([20, 20, 1000, 20], return_exceptions=True))
    assert isinstance(answers[2], gx.exception.ResourceExhaustedError), answers
    assert answers[:2] + answers[3:] == [20, 20, 20], answers
    # Inputs that need too much only together are run one at a time.
    assert list(together.map([150, 150])) == [150, 150]

    assert child.remote(1000) == -9
    assert child.remote(1) == 0
    print("ok")
