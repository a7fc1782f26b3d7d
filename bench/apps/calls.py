"""Warm calls and maps of a trivial function, against ProcessPoolExecutor.

Run by `go run ./bench`, which reads the JSON line that it prints last.
"""

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor

import gx

app = gx.App("bench-calls")


def trivial(x):
    return x * x


one = app.function(name="one", max_containers=1, min_containers=1)(trivial)


@app.function(max_containers=2, min_containers=2)
def two(x):
    return x * x


@app.function(max_containers=4, min_containers=4)
def four(x):
    return x * x


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def warm(calls, rounds):
    """Microseconds of one call: gx and the executor by turns, so that both see the same machine."""
    ours, theirs = [], []
    with ProcessPoolExecutor(1) as pool:
        for _ in range(200):
            one.remote(1)
            pool.submit(trivial, 1).result()
        for _ in range(rounds):
            for times, call in ((ours, lambda: one.remote(3)), (theirs, lambda: pool.submit(trivial, 3).result())):
                for _ in range(calls // rounds):
                    begin = time.perf_counter_ns()
                    call()
                    times.append((time.perf_counter_ns() - begin) / 1000)
    return {
        "gx_p50": percentile(ours, 0.5),
        "gx_p99": percentile(ours, 0.99),
        "pool_p50": percentile(theirs, 0.5),
        "pool_p99": percentile(theirs, 0.99),
    }


def rate(count, work):
    begin = time.perf_counter()
    got = sum(1 for _ in work())
    took = time.perf_counter() - begin
    assert got == count, (got, count)
    return count / took


def median(values):
    return sorted(values)[len(values) // 2]


def maps(count, rounds):
    """Items a second, by number of workers."""
    table = {}
    for workers, function in ((1, one), (2, two), (4, four)):
        list(function.map(range(2000)))
        ours, chunk1, chunk64 = [], [], []
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(trivial, range(100)))
            for _ in range(rounds):
                ours.append(rate(count, lambda: function.map(range(count))))
                chunk1.append(rate(count // 5, lambda: pool.map(trivial, range(count // 5), chunksize=1)))
                chunk64.append(rate(count, lambda: pool.map(trivial, range(count), chunksize=64)))
        table[workers] = {"gx": median(ours), "chunk1": median(chunk1), "chunk64": median(chunk64)}
    return table


@app.local_entrypoint()
def main(calls: int = 6000, count: int = 50_000, rounds: int = 5):
    print(json.dumps({"warm": warm(calls, rounds), "map": maps(count, rounds), "cores": os.cpu_count()}))
