"""Commits of one changed file, in a volume of 10,000 files and in one that has no other.

Run by `go run ./bench`, which reads the JSON line that it prints last.
"""

import json
import os
import time
import uuid

import gx

app = gx.App("bench-volumes")
NAME = f"bench-{uuid.uuid4().hex[:8]}" if gx.is_local() else "bench"
large = gx.Volume.from_name(f"{NAME}-large", create_if_missing=True)
small = gx.Volume.from_name(f"{NAME}-small", create_if_missing=True)


@app.function(volumes={"/large": large, "/small": small}, timeout=600)
def commits(names, files: int, rounds: int):
    large, small = (gx.Volume.from_name(name) for name in names)
    for i in range(files):
        folder = f"/large/{i % 100}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{i}", "wb") as f:
            f.write(os.urandom(1024))
    begin = time.perf_counter()
    large.commit()
    first = time.perf_counter() - begin
    return first, changes({"large": large, "small": small}, rounds)


@app.function(volumes={"/large": large, "/small": small}, timeout=600)
def changed(names, rounds: int):
    """In a container that has not written the 10,000 itself."""
    return changes({"large": gx.Volume.from_name(names[0]), "small": gx.Volume.from_name(names[1])}, rounds)


def changes(volumes, rounds):
    times = {name: [] for name in volumes}
    for i in range(rounds):
        for name, volume in volumes.items():
            with open(f"/{name}/changed", "wb") as f:
                f.write(os.urandom(1024))
            begin = time.perf_counter()
            volume.commit()
            times[name].append(time.perf_counter() - begin)
    return {name: sorted(values)[rounds // 2] * 1000 for name, values in times.items()}


@app.local_entrypoint()
def main(files: int = 10_000, rounds: int = 15):
    names = [large.name, small.name]
    first, same = commits.remote(names, files, rounds)
    other = changed.remote(names, rounds)
    print(json.dumps({"first": first * 1000, "same": same, "other": other}))
