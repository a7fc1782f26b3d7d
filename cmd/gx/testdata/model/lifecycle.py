# both
"""What happens around a class's inputs: hooks in their order, exit hooks, failures of hooks, older names."""

import time

import gx

app = gx.App("lifecycle")


class Recorder:
    """Says in a file of the container what happens; exit hooks tell it to a function."""

    @gx.enter()
    def base_enter(self):
        self.events.append("base enter")

    @gx.exit()
    def base_exit(self):
        self.events.append("base exit")


@app.cls(scaledown_window=1, startup_timeout=20)
class Model(Recorder):
    name: str = gx.parameter()

    @gx.enter(snap=True)
    def snap(self):
        self.events = ["snap"]

    @gx.enter()
    async def enter(self):
        self.events.append("enter")

    @gx.method()
    def seen(self):
        return self.events

    @gx.exit()
    def tell(self):
        told.remote(self.name, self.events)


@app.function(max_containers=1, scaledown_window=300)
@gx.concurrent(max_inputs=4)
def told(name=None, events=None):
    """Keeps what it is told, in its only container."""
    if name is not None:
        kept[name] = events
    return kept


kept = {}


@app.cls(max_containers=1)
class Broken:
    @gx.enter()
    def enter(self):
        raise KeyError("the weights")

    @gx.method()
    def m(self):
        return 1


@app.cls(startup_timeout=1)
class Slow:
    @gx.enter()
    def enter(self):
        time.sleep(60)

    @gx.method()
    def m(self):
        return 1


@app.cls(max_containers=1)
@gx.concurrent(max_inputs=8)
class Together:
    @gx.enter()
    def enter(self):
        import threading

        self.barrier = threading.Barrier(8)

    @gx.method()
    def meet(self, _):
        return self.barrier.wait(20) >= 0


@app.cls(max_containers=1)
@gx.concurrent(max_inputs=100)
class Loop:
    @gx.enter()
    async def enter(self):
        import asyncio

        self.here, self.all = 0, asyncio.Event()

    @gx.method()
    async def meet(self, _):
        self.here += 1
        if self.here == 100:
            self.all.set()
        await self.all.wait()
        return self.here


@app.cls(allow_concurrent_inputs=2, concurrency_limit=1, container_idle_timeout=30)
class Old:
    def __init__(self, x=1):
        self.x = x

    @gx.method()
    def get(self):
        return self.x


@app.local_entrypoint()
def main():
    first = ["snap", "base enter", "enter"]
    assert Model(name="a").seen.remote() == first
    # One second later the container ends, and its exit hooks run: calls from there included.
    end = time.monotonic() + 30
    while "a" not in told.remote():
        assert time.monotonic() < end, "the exit hook was not heard of"
        time.sleep(0.05)
    assert told.remote()["a"] == [*first, "base exit"], told.remote()

    for broken, kind, text in (
        (Broken(), KeyError, "the weights"), (Slow(), gx.exception.Error, "startup_timeout"),
    ):  # fmt: skip
        try:
            broken.m.remote()
        except kind as error:
            assert text in str(error) + str(error.__cause__), (error, error.__cause__)
        else:
            raise AssertionError(f"{broken} works")

    assert all(Together().meet.map(range(8)))
    assert list(Loop().meet.map(range(100))) == [100] * 100
    assert Old().get.remote() == 1 and Old(5).get.remote() == 5
    print("ok")
