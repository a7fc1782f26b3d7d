# both
# limit: 240
"""retries= repeats failed attempts: how often, and after which delays."""

import time

import gx

app = gx.App("retries")
attempts = []  # of the container: the same one is used again


@app.function(retries=2, max_containers=1)
def by_number(key, fail):
    """A number of retries: one second between attempts."""
    attempts.append((key, time.monotonic()))
    mine = [t for k, t in attempts if k == key]
    if len(mine) <= fail:
        raise ValueError(f"attempt {len(mine)}")
    return mine


@app.function(retries=gx.Retries(max_retries=4, initial_delay=0.2, backoff_coefficient=10.0, max_delay=1.0), max_containers=1)
def backs_off(key, fail):
    attempts.append((key, time.monotonic()))
    mine = [t for k, t in attempts if k == key]
    if len(mine) <= fail:
        raise ValueError(f"attempt {len(mine)}")
    return mine


@app.function(retries=gx.Retries(max_retries=3, initial_delay=0.0, backoff_coefficient=1.0), max_containers=1)
def at_once(key, fail):
    attempts.append((key, time.monotonic()))
    mine = [t for k, t in attempts if k == key]
    if len(mine) <= fail:
        raise ValueError(f"attempt {len(mine)}")
    return mine


@app.function(retries=gx.Retries(max_retries=2, initial_delay=0.0), timeout=2, max_containers=1)
def hangs_once(key):
    attempts.append((key, time.monotonic()))
    if len([1 for k, _ in attempts if k == key]) == 1:
        time.sleep(60)
    return len([1 for k, _ in attempts if k == key])


@app.function(retries=gx.Retries(max_retries=2, initial_delay=0.0))
def counts_down(n):
    for i in range(n):
        yield i
    raise ValueError("after items")


@app.function(max_containers=1)
def never(key):
    attempts.append((key, time.monotonic()))
    raise ValueError(f"attempt {len([1 for k, _ in attempts if k == key])}")


def delays(times):
    return [b - a for a, b in zip(times, times[1:])]


def near(got, want):
    assert len(got) == len(want), (got, want)
    for g, w in zip(got, want):
        assert w - 0.01 <= g < w + 5, (got, want)  # a machine may have other things to do


@app.local_entrypoint()
def main():
    near(delays(by_number.remote("a", 2)), [1.0, 1.0])
    assert len(by_number.remote("b", 0)) == 1
    try:
        by_number.remote("c", 3)
    except ValueError as error:
        assert str(error) == "attempt 3", error  # the last one's
    else:
        raise AssertionError("more than two retries")

    near(delays(backs_off.remote("a", 4)), [0.2, 1.0, 1.0, 1.0])  # at most max_delay, else 20 s and 200 s

    assert len(at_once.remote("a", 3)) == 4
    # Each input of a map has its own retries.
    tries = [len(t) for t in at_once.map(["m0", "m1", "m2", "m3"], [0, 1, 2, 3])]
    assert tries == [1, 2, 3, 4], tries

    assert hangs_once.remote("a") == 2  # a timeout is a failed attempt

    # What has given items to its caller cannot be started over.
    got = []
    try:
        for item in counts_down.remote_gen(3):
            got.append(item)
    except ValueError:
        pass
    assert got == [0, 1, 2], got

    # No retries: one attempt.
    try:
        never.remote("a")
    except ValueError as error:
        assert str(error) == "attempt 1", error
    print("ok")
