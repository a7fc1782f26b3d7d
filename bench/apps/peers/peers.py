"""gx against ProcessPoolExecutor, Ray, dask.distributed and Celery, by turns in one run.

Run by `go run ./bench -only peers` with a Python that has the peers. The last line
that it prints is JSON: the figures of every round by number of workers and system,
and why a peer that can't be imported or started is left out.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import gx

app = gx.App("bench-peers")
HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"100 B": 100, "100 KB": 100_000, "10 MB": 10_000_000}
NAPS = {"10 ms": 0.01, "0 ms": 0}
ASYNC = 100  # inputs at once


def trivial(x):
    return x * x


def echo(data):
    return data


async def nap(seconds):
    if seconds:
        await asyncio.sleep(seconds)
    return seconds


async def gated(gate, seconds):
    async with gate:
        return await nap(seconds)


ONE = app.function(name="one", max_containers=1, min_containers=1)(trivial)
TWO = app.function(name="two", max_containers=2, min_containers=2)(trivial)
FOUR = app.function(name="four", max_containers=4, min_containers=4)(trivial)
ECHO = app.function(name="echo", max_containers=1, min_containers=1)(echo)
NAP = app.function(name="nap", max_containers=1, min_containers=1)(gx.concurrent(max_inputs=ASYNC)(nap))


class Gx:
    """gx itself, on containers that are up."""

    many = 20_000

    def __init__(self, workers):
        self.function = {1: ONE, 2: TWO, 4: FOUR}[workers]
        list(self.function.map(range(1000)))

    def call(self):
        return self.function.remote(3)

    def map(self, count):
        return sum(1 for _ in self.function.map(range(count)))

    def echo(self, data):
        return len(ECHO.remote(data))

    def naps(self, count, seconds):
        return sum(1 for _ in NAP.map([seconds] * count))

    def close(self):
        pass


class Executor:
    """ProcessPoolExecutor: no isolation, no retries, one machine."""

    many = 5_000
    naps = None

    def __init__(self, workers):
        self.pool = ProcessPoolExecutor(workers)
        self.map(100)

    def call(self):
        return self.pool.submit(trivial, 3).result()

    def map(self, count):
        return sum(1 for _ in self.pool.map(trivial, range(count)))

    def echo(self, data):
        return len(self.pool.submit(echo, data).result())

    def close(self):
        self.pool.shutdown()


class Ray:
    """Ray's tasks, and an async actor."""

    many = 2_000

    def __init__(self, workers):
        os.environ["PYTHONPATH"] = os.pathsep.join([HERE, *filter(None, sys.path)])  # of its workers
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        self.ray, self.dir = ray, tempfile.mkdtemp(prefix="ray-")  # short: there are sockets in it
        ray.init(
            num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False, logging_level="ERROR", _temp_dir=self.dir
        )  # fmt: skip
        self.trivial, self.echo_task = ray.remote(trivial), ray.remote(echo)

        class Napper:
            async def nap(self, seconds):
                return await nap(seconds)

        self.napper = ray.remote(Napper).options(max_concurrency=ASYNC, num_cpus=0).remote()
        self.map(100)

    def call(self):
        return self.ray.get(self.trivial.remote(3))

    def map(self, count):
        return len(self.ray.get([self.trivial.remote(i) for i in range(count)]))

    def echo(self, data):
        return len(self.ray.get(self.echo_task.remote(data)))

    def naps(self, count, seconds):
        return len(self.ray.get([self.napper.nap.remote(seconds) for _ in range(count)]))

    def close(self):
        self.ray.shutdown()
        shutil.rmtree(self.dir, ignore_errors=True)


class DaskNapper:
    """An actor, whose coroutines a dask worker runs in its event loop without a limit of its own."""

    def __init__(self):
        self.gate = asyncio.Semaphore(ASYNC)

    async def nap(self, seconds):
        return await gated(self.gate, seconds)


