"""Spawned calls of this app, which ends with its host, against those of the same app deployed, which do not.

Run by `go run ./bench`, which deploys it before, and reads the JSON line that it prints last.
"""

import json
import time

import gx

app = gx.App("bench-spawned")


@app.function(max_containers=1, min_containers=1)
def trivial(x):
    return x


@app.function(max_containers=1, min_containers=1)
def length(data):
    return len(data)


def median(values):
    return sorted(values)[len(values) // 2]


def took(call):
    begin = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - begin) / 1000


@app.local_entrypoint()
def main(calls: int = 1500, many: int = 10_000, rounds: int = 5):
    lasting = gx.Function.from_name("bench-spawned", "trivial"), gx.Function.from_name("bench-spawned", "length")
    table = {}
    data = b"x" * (1 << 20)

    def measure(name, count, work):
        """Medians of both by turns."""
        times = ([], [])
        for _ in range(rounds):
            for which in (0, 1):
                times[which].extend(took(lambda: work(which)) for _ in range(max(1, count // rounds)))
        table[name] = [median(t) for t in times]

    one = (trivial, lasting[0])
    large = (length, lasting[1])
    for f in one:
        f.remote(1)
        f.spawn(1).get()
    for f in large:
        f.remote(b"")
    measure("remote", calls, lambda which: one[which].remote(3))
    measure("spawn", calls, lambda which: one[which].spawn(3))
    measure("spawn_get", calls, lambda which: one[which].spawn(3).get())
    measure("spawn_map", rounds, lambda which: one[which].spawn_map(range(many)).get(index=many - 1))
    measure("large", 50, lambda which: large[which].spawn(data).get())
    table["many"] = many
    print(json.dumps(table))
