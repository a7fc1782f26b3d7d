# limit: 240
"""timeout= counts each attempt's run, and ends the code whatever it does."""

import time

import gx

app = gx.App("timeout")


@app.function(timeout=1)
def sleeps(seconds):
    time.sleep(seconds)
    return seconds


@app.function(timeout=1)
async def sleeps_async(seconds):
    import asyncio

    await asyncio.sleep(seconds)
    return seconds


@app.function(timeout=1)
def swallows():
    """Takes the first cancellation for an error like any other, and ends by itself."""
    try:
        time.sleep(60)
    except BaseException as error:
        print("swallowed", type(error).__name__)
    return "too late"


@app.function(timeout=1, max_containers=1)
def stubborn():
    """Does not end however often it is asked to."""
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


@app.function(timeout=1)
async def stubborn_async():
    import asyncio

    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass


@app.function(timeout=1, max_containers=1)
@gx.concurrent(max_inputs=4)
def stuck_in_c(stuck):
    """A C function that never gives Python back control."""
    if stuck:
        import ctypes

        ctypes.PyDLL(None).pause()  # with the interpreter's lock
    time.sleep(0.05)
    return "fine"


@app.function(timeout=1, max_containers=1)
@gx.concurrent(max_inputs=4)
def in_a_thread(seconds):
    time.sleep(seconds)
    return seconds


@app.function(timeout=1)
def drips():
    """A generator's items do not count as an end."""
    for i in range(100):
        yield i
        time.sleep(0.3)


@app.function(timeout=4, retries=gx.Retries(max_retries=1, initial_delay=0.0))
def second_time(path_is_there):
    """The limit is for each attempt: together they take longer."""
    time.sleep(2.1)
    if not path_is_there:
        raise ValueError("again")
    return 1


def times_out(call, *args):
    began = time.monotonic()
    try:
        call(*args)
    except gx.exception.FunctionTimeoutError as error:
        assert "timeout of 1s" in str(error), error
        assert isinstance(error, TimeoutError), "Python's own TimeoutError"
        took = time.monotonic() - began
        assert took >= 0.99, took
        return
    raise AssertionError(f"{call} ended in time")


@app.local_entrypoint()
def main():
    assert sleeps.remote(0.1) == 0.1
    times_out(sleeps.remote, 60)
    times_out(sleeps_async.remote, 60)
    assert sleeps_async.remote(0.1) == 0.1
    times_out(swallows.remote)
    times_out(stubborn.remote)
    times_out(stubborn_async.remote)
    times_out(in_a_thread.remote, 60)
    assert in_a_thread.remote(0.1) == 0.1

    # The C code holds everything in its container up; what is asked for
    # afterwards is answered by another.
    times_out(stuck_in_c.remote, True)
    assert stuck_in_c.remote(False) == "fine"

    got = []
    try:
        for item in drips.remote_gen():
            got.append(item)
    except gx.exception.FunctionTimeoutError:
        assert got and got == list(range(len(got))), got
    else:
        raise AssertionError(got)

    try:
        second_time.remote(False)
    except ValueError:
        pass  # after 4.2 s in all: no timeout

    # One overdue input of a map is that input's failure alone.
    answers = list(sleeps.map([0.1, 60, 0.2], return_exceptions=True))
    assert answers[0] == 0.1 and answers[2] == 0.2, answers
    assert isinstance(answers[1], gx.exception.FunctionTimeoutError), answers
    print("ok")
