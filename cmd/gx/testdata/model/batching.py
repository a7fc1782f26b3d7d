# both
"""Dynamic batching: single inputs in, lists within, single answers out."""

import asyncio
import threading
import time

import gx

app = gx.App("batching")


@app.function(max_containers=1)
@gx.batched(max_batch_size=8, wait_ms=200)
def squares(xs):
    assert isinstance(xs, list)
    return [(x * x, len(xs)) for x in xs]


@app.function(max_containers=1)
@gx.batched(max_batch_size=4, wait_ms=100)
async def named(a, b=10):
    await asyncio.sleep(0)
    return [(x, y, len(a)) for x, y in zip(a, b)] if isinstance(b, list) else [(x, b, len(a)) for x in a]


@app.function(max_containers=1)
@gx.concurrent(max_inputs=3)
@gx.batched(max_batch_size=2, wait_ms=2000)
def meets(xs):
    together.wait(30)
    return xs


together = threading.Barrier(3)


@app.function(max_containers=1)
@gx.batched(max_batch_size=2, wait_ms=50)
def slow(xs):
    time.sleep(3)
    return xs


@app.function(max_containers=1)
@gx.batched(max_batch_size=3, wait_ms=100)
def bad(xs):
    if "raise" in xs:
        raise ValueError(f"{len(xs)} inputs")
    return xs[:-1]


@app.function(max_containers=1)
def plain(xs):
    return [len(xs)] * len(xs) if isinstance(xs, list) else xs


@app.cls(max_containers=1)
class Model:
    factor: int = gx.parameter(default=2)

    @gx.batched(max_batch_size=16, wait_ms=100)
    def scale(self, xs):
        return [(self.factor * x, len(xs)) for x in xs]


@app.local_entrypoint()
def main():
    assert squares.remote(3) == (9, 1)
    answers = list(squares.map(range(40)))
    assert [value for value, _ in answers] == [i * i for i in range(40)]
    assert max(size for _, size in answers) == 8, answers
    assert squares.local([1, 2]) == [(1, 2), (4, 2)] == squares([1, 2])

    assert named.remote(1) == (1, 10, 1)
    assert [row[:2] for row in named.starmap([(1, 2), (3,), (4, 5)])] == [(1, 2), (3, 10), (4, 5)]
    assert [row[:2] for row in named.map([1, 2], kwargs={"b": 7})] == [(1, 7), (2, 7)]

    # With input concurrency several batches run at once: each of the three waits for the others.
    assert list(meets.map(range(6))) == list(range(6))

    for inputs, kind, text in ((["raise", "x"], ValueError, "inputs"), (["a", "b"], gx.exception.InvalidError, "values for a batch of")):
        errors = list(bad.map(inputs, return_exceptions=True))
        assert all(type(error) is kind and text in str(error) for error in errors), errors

    assert [value for value, _ in Model(factor=3).scale.map(range(20))] == [3 * i for i in range(20)]
    assert Model(factor=3).scale.local([1, 2]) == [(3, 2), (6, 2)]

    # An input that is cancelled leaves its batch alone.
    cancelled, other = slow.spawn(1), slow.spawn(2)
    time.sleep(0.2)
    cancelled.cancel()
    assert other.get() == 2
    try:
        cancelled.get()
    except gx.exception.InputCancellation:
        pass
    else:
        raise AssertionError("it was cancelled, and has a value")

    # Any function can be a batched one, as a variant.
    assert plain.remote(5) == 5
    assert plain.with_batching(max_batch_size=4, wait_ms=100).remote(5) == 1
    print("ok")