class Dask:
    """dask.distributed, with a process for each worker, and an actor with coroutines."""

    many = 1_000

    def __init__(self, workers):
        from distributed import Client, LocalCluster

        self.cluster = LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50)
        self.client = Client(self.cluster)
        self.napper = self.client.submit(DaskNapper, actor=True).result()
        self.map(50)

    def call(self):
        return self.client.submit(trivial, 3, pure=False).result()

    def map(self, count):
        return len(self.client.gather(self.client.map(trivial, range(count), pure=False)))

    def echo(self, data):
        return len(self.client.submit(echo, data, pure=False).result())

    def naps(self, count, seconds):
        return len([future.result() for future in [self.napper.nap(seconds) for _ in range(count)]])

    def close(self):
        self.napper = None
        self.client.close()
        self.cluster.close()


class Celery:
    """Celery with Redis as broker and result store."""

    many = 1_000
    naps = None  # it has no coroutines

    def __init__(self, workers):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        os.environ["BENCH_REDIS"] = f"redis://127.0.0.1:{port}/0"
        os.environ["C_FORCE_ROOT"] = "1"
        self.started = []
        try:
            self.start(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            self.start([sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "-c", str(workers), "--loglevel", "ERROR"])
            sys.path.insert(0, HERE)
            sys.modules.pop("celery_tasks", None)  # what it imported has another port
            import celery_tasks

            self.tasks = celery_tasks
            self.tasks.trivial.delay(1).get(timeout=60)
        except BaseException:
            self.close()
            raise

    def start(self, command):
        quiet = subprocess.DEVNULL
        self.started.append(subprocess.Popen(command, cwd=HERE, stdout=quiet, stderr=quiet, start_new_session=True))

    def call(self):
        return self.tasks.trivial.delay(3).get()

    def map(self, count):
        from celery import group

        return len(group(self.tasks.trivial.s(i) for i in range(count))().get())

    def echo(self, data):
        return len(self.tasks.echo.delay(data).get())

    def close(self):
        for process in reversed(self.started):
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Plain:
    """asyncio alone: the floor of many inputs at once."""

    call = map = echo = None

    def __init__(self, workers):
        pass

    def naps(self, count, seconds):
        async def together():
            gate = asyncio.Semaphore(ASYNC)
            return len(await asyncio.gather(*[gated(gate, seconds) for _ in range(count)]))

        return asyncio.run(together())

    def close(self):
        pass


PEERS = {"gx": Gx, "ProcessPoolExecutor": Executor, "Ray": Ray, "dask": Dask, "Celery": Celery, "asyncio alone": Plain}


def latency(system, calls):
    """Microseconds of calls, one after the other."""
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        assert system.call() == 9
        times.append((time.perf_counter_ns() - began) / 1000)
    return times


def rate(count, work):
    began = time.perf_counter()
    assert work(count) == count
    return count / (time.perf_counter() - began)


def echoes(system, data):
    def work(count):
        return sum([system.echo(data) == len(data) for _ in range(count)])

    return rate(100 if len(data) < 1_000_000 else 5, work)


def once(system, workers):
    """One round's figures: calls (µs each), map (inputs a second), payloads (calls a second), naps (inputs a second)."""
    got = {}
    if system.map is not None:
        got["map"] = rate(system.many, system.map)
    if workers != 1:
        return got
    if system.call is not None:
        got["calls"] = latency(system, 400)
    if system.echo is not None:
        got["echo"] = {label: echoes(system, os.urandom(size)) for label, size in SIZES.items()}
    if system.naps is not None:
        got["nap"] = {label: rate(2000, lambda count, s=seconds: system.naps(count, s)) for label, seconds in NAPS.items()}
    return got


def measure(systems, workers, rounds):
    """Every round's figures by system. The systems take turns, so that they see the same machine."""
    found = {name: [] for name in systems}
    for _ in range(rounds):
        for name, system in systems.items():
            found[name].append(once(system, workers))
    return found


@app.local_entrypoint()
def main(rounds: int = 5):
    missing, table, load = {}, {}, []
    for workers in (1, 2, 4):
        systems = {}
        with contextlib.ExitStack() as running:
            for name, peer in PEERS.items():
                if name in missing:
                    continue
                try:
                    systems[name] = peer(workers)
                    running.callback(systems[name].close)
                except Exception as error:
                    missing[name] = f"{type(error).__name__}: {error}"
            load.append(os.getloadavg()[0])
            table[workers] = measure(systems, workers, rounds)
            load.append(os.getloadavg()[0])
    print(json.dumps({"table": table, "missing": missing, "load": load}))
