"""A map of a million small inputs: how much memory the client needs."""

import json
import resource
import time

import gx

app = gx.App("bench-million")


@app.function(max_containers=2)
def trivial(x):
    return x


@app.local_entrypoint()
def main(count: int = 1_000_000):
    list(trivial.map(range(1000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    total = sum(trivial.map(range(count)))
    took = time.perf_counter() - begin
    assert total == count * (count - 1) // 2
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"rate": count / took, "before_kib": before, "after_kib": after}))
