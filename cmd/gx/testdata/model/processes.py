"""Processes that a function starts, and the environment that its module has made, in containers that are started and forked."""

import multiprocessing
import os
import subprocess
import time

import gx

os.environ["SET_BY_THE_MODULE"] = "yes"
app = gx.App("processes")


@app.function(max_containers=4, env={"GIVEN": "1"})
def pool(x):
    # Its workers are ended by SIGTERM, sometimes in their first moments.
    with multiprocessing.Pool(2) as workers:
        return sum(workers.map(abs, range(-x, 0)))


@app.function(max_containers=4, env={"GIVEN": "1"})
def environment(_):
    time.sleep(0.1)
    out = subprocess.run(["sh", "-c", "echo $SET_BY_THE_MODULE $GIVEN $GX_CONTAINER_ID"], capture_output=True, text=True, check=True)
    return out.stdout.split() == [os.environ["SET_BY_THE_MODULE"], "1", os.environ["GX_CONTAINER_ID"]], os.environ["GX_CONTAINER_ID"]


@app.local_entrypoint()
def main():
    assert list(pool.map([4] * 150)) == [10] * 150
    found = list(environment.map(range(24)))
    assert all(right for right, _ in found), found
    assert len({container for _, container in found}) > 1
    print("ok")
