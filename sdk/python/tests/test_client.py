"""Calls and maps, against a host that speaks frames."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from client_host import Fail, Host  # noqa: E402

import gx  # noqa: E402
from gx import _host, _map, _wire, exception  # noqa: E402
from gx._wire import CANCEL, END, INPUT  # noqa: E402


class App:
    """An app that runs on a Host."""

    def __init__(self, **functions: Any) -> None:
        self.app = gx.App("test")
        self.synced: List[int] = []
        self.host = Host(**functions)
        self.client = self.host.client(sync=self.synced.append)
        self.app._attach(None, self.client, "ap-1", {name: name for name in functions})

    def function(self, raw: Any, name: str, **options: Any) -> Any:
        return self.app.function(name=name, serialized=True, **options)(raw)


@pytest.fixture
def running() -> Iterator[Any]:
    apps: List[App] = []

    def run(*raws: Any) -> Any:
        app = App(**{raw.__name__: raw for raw in raws})
        apps.append(app)
        functions = [app.function(raw, raw.__name__) for raw in raws]
        return (app, *functions)

    yield run
    for app in apps:
        app.client.close()
        app.host.hold.set()
        app.host.close()


def double(x: Any) -> Any:
    return 2 * x


def add(a: Any, b: Any = 0, c: Any = 0) -> Any:
    return a + b + c


class UserError(Exception):
    pass


class Unpicklable(Exception):
    def __init__(self, lock: Any) -> None:
        super().__init__("holds a lock")
        self.lock = lock


def fail(x: Any) -> Any:
    if x % 3 == 2:
        raise UserError(f"bad {x}")
    return x


# -- one input --


def test_remote(running: Any) -> None:
    app, f = running(add)
    assert f.remote(1) == 1
    assert f.remote(1, 2, c=3) == 6
    assert f.local(1, 2) == 3 and f(4) == 4
    assert app.host.came(END, 2)
    assert app.host.hello["role"] == "client" and app.host.hello["version"] == gx.__version__
    assert not app.client.takers


def test_large_arguments_and_results(running: Any) -> None:
    app, f = running(double)
    data = os.urandom(5_000_000)
    assert f.remote(data) == data * 2
    assert list(f.map([data, b"x", data])) == [data * 2, b"xx", data * 2]
    app.client.connection.descriptors = False  # in pieces
    assert f.remote(data) == data * 2


def test_exceptions_are_the_users_own(running: Any) -> None:
    app, f = running(fail)
    with pytest.raises(UserError, match="bad 2") as caught:
        f.remote(2)
    cause = caught.value.__cause__
    assert isinstance(cause, exception.RemoteTraceback)
    assert "in fail" in str(cause) and cause.file == "/root/app.py" and cause.line == 3


def test_exception_that_cannot_be_pickled(running: Any) -> None:
    def raises() -> None:
        raise Unpicklable(threading.Lock())

    app, f = running(raises)
    with pytest.raises(exception.ExecutionError, match="Unpicklable: holds a lock"):
        f.remote()


class NeedsTwo(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")
        self.a, self.b = a, b


def test_exception_whose_init_takes_other_arguments(running: Any) -> None:
    def raises() -> None:
        raise NeedsTwo(1, 2)

    app, f = running(raises)
    with pytest.raises(NeedsTwo, match="^1 and 2$") as caught:
        f.remote()
    assert (caught.value.a, caught.value.b) == (1, 2)
    assert isinstance(caught.value.__cause__, exception.RemoteTraceback)


class Stubborn(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")

    def __setstate__(self, state: Any) -> None:
        raise TypeError("not today")

    def __reduce__(self) -> Any:
        return Stubborn, (1,), {"a": 1}


def test_exception_that_cannot_be_unpickled(running: Any) -> None:
    def raises() -> None:
        raise Stubborn(1, 2)

    app, f = running(raises)
    with pytest.raises(exception.ExecutionError, match="Stubborn: 1 and 2\n.*missing 1 required"):
        f.remote()


@pytest.mark.parametrize(
    "kind, error",
    [
        ("timeout", exception.FunctionTimeoutError),
        ("oom", exception.ResourceExhaustedError),
        ("lost", exception.ExecutionError),
        ("start", exception.ExecutionError),
        ("cancelled", exception.InputCancellation),
        ("refused", exception.InvalidError),
        ("too_large", exception.RequestSizeError),
        ("internal", exception.InternalError),
        ("something new", exception.RemoteError),
    ],
)
def test_failures(running: Any, kind: str, error: type) -> None:
    def gives_up() -> Any:
        return Fail(kind, "the reason")

    app, f = running(gives_up)
    with pytest.raises(error, match="the reason"):
        f.remote()


def test_argument_that_cannot_be_pickled(running: Any) -> None:
    app, f = running(add)
    with pytest.raises(exception.SerializationError, match=r"argument 'b' of add .* type _thread.lock"):
        f.remote(1, threading.Lock())
    with pytest.raises(exception.SerializationError, match=r"argument 'c' of add"):
        f.remote(1, c=threading.Lock())
    with pytest.raises(exception.SerializationError, match=r"argument 'a' of add"):
        list(f.map([1, threading.Lock(), 2]))
    with pytest.raises(exception.SerializationError, match=r"argument 'b' of add"):
        list(f.map([1, 2], kwargs={"b": threading.Lock()}))
    assert f.remote(1) == 1, "what could not be sent does no harm"


def test_functions_are_pickled_by_name(monkeypatch: Any) -> None:
    f = gx.App().function()(double)
    with pytest.raises(TypeError, match="no name in its module"):
        _wire.dumps([f])
    monkeypatch.setattr(sys.modules[__name__], "under_a_name", f, raising=False)
    assert _wire.loads(_wire.dumps([f])) == [f]
    variant = f.with_options(cpu=2.0)
    assert _wire.loads(_wire.dumps(variant))._options == variant._options
    by_value = gx.App().function(serialized=True, name="other")(double)
    assert _wire.loads(_wire.dumps(by_value))._name == "other", "found by its name in the app"


def test_result_that_cannot_be_unpickled(running: Any, monkeypatch: Any) -> None:
    def make() -> Any:
        return UserError("as a value")

    app, f = running(make)
    assert str(f.remote()) == "as a value"
    monkeypatch.delattr(sys.modules[__name__], "UserError")
    broken = b"\x80\x04c" + __name__.encode() + b"\nUserError\n."
    from gx._failures import result

    with pytest.raises(exception.DeserializationError, match="cannot be unpickled here"):
        result((_wire.RESULT, 1, 0, broken, 1, 0))


def test_without_an_app(running: Any) -> None:
    app = gx.App()
    f = app.function(serialized=True)(double)
    with pytest.raises(exception.ExecutionError, match="gx run FILE"):
        f.remote(1)


def test_without_gx(running: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("GX_BIN", raising=False)
    for use in (lambda: gx.FunctionCall.from_id("fc-1").get(), lambda: gx.Function.from_name("app", "f").remote(1)):
        with pytest.raises(exception.NotFoundError, match="no gx on PATH"):
            use()


def test_function_declared_too_late(running: Any) -> None:
    app, f = running(double)
    late = app.function(add, "late")
    with pytest.raises(exception.NotFoundError, match="declared after the app was started"):
        late.remote(1)


def test_host_ends(running: Any) -> None:
    def hang() -> Any:
        app.host.connection.close()

    app, f = running(hang)
    with pytest.raises(exception.ConnectionError):
        f.remote()
    with pytest.raises(exception.ConnectionError):
        f.remote()
    with pytest.raises(exception.ConnectionError):
        list(f.map([()]))


def test_interrupt_cancels(running: Any) -> None:
    app, f = running(double)
    app.host.hold.clear()
    threading.Timer(0.1, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        f.remote(1)
    app.host.hold.set()
    assert f.remote(2) == 4
    assert app.host.came(CANCEL)


def test_threads_share_the_connection(running: Any) -> None:
    app, f = running(double)
    got: List[Any] = []

    def work(n: int) -> None:
        for i in range(50):
            got.append(f.remote((n, i)) == (n, i, n, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    assert list(f.map(range(1000))) == list(range(0, 2000, 2))
    for thread in threads:
        thread.join(60)
    assert len(got) == 400 and all(got)


def test_log_lines_are_waited_for(running: Any) -> None:
    app, f = running(double)
    app.host.logged = 7
    assert f.remote(1) == 2
    assert list(f.map([1, 2])) == [2, 4]
    assert app.synced and set(app.synced) == {7}


# -- generators --


def count(n: int) -> Iterator[int]:
    yield from range(n)


def test_generator(running: Any) -> None:
    app, f = running(count)
    assert list(f.remote_gen(4)) == [0, 1, 2, 3]
    for way in (f.remote, f.spawn, f.map):
        with pytest.raises(exception.InvalidError, match="remote_gen"):
            way([4])
    items = f.remote_gen(100)
    assert next(items) == 0
    items.close()
    assert app.host.came(CANCEL)
    app, g = running(double)
    with pytest.raises(exception.InvalidError, match="not a generator"):
        g.remote_gen(1)


def test_generator_that_fails(running: Any) -> None:
    def half() -> Iterator[int]:
        yield 1
        raise UserError("halfway")

    app, f = running(half)
    items = f.remote_gen()
    assert next(items) == 1
    with pytest.raises(UserError, match="halfway"):
        next(items)


# -- many inputs --


def test_map(running: Any) -> None:
    app, f = running(double)
    assert list(f.map(range(5000))) == list(range(0, 10000, 2))
    assert list(f.map([])) == []
    assert list(f.map(x for x in range(3))) == [0, 2, 4]
    assert list(f.map(iter(()))) == []
    assert not app.client.takers


def test_map_of_several_iterables(running: Any) -> None:
    app, f = running(add)
    assert list(f.map([1, 2, 3], (x for x in (10, 20)), kwargs={"c": 100})) == [111, 122]
    assert list(f.starmap([(1, 2), [3, 4]], kwargs={"c": 10})) == [13, 17]
    with pytest.raises(exception.InvalidError, match="tuples"):
        list(f.starmap([5]))
    with pytest.raises(exception.InvalidError, match="at least one"):
        f.map()
    assert f.for_each([1, 2]) is None


def test_order(running: Any) -> None:
    app, f = running(double)
    app.host.shuffle = random.Random(1)
    inputs = list(range(2000))
    assert list(f.map(inputs)) == [2 * x for x in inputs]
    unordered = list(f.map(inputs, order_outputs=False))
    assert sorted(unordered) == [2 * x for x in inputs]
    assert unordered != sorted(unordered)
    assert app.host.opened[max(app.host.opened)]["unordered"] is True


def test_map_exceptions(running: Any) -> None:
    app, f = running(fail)
    seen = []
    with pytest.raises(UserError, match="bad 2"):
        for value in f.map(range(6)):
            seen.append(value)
    assert seen == [0, 1]
    values = list(f.map(range(6), return_exceptions=True))
    assert values[:2] == [0, 1] and isinstance(values[2], UserError) and isinstance(values[5], UserError)
    f.for_each(range(6), ignore_exceptions=True)
    with pytest.raises(UserError):
        f.for_each(range(6))


def test_map_is_lazy_and_bounded(running: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(_map, "WINDOW", 1000)
    app, f = running(double)
    taken = itertools.count()

    def endless() -> Iterator[int]:
        for i in itertools.count():
            next(taken)
            yield i

    results = f.map(endless())
    assert [next(results) for _ in range(5000)] == list(range(0, 10000, 2))
    time.sleep(0.05)
    assert next(taken) <= 5000 + 1000 + _map.CHUNK
    results.close()
    assert f.remote(1) == 2
    assert app.host.most <= 1000 + _map.CHUNK
    assert app.host.came(CANCEL)


def test_map_of_large_inputs_is_bounded(running: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(_map, "WINDOW_BYTES", 1 << 20)
    app, f = running(len)
    app.host.hold.clear()
    results: List[int] = []
    thread = threading.Thread(target=lambda: results.extend(f.map([bytes(10_000)] * 3000)))
    thread.start()
    time.sleep(0.3)
    assert app.host.outstanding * 10_000 < (1 << 20) + _map.CHUNK * 10_100
    app.host.hold.set()
    thread.join(60)
    assert results == [10_000] * 3000


def test_map_gives_results_while_inputs_are_awaited(running: Any) -> None:
    app, f = running(double)
    asked = threading.Event()

    def inputs() -> Iterator[int]:
        yield 1
        yield 2
        yield 3
        assert asked.wait(10), "the results of the first inputs did not come"
        yield 4

    got = []
    for value in f.map(inputs()):
        got.append(value)
        if len(got) == 3:
            asked.set()
    assert got == [2, 4, 6, 8]


def test_map_of_an_iterator_that_fails(running: Any) -> None:
    app, f = running(double)

    def inputs() -> Iterator[int]:
        yield 1
        raise UserError("in the iterator")

    with pytest.raises(UserError, match="in the iterator"):
        list(f.map(inputs()))
    assert f.remote(1) == 2


def test_map_left_early(running: Any) -> None:
    app, f = running(double)
    for value in f.map(range(100_000)):
        if value > 10:
            break
    gc.collect()
    assert f.remote(3) == 6
    assert app.host.came(CANCEL)
    assert app.host.count(INPUT) < 100_000
    before = threading.active_count()
    results = f.map(iter(range(100_000)))
    next(results)
    results.close()
    for _ in range(3000):
        if threading.active_count() <= before:
            return
        time.sleep(0.02)
    raise AssertionError("the thread that takes inputs did not end")


def test_results_are_let_go(running: Any) -> None:
    """A million results must not be in memory together."""
    app, f = running(double)
    largest = 0
    for i, value in enumerate(f.map(range(100_000))):
        if i % 10_000 == 0:
            largest = max(largest, len(gc.get_objects()))
    assert largest < 200_000


# -- calls that go on --


def test_spawn(running: Any) -> None:
    app, f = running(add)
    call = f.spawn(1, 2)
    assert isinstance(call, gx.FunctionCall) and call.object_id.startswith("fc-")
    session = type("S", (), {"client": app.client})()
    _host.sessions.append(session)
    try:
        same = gx.FunctionCall.from_id(call.object_id)
        for _ in range(6000):
            try:
                assert same.get(timeout=0) == 3
                break
            except exception.TimeoutError:
                time.sleep(0.01)
        assert call.get() == 3 and call.num_inputs() == 1
        call.cancel()
        assert gx.FunctionCall.gather(call, same) == [3, 3]
        with pytest.raises(exception.NotFoundError):
            gx.FunctionCall.from_id("fc-unknown").get()
        many = f.spawn_map([1, 2, 3])
        f.remote(0)
        assert list(many.iter()) == [1, 2, 3] and many.get(index=1) == 2

        async def both() -> None:
            assert await call.get.aio() == 3
            assert await gx.FunctionCall.gather.aio(call, same) == [3, 3]
            assert [v async for v in many.iter.aio(start=1)] == [2, 3]
            other = await f.spawn.aio(5)
            f.remote(0)
            assert await other.get.aio() == 5 and await other.num_inputs.aio() == 1
            await other.cancel.aio()

        asyncio.run(both())
    finally:
        _host.sessions.remove(session)
    with pytest.raises(exception.InvalidError, match="fc-"):
        gx.FunctionCall.from_id("in-1")


# -- event loops --


def test_aio(running: Any) -> None:
    app, f, g, bad = running(double, count, fail)

    async def main() -> None:
        assert await f.remote.aio(1) == 2
        assert await asyncio.gather(*[f.remote.aio(i) for i in range(300)]) == [2 * i for i in range(300)]
        assert [v async for v in f.map.aio(range(2000))] == [2 * i for i in range(2000)]
        assert [v async for v in f.map.aio(i for i in range(5))] == [0, 2, 4, 6, 8]
        assert [v async for v in f.starmap.aio([(1,), (2,)])] == [2, 4]
        assert [v async for v in g.remote_gen.aio(3)] == [0, 1, 2]
        await f.for_each.aio([1, 2])
        with pytest.raises(UserError):
            await bad.remote.aio(2)
        with pytest.raises(UserError):
            async for _ in bad.map.aio(range(6)):
                pass

        async def inputs() -> Any:
            for i in range(3):
                await asyncio.sleep(0.001)
                yield i

        assert [v async for v in f.map.aio(inputs())] == [0, 2, 4]
        assert [v async for v in f.starmap.aio((i,) for i in range(2))] == [0, 2]

    asyncio.run(main())
    assert not app.client.watchers
    asyncio.run(main())


def test_aio_does_not_block_the_loop(running: Any) -> None:
    app, f = running(double)
    app.host.hold.clear()

    async def main() -> Any:
        call = asyncio.ensure_future(f.remote.aio(1))
        ticks = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            ticks += 1
        assert not call.done()
        app.host.hold.set()
        return await call, ticks

    assert asyncio.run(main()) == (2, 20)


def test_aio_cancelled(running: Any) -> None:
    app, f = running(double)
    app.host.hold.clear()

    async def main() -> None:
        call = asyncio.ensure_future(f.remote.aio(1))
        while not app.host.count(INPUT):
            await asyncio.sleep(0.005)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(call, 0.05)
        app.host.hold.set()
        assert await f.remote.aio(2) == 4

    asyncio.run(main())
    assert app.host.came(CANCEL)


def test_aio_beside_threads(running: Any) -> None:
    app, f = running(double)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            assert f.remote(1) == 2

    thread = threading.Thread(target=work)
    thread.start()

    async def main() -> None:
        for i in range(300):
            assert await f.remote.aio(i) == 2 * i

    asyncio.run(asyncio.wait_for(main(), 60))
    stop.set()
    thread.join(10)


def test_aio_host_ends(running: Any) -> None:
    app, f = running(double)
    app.host.hold.clear()

    async def main() -> None:
        call = asyncio.ensure_future(f.remote.aio(1))
        await asyncio.sleep(0.05)
        app.host.connection.sock.shutdown(2)
        with pytest.raises(exception.ConnectionError):
            await asyncio.wait_for(call, 60)
        with pytest.raises(exception.ConnectionError):
            await f.remote.aio(1)

    asyncio.run(main())
