"""Variants, calls from containers, deadlocks, statistics, functions by name, call graphs."""

import time

import gx

app = gx.App("anywhere")


@app.function()
def square(x):
    return x * x


@app.function(max_containers=1)
def recursive(n):
    return 0 if n == 0 else 1 + recursive.remote(n - 1)


@app.function(max_containers=1)
@gx.concurrent(max_inputs=8)
def wide(n):
    return 0 if n == 0 else 1 + wide.remote(n - 1)


@app.function()
def fan(n):
    return sum(square.map(range(n)))


@app.function()
async def fan_async(n):
    return sum([value async for value in square.map.aio(range(n))])


@app.function(env={"A": "1", "B": "1"}, timeout=20)
def environment(name):
    import os

    return os.environ.get(name)


@app.local_entrypoint()
def main():
    assert square.remote(4) == 16

    # Variants have containers of their own; the function stays as it is.
    variant = environment.with_options(env={"A": "2"}, cpu=0.25, memory=256, timeout=10)
    assert [f.remote(n) for f in (environment, variant) for n in "AB"] == ["1", "1", "2", "1"]
    assert list(variant.with_concurrency(max_inputs=4).map("ABC")) == ["2", "1", None]
    assert variant.with_options(env={"B": "3"}).remote("B") == "3"
    assert environment.remote("A") == "1"

    # From containers.
    assert fan.remote(100) == fan_async.remote(100) == sum(i * i for i in range(100))
    assert wide.remote(5) == 5, "a container that takes several inputs can call itself"

    # What can never end is told, and the containers go on.
    began = time.monotonic()
    try:
        recursive.remote(3)
    except gx.exception.ExecutionError as error:
        assert "deadlock" in str(error) and "max_containers=1" in str(error), error
    else:
        raise AssertionError("one container cannot wait for itself")
    assert time.monotonic() - began < 20
    assert recursive.remote(0) == 0

    # While it runs.
    square.update_autoscaler(min_containers=2)
    while square.get_current_stats().num_total_runners < 2:
        time.sleep(0.02)
    stats = square.get_current_stats()
    assert stats.backlog == 0, stats
    try:
        square.update_autoscaler(min_containers=3, max_containers=2)
    except gx.exception.InvalidError as error:
        assert "min_containers=3 is more than max_containers=2" in str(error), error
    else:
        raise AssertionError

    # By name.
    found = gx.Function.from_name("anywhere", "square")
    assert found.remote(11) == 121 and not found.is_generator
    assert found.with_options(cpu=0.25).remote(12) == 144
    for wrong in (gx.Function.from_name("anywhere", "absent"), gx.Function.from_name("no-such-app", "square")):
        try:
            wrong.remote(1)
        except gx.exception.NotFoundError as error:
            assert "square" in str(error) or "no-such-app" in str(error), error
        else:
            raise AssertionError

    # Who called whom.
    call = fan.spawn(3)
    assert call.get() == 5
    (root,) = call.get_call_graph()
    assert root.status.name == "SUCCESS" and root.function_name == "fan" and root.task_id.startswith("co-"), root
    assert [child.function_name for child in root.children] == ["square"] * 3, root.children
    assert gx.FunctionCall.gather(square.spawn(2), square.spawn(3)) == [4, 9]
    print("ok")
