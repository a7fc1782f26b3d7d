"""gx against ProcessPoolExecutor, Ray, dask.distributed and Celery, by turns in one run.

Run by `go run ./bench -only peers` with a Python that has the peers; a peer that
can't be imported or started is left out, and the last line says why.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import gx

app = gx.App("bench-peers")
HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"100 B": 100, "100 KB": 100_000, "10 MB": 10_000_000}
ASYNC = 100  # inputs at once


def trivial(x):
    return x * x


def echo(data):
    return data


async def nap(seconds):
    if seconds:
        await asyncio.sleep(seconds)
    return seconds


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
        import ray

        self.ray = ray
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False, logging_level="ERROR")
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


class Dask:
    """dask.distributed, with a process for each worker."""

    many = 1_000

    def __init__(self, workers):
        from distributed import Client, LocalCluster

        self.cluster = LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50)
        self.client = Client(self.cluster)
        self.map(50)

    def call(self):
        return self.client.submit(trivial, 3, pure=False).result()

    def map(self, count):
        return len(self.client.gather(self.client.map(trivial, range(count), pure=False)))

    def echo(self, data):
        return len(self.client.submit(echo, data, pure=False).result())

    naps = None  # its workers run a coroutine at a time for each thread

    def close(self):
        self.client.close()
        self.cluster.close()


class Celery:
    """Celery with Redis as broker and result store."""

    many = 1_000
    naps = None

    def __init__(self, workers):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        os.environ["BENCH_REDIS"] = f"redis://127.0.0.1:{port}/0"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        self.redis = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], **quiet)
        environment = {**os.environ, "C_FORCE_ROOT": "1"}
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "-c", str(workers), "--loglevel", "ERROR"],
            cwd=HERE, env=environment, **quiet,
        )  # fmt: skip
        sys.path.insert(0, HERE)
        sys.modules.pop("celery_tasks", None)
        import celery_tasks

        self.tasks = celery_tasks
        celery_tasks.trivial.delay(1).get(timeout=60)

    def call(self):
        return self.tasks.trivial.delay(3).get()

    def map(self, count):
        from celery import group

        return len(group(self.tasks.trivial.s(i) for i in range(count))().get())

    def echo(self, data):
        return len(self.tasks.echo.delay(data).get())

    def close(self):
        for process in (self.worker, self.redis):
            process.terminate()
            process.wait()


PEERS = {"gx": Gx, "ProcessPoolExecutor": Executor, "Ray": Ray, "dask": Dask, "Celery": Celery}


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def median(values):
    return percentile(values, 0.5)


def latency(peer, calls):
    """Microseconds of calls, one after the other."""
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        assert peer.call() == 9
        times.append((time.perf_counter_ns() - began) / 1000)
    return times


def rate(count, work):
    began = time.perf_counter()
    assert work(count) == count
    return count / (time.perf_counter() - began)


def measure(systems, workers, rounds):
    """By system: latency (p50, p99 in µs), map (items a second), payloads (calls a second), naps."""
    found = {name: {"times": [], "map": [], "echo": {size: [] for size in SIZES}, "nap": {"10 ms": [], "0 ms": []}} for name in systems}
    for _ in range(rounds):
        for name, system in systems.items():
            got = found[name]
            got["map"].append(rate(system.many, system.map))
            if workers != 1:
                continue
            got["times"] += latency(system, 300)
            for size, length in SIZES.items():
                data = os.urandom(length)
                calls = 100 if length < 1_000_000 else 5
                began = time.perf_counter()
                for _ in range(calls):
                    assert system.echo(data) == length
                got["echo"][size].append(calls / (time.perf_counter() - began))
            if system.naps is not None:
                for label, seconds in (("10 ms", 0.01), ("0 ms", 0)):
                    got["nap"][label].append(rate(2000, lambda count, s=seconds: system.naps(count, s)))
    return {
        name: {
            "p50": percentile(got["times"], 0.5) if got["times"] else 0,
            "p99": percentile(got["times"], 0.99) if got["times"] else 0,
            "map": median(got["map"]),
            "echo": {size: median(values) for size, values in got["echo"].items() if values},
            "nap": {label: median(values) for label, values in got["nap"].items() if values},
        }
        for name, got in found.items()
    }


async def plain(count, seconds):
    """asyncio alone: the floor of many inputs at once."""
    gate = asyncio.Semaphore(ASYNC)

    async def one():
        async with gate:
            await nap(seconds)

    began = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(count)])
    return count / (time.perf_counter() - began)


@app.local_entrypoint()
def main(rounds: int = 3):
    missing, table = {}, {}
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
            table[workers] = measure(systems, workers, rounds)
    floor = {label: asyncio.run(plain(2000, seconds)) for label, seconds in (("10 ms", 0.01), ("0 ms", 0))}
    print(json.dumps({"table": table, "missing": missing, "asyncio": floor, "load": os.getloadavg()[0]}))
