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


def timed(count, work):
    """When work began and ended, after all workers have come to this point."""
    begin = time.time()
    for i in range(count):
        work(i)
    return begin, time.time()


# One function for all, so that the same four containers do it all; the machine is theirs.
@app.function(max_containers=WORKERS, cpu=0.9 * os.cpu_count() / WORKERS if gx.is_local() else None)
def work(what, shared, gate, worker, count):
    steps = {
        "dict_put": lambda i: shared.put((worker, i), i),
        "dict_get": lambda i: shared.get((worker, i)),
        "dict_put_many": None,
        "produce": lambda i: shared.put((worker, i)),
        "consume": lambda i: got.append(shared.get()),
    }
    got = []
    shared.len()
    gate.put(worker, partition="here")
    gate.get(partition="go")
    begin, end = timed(count, steps[what]) if steps[what] else many(shared, worker, count)
    return begin, end, got


def many(d, worker, count):
    """Sixteen at a time, as async code does."""
    import asyncio

    async def some(of):
        for i in range(of, count, 16):
            await d.put.aio((worker, i), i)

    async def all_of_them():
        begin = time.time()
        await asyncio.gather(*[some(i) for i in range(16)])
        return begin, time.time()

    return asyncio.run(all_of_them())


def together(gate, whats, shared, count):
    """Operations a second of all workers, who begin at once, and what they returned."""
    calls = [work.spawn(what, shared, gate, worker, count) for what in whats for worker in range(WORKERS // len(whats))]
    for _ in calls:
        gate.get(partition="here", timeout=120)
    gate.put_many([0] * len(calls), partition="go")
    results = [call.get() for call in calls]
    took = max(r[1] for r in results) - min(r[0] for r in results)
    return len(calls) * count / took, [item for r in results for item in r[2]]


def sqlite_puts(args):
    path, worker, count = args
    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    db.execute("PRAGMA synchronous = NORMAL")
    begin = time.time()
    for i in range(count):
        db.execute("INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (b"%d %d" % (worker, i), b"%d" % i))
    return begin, time.time()


@app.function(cpu=0.9 * os.cpu_count() / WORKERS if gx.is_local() else None, scaledown_window=2)
def sqlite(workers, count):
    """Puts a second into a database with a write-ahead log, each a transaction; in a container, as what is held against it."""
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
        figures = {"sqlite_1": sqlite.remote(1, count), "sqlite_4": sqlite.remote(WORKERS, count // 4)}
        with gx.Dict.ephemeral() as d, gx.Queue.ephemeral() as q, gx.Queue.ephemeral() as gate:
            figures["dict_put"], _ = together(gate, ["dict_put"], d, count)
            assert d.len() == WORKERS * count, d.len()
            figures["dict_get"], _ = together(gate, ["dict_get"], d, count)
            d.clear()
            figures["dict_put_many"], _ = together(gate, ["dict_put_many"], d, count)
            assert sorted(d.keys()) == [(w, i) for w in range(WORKERS) for i in range(count)]
            figures["queue"], items = together(gate, ["produce", "consume"], q, count)
            assert sorted(items) == [(w, i) for w in range(WORKERS // 2) for i in range(count)], "an item was lost, or came twice"
        for name, figure in figures.items():
            table.setdefault(name, []).append(figure)
    print(json.dumps({name: sorted(values)[len(values) // 2] for name, values in table.items()}))
