"""Writes into two volumes by all ways at once until its host is killed, and notes in the file "acks" what was answered.

In the volume "commits" two containers write five files each, of one generation, and commit. In "puts" this program
puts five files of one generation as one version, and now and then restores an earlier version.
"""

import io
import pathlib
import threading
import time

import gx
from gx._ask import ask

app = gx.App("killed")
commits = gx.Volume.from_name("commits", create_if_missing=True)
puts = gx.Volume.from_name("puts", create_if_missing=True)


def content(generation, k):
    return f"{generation} " * (1 + 3000 * k)


@app.function(volumes={"/data": commits}, max_containers=2)
def commit(worker):
    while True:
        generation = time.time_ns()
        for k in range(5):
            (pathlib.Path("/data") / f"{worker}-{k}").write_text(content(generation, k))
        extra = pathlib.Path(f"/data/{worker}-folder")
        (extra / str(generation % 3)).mkdir(parents=True, exist_ok=True)
        if generation % 2:
            (extra / str(generation % 3)).rmdir()
        commits.commit()
        yield generation


@app.local_entrypoint()
def main():
    lock = threading.Lock()
    acks = open("acks", "a")

    def acknowledged(*words):
        with lock:
            print(*words, file=acks, flush=True)

    def committing(worker):
        for generation in commit.remote_gen(worker):
            acknowledged("commit", worker, generation)

    def putting():
        generations = {}
        while True:
            generation = time.time_ns()
            with puts.batch_upload(force=True) as batch:
                for k in range(5):
                    batch.put_file(io.BytesIO(content(generation, k).encode()), f"/folder/{k}")
            newest = ask("volume.get", id=puts.object_id)[0]["version"]
            generations[newest] = generation
            acknowledged("version", newest, generation)
            back = newest - generation % 4
            if back in generations:
                newest = ask("volume.restore", id=puts.object_id, version=back)[0]["version"]
                generations[newest] = generations[back]
                acknowledged("version", newest, generations[back])

    threads = [threading.Thread(target=committing, args=(i,), daemon=True) for i in range(2)]
    threads.append(threading.Thread(target=putting, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
