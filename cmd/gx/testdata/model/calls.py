# both
"""The ways to call a function: remote, local, map, starmap, for_each, spawn, generators."""

import gx

app = gx.App("calls")


@app.function()
def add(x, y=0):
    return x + y


@app.function()
def count(n):
    for i in range(n):
        yield i


@app.function()
async def slow_add(x, y):
    import asyncio

    await asyncio.sleep(0.01)
    return x + y


@app.local_entrypoint()
def main():
    assert add.remote(2, y=3) == 5
    assert add.local(2, 3) == 5
    assert add(2, 3) == 5
    assert list(add.map([1, 2, 3])) == [1, 2, 3]
    assert list(add.map([1, 2, 3], [10, 20, 30])) == [11, 22, 33]
    assert list(add.map(range(3), kwargs={"y": 1})) == [1, 2, 3]
    assert sorted(add.map(range(50), order_outputs=False)) == list(range(50))
    assert list(add.starmap([(1, 2), (3, 4)])) == [3, 7]
    assert add.for_each(range(3)) is None
    assert add.spawn(4, 5).get() == 9
    assert list(count.remote_gen(5)) == [0, 1, 2, 3, 4]
    assert slow_add.remote(1, 2) == 3
    try:
        count.remote(5)
    except gx.exception.InvalidError as error:
        assert "remote_gen" in str(error), error
    else:
        raise AssertionError("a generator was called by remote()")
    print("ok")
