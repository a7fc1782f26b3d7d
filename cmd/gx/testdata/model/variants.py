# both
"""Variants of classes, bounds of their containers, and classes that are found by name."""

import os
import time

import gx

app = gx.App(f"variants-{os.getpid()}")  # one of its own: others may run this file


@app.cls(env={"A": "1"}, cpu=0.1)
class Model:
    size: int = gx.parameter(default=1)

    @gx.enter()
    def begin(self):
        self.inputs = 0

    @gx.method()
    def env(self, name):
        return os.environ.get(name)

    @gx.method()
    def own_env(self, name):
        return self.env.remote(name), Model(size=self.size).env.remote(name)

    @gx.method()
    def wait(self, seconds):
        time.sleep(seconds)
        return time.monotonic()

    @gx.method()
    def scaled(self, xs):
        return [self.size * x for x in xs] if isinstance(xs, list) else xs

    @gx.method()
    def count(self, n):
        yield from range(n * self.size)


@app.function()
def finds(app_name):
    return gx.Cls.from_name(app_name, "Model")(size=2).scaled.remote(3)


def expect(kind, text, act):
    try:
        act()
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__} with {text!r}")


@app.local_entrypoint()
def main():
    # The variant has containers of its own, and what methods call of themselves stays in it.
    variant = Model.with_options(env={"A": "2", "B": "x"}, memory=300)
    assert Model().env.remote("A") == "1" and variant().env.remote("A") == "2" and variant().env.remote("B") == "x"
    assert variant(size=3).own_env.remote("A") == ("2", "1")
    assert variant.with_options(env={"B": "y"})().own_env.remote("B") == ("y", None)

    together = Model.with_concurrency(max_inputs=4).with_options(max_containers=1)
    ends = list(together(size=2).wait.map([1] * 4))
    assert max(ends) - min(ends) < 2.5, "they ran one after the other"

    batches = Model.with_batching(max_batch_size=4, wait_ms=100)
    assert list(batches(size=5).scaled.map(range(8))) == [5 * i for i in range(8)]
    assert Model(size=5).scaled.remote(1) == 1

    # Bounds of one instance's containers, while it runs.
    kept = Model(size=9)
    kept.update_autoscaler(min_containers=2)
    while kept.env.get_current_stats().num_total_runners < 2:
        time.sleep(0.02)
    assert Model(size=10).env.get_current_stats().num_total_runners == 0

    # By name.
    found = gx.Cls.from_name(app.name, "Model")
    assert found().env.remote("A") == "1" and found(size=4).scaled.map([[1]]) is not None
    assert list(found(size=4).scaled.map([[1], [2]])) == [[4], [8]]
    assert list(found(size=2).count.remote_gen(2)) == [0, 1, 2, 3]
    assert found.with_options(env={"A": "7"})().env.remote("A") == "7"
    assert finds.remote(app.name) == 3
    expect(gx.exception.InvalidError, "remote_gen", lambda: found().count.remote(2))
    expect(gx.exception.NotFoundError, "no method 'absent'; it has env", lambda: found().absent.remote())
    expect(gx.exception.NotFoundError, "Nobody", lambda: gx.Cls.from_name(app.name, "Nobody")().m.remote())
    expect(gx.exception.InvalidError, "Function.from_name", lambda: gx.Cls.from_name(app.name, "finds")().m.remote())
    expect(gx.exception.InvalidError, "Cls.from_name", lambda: gx.Function.from_name(app.name, "Model").remote())
    expect(TypeError, "no parameter 'no'", lambda: found(no=1).env.remote("A"))
    print("ok")
