"""A function that takes its process down: its caller is told how, and nobody else is harmed."""

import os
import sys

import gx

app = gx.App("crash")


@app.function()
def takes_down(how):
    print("taking it down:", how)
    if how == "segfault":
        import ctypes

        ctypes.string_at(0)
    elif how == "_exit":
        os._exit(3)
    elif how == "_exit 0":
        os._exit(0)
    elif how == "abort":
        os.abort()
    elif how == "closes":
        os.closerange(3, 1000)
    elif how == "sys.exit":
        sys.exit(4)
    elif how == "sys.exit 0":
        sys.exit()
    elif how == "KeyboardInterrupt":
        raise KeyboardInterrupt
    elif how == "GeneratorExit":
        raise GeneratorExit
    elif how == "recursion":

        def deep():
            return deep()

        return deep()
    return how


@app.function(max_containers=1)
@gx.concurrent(max_inputs=4)
def beside(how):
    import time

    time.sleep(0.3)
    if how == "segfault":
        import ctypes

        ctypes.string_at(0)
    return how


@app.function(max_containers=1)
def quick(x):
    """So quick that answers travel together: those before the crash are not lost."""
    if x == 177:
        import ctypes

        ctypes.string_at(0)
    return x


@app.function(retries=gx.Retries(max_retries=1, initial_delay=0.0))
def twice():
    print("attempt")
    os._exit(5)


def fails(kind, *words, call=takes_down.remote, args=()):
    try:
        value = call(*args)
    except BaseException as error:
        assert isinstance(error, kind), (kind, type(error), error)
        for word in words:
            assert word in str(error), (word, str(error))
        return error
    raise AssertionError(f"{args}: {value!r}")


@app.local_entrypoint()
def main():
    lost = gx.exception.ExecutionError
    fails(lost, "SIGSEGV", "native code", args=["segfault"])
    fails(lost, "exit status 3", "os._exit", args=["_exit"])
    fails(lost, "exit status 0", "os._exit", args=["_exit 0"])
    fails(lost, "abort", args=["abort"])
    fails(SystemExit, args=["sys.exit"])
    fails(SystemExit, args=["sys.exit 0"])
    fails(KeyboardInterrupt, args=["KeyboardInterrupt"])
    fails(GeneratorExit, args=["GeneratorExit"])
    fails(RecursionError, args=["recursion"])
    # A lost connection might be the machine's doing: tried again, three times in all.
    fails(lost, "3 containers", "lost its connection", args=["closes"])
    fails(lost, "exit status 5", call=twice.remote)
    assert takes_down.remote("nothing") == "nothing"

    # Of several inputs in a container the one that did it is told, not the others.
    answers = list(beside.map(["a", "b", "segfault", "c", "d"], return_exceptions=True))
    assert isinstance(answers[2], lost) and "SIGSEGV" in str(answers[2]), answers
    assert answers[:2] + answers[3:] == ["a", "b", "c", "d"], answers
    answers = list(quick.map(range(300), return_exceptions=True))
    wrong = [x for x in range(300) if answers[x] != x]
    assert wrong == [177] and "SIGSEGV" in str(answers[177]), [(x, answers[x]) for x in wrong]
    print("ok")
