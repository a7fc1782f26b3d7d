"""Milliseconds from a call to the first line of the user's module in a container made for it."""

import time

FIRST = time.time_ns()

import gx  # noqa: E402

app = gx.App("bench-start")


@app.function(max_inputs=1, single_use_containers=True)
def first_line():
    return FIRST


@app.local_entrypoint()
def main(rounds: int = 30):
    import json

    first_line.remote()
    took = []
    for _ in range(rounds):
        time.sleep(0.5)  # an idle machine: what a user meets, and what makes the kernel's grace periods count
        begin = time.time_ns()
        took.append((first_line.remote() - begin) / 1e6)
    print(json.dumps(took))
