# limit: 240
"""FunctionCall.cancel reaches the code as InputCancellation, and frees the container."""

import os
import time

import gx

app = gx.App("cancel")
seen = []  # of the container


@app.function(max_containers=1)
def waits(seconds):
    try:
        print("begun", seconds, flush=True)
        time.sleep(seconds)
    except gx.exception.InputCancellation:
        seen.append(seconds)
        raise
    return list(seen), os.environ["GX_CONTAINER_ID"]


@app.function(max_containers=1)
async def waits_async(seconds):
    import asyncio

    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        seen.append(seconds)
        raise
    return list(seen), os.environ["GX_CONTAINER_ID"]


@app.function(max_containers=1)
@gx.concurrent(max_inputs=4)
def waits_in_threads(seconds):
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(0.01)
    except gx.exception.InputCancellation:
        seen.append(seconds)
        raise
    return list(seen), os.environ["GX_CONTAINER_ID"]


@app.function(max_containers=1)
def yields(n):
    try:
        for i in range(n):
            yield i
            time.sleep(0.05)
    except gx.exception.InputCancellation:
        seen.append(n)
        raise


@app.function(max_containers=1)
def quick(x):
    return x


@app.function(max_containers=1)
def deaf(x):
    """Does not end when it is cancelled."""
    end = time.monotonic() + x
    while time.monotonic() < end:
        try:
            time.sleep(1)
        except BaseException:
            pass
    return x


def cancelled(function, seconds, **how):
    """Cancels a call that has begun, and sees that its caller is told."""
    call = function.spawn(seconds)
    while function.get_current_stats().num_running_inputs == 0:
        time.sleep(0.02)
    time.sleep(0.5)  # it is with its container, which has begun it soon
    call.cancel(**how)
    try:
        call.get(timeout=30)
    except gx.exception.InputCancellation:
        return
    raise AssertionError("a cancelled call has a result")


def seen_by(function, want, same=None, patience=30.0):
    end = time.monotonic() + patience
    while True:
        got, container = function.remote(0.0)
        if got == want or time.monotonic() > end:
            assert got == want, (got, want)
            assert same is None or container == same, "it is another container"
            return container


@app.local_entrypoint()
def main():
    for function in (waits, waits_async, waits_in_threads):
        container = seen_by(function, [])
        cancelled(function, 50.0)
        seen_by(function, [50.0], container)
        # With terminate_containers the container goes too: the next sees nothing.
        cancelled(function, 60.0, terminate_containers=True)
        other = seen_by(function, [])
        assert other != container

    # What waits in the queue is cancelled there; what is not cancelled goes on.
    first = waits.spawn(1.0)
    queued = waits.spawn(70.0)
    queued.cancel()
    try:
        queued.get(timeout=30)
    except gx.exception.InputCancellation:
        pass
    else:
        raise AssertionError("a cancelled call has a result")
    assert first.get(timeout=30)[0] == []

    # A call that has ended stays as it is.
    call = quick.spawn(5)
    assert call.get() == 5
    call.cancel()
    assert call.get() == 5

    # Code that does not end when it is cancelled is ended with its container,
    # after 30 seconds; until then it is not known what it is doing.
    deaf_began = time.monotonic()
    cancelled(deaf, 500.0)
    after = deaf.spawn(0.0)

    # Leaving a generator's loop cancels it.
    for i in yields.remote_gen(1000):
        if i == 3:
            break
    # A map that is left behind is cancelled: its container is free for others.
    for x in waits.map([0.01] * 3 + [100.0] * 10):
        break
    began = time.monotonic()
    waits.remote(0.0)
    assert time.monotonic() - began < 20, "the container is not free"
    assert after.get(timeout=60) == 0.0
    took = time.monotonic() - deaf_began
    assert 29 < took < 50, took
    print("ok")
