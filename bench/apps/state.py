"""Dicts and queues from four containers at once, against SQLite and a list behind a lock.

Run by `go run ./bench`, which reads the JSON line that it prints last.
"""

import json
import os
import sqlite3
import tempfile
import time
from multiprocessing import Pool

import gx

app = gx.App("bench-state")
WORKERS = 4
settings = {"max_containers": WORKERS, "cpu": 0.09, "scaledown_window": 2}


def timed(count, work):
    """When work began and ended, after all workers have come to this point."""
    begin = time.time()
    for i in range(count):
        work(i)
    return begin, time.time()


@app.function(**settings)
def dict_put(d, gate, worker, count):
    d.put(("warm", worker), 0)
    gate.put(worker, partition="here")
    gate.get(partition="go")
    return timed(count, lambda i: d.put((worker, i), i))


@app.function(**settings)
def dict_get(d, gate, worker, count):
    d.get(("warm", worker))
    gate.put(worker, partition="here")
    gate.get(partition="go")
    return timed(count, lambda i: d.get((worker, i)))


@app.function(**settings)
async def dict_put_many(d, gate, worker, count):
    """Sixteen at a time, as async code does."""
    import asyncio

    await d.put.aio(("warm", worker), 0)
    await gate.put.aio(worker, partition="here")
    await gate.get.aio(partition="go")
    begin = time.time()

    async def some(of):
        for i in range(of, count, 16):
            await d.put.aio((worker, i), i)

    await asyncio.gather(*[some(i) for i in range(16)])
    return begin, time.time()


@app.function(**settings)
def produce(q, gate, worker, count):
    q.len()
    gate.put(worker, partition="here")
    gate.get(partition="go")
    return timed(count, lambda i: q.put((worker, i)))


@app.function(**settings)
def consume(q, gate, worker, count):
    q.len()
    gate.put(worker, partition="here")
    gate.get(partition="go")
    got = []
    begin, end = timed(count, lambda i: got.append(q.get()))
    return begin, end, got


def together(gate, functions, *args):
    """Operations a second of all workers, who begin at once, and what they returned."""
    calls = [f.spawn(*args[:1], gate, worker, args[1]) for f in functions for worker in range(WORKERS)]
    for _ in calls:
        gate.get(partition="here", timeout=120)
    gate.put_many([0] * len(calls), partition="go")
    results = [call.get() for call in calls]
    took = max(r[1] for r in results) - min(r[0] for r in results)
    return len(calls) * args[1] / took, results


def sqlite_puts(args):
    path, worker, count = args
    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    db.execute("PRAGMA synchronous = NORMAL")
    begin = time.time()
    for i in range(count):
        db.execute("INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (b"%d %d" % (worker, i), b"%d" % i))
    return begin, time.time()


def sqlite(workers, count):
    """Puts a second into a database with a write-ahead log, each a transaction."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "floor.db")
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB)")
        with Pool(workers) as pool:
            times = pool.map(sqlite_puts, [(path, w, count) for w in range(workers)], chunksize=1)
        return workers * count / (max(t[1] for t in times) - min(t[0] for t in times))


@app.local_entrypoint()
def main(count: int = 2000, rounds: int = 3):
    table = {}
    for _ in range(rounds):
        figures = {"sqlite_1": sqlite(1, count), "sqlite_4": sqlite(WORKERS, count // 4)}
        with gx.Dict.ephemeral() as d, gx.Queue.ephemeral() as q, gx.Queue.ephemeral() as gate:
            figures["dict_put"], _ = together(gate, [dict_put], d, count)
            assert d.len() == WORKERS * (count + 1), d.len()
            figures["dict_get"], _ = together(gate, [dict_get], d, count)
            d.clear()
            figures["dict_put_many"], _ = together(gate, [dict_put_many], d, count)
            assert sorted(k for k in d.keys() if k[0] != "warm") == [(w, i) for w in range(WORKERS) for i in range(count)]
            figures["queue"], results = together(gate, [produce, consume], q, count)
            items = [item for r in results if len(r) == 3 for item in r[2]]
            assert sorted(items) == [(w, i) for w in range(WORKERS) for i in range(count)], "an item was lost, or came twice"
        for name, figure in figures.items():
            table.setdefault(name, []).append(figure)
    print(json.dumps({name: sorted(values)[len(values) // 2] for name, values in table.items()}))
