# limit: 240
"""A function whose containers do not come up: tried more and more slowly, then given up with an error."""

import os
import time

import gx

app = gx.App("crash-loop")
function = os.environ.get("GX_FUNCTION")

if function == "exits_in_import":
    print("leaving at once")
    os._exit(9)
if function == "crashes_in_import":
    import ctypes

    ctypes.string_at(0)
if function == "raises_in_import":
    raise RuntimeError("the module does not work here")
if function == "hungry_import":
    hoard = [bytearray(1_000_000) for _ in range(1000)]
if function == "exits_quietly":
    import sys

    sys.exit(0)


@app.function()
def exits_in_import(x):
    pass


@app.function()
def crashes_in_import(x):
    pass


@app.function()
def raises_in_import(x):
    pass


@app.function()
def exits_quietly(x):
    pass


@app.function(memory=(64, 200))
def hungry_import(x):
    pass


@app.function(min_containers=2)
def fine(x):
    return x


def given_up(kind, function, *words):
    began = time.monotonic()
    answers = list(function.map(range(3), return_exceptions=True))
    took = time.monotonic() - began
    for answer in answers:
        assert isinstance(answer, kind), (kind, answer)
        for word in words:
            assert word in str(answer), (word, str(answer))
    return took


@app.local_entrypoint()
def main():
    lost = gx.exception.ExecutionError
    took = given_up(lost, exits_in_import, "exits_in_import", "exit status 9", "leaving at once")
    assert took > 0.7, took  # 0.25 s, then 0.5 s between the three starts
    given_up(lost, exits_in_import, "exit status 9")
    given_up(lost, crashes_in_import, "SIGSEGV")
    given_up(RuntimeError, raises_in_import, "does not work here")
    given_up(lost, hungry_import, "out of memory", "200 MiB")
    given_up(SystemExit, exits_quietly)
    assert list(fine.map(range(3))) == [0, 1, 2]
    print("ok")
