# limit: 240
"""An input that kills its container each time is given up; the others of its map are not."""

import os
import time

import gx

app = gx.App("poison")


@app.function(max_containers=3)
def one_at_a_time(x):
    if x == 13:
        os.closerange(3, 1000)
    time.sleep(0.01)
    return x


@app.function(max_containers=2)
@gx.concurrent(max_inputs=8)
def several_at_a_time(x):
    if x == 13:
        time.sleep(0.05)
        os.closerange(3, 1000)
    time.sleep(0.02)
    return x


@app.function(max_containers=2)
def two_poisons(x):
    if x in (3, 40):
        os.closerange(3, 1000)
    return x


def check(answers, poisons):
    for i, answer in enumerate(answers):
        if i in poisons:
            assert isinstance(answer, gx.exception.ExecutionError), (i, answer)
            assert "3 containers" in str(answer) and "not tried again" in str(answer), answer
        else:
            assert answer == i, (i, answer)


@app.local_entrypoint()
def main():
    check(list(one_at_a_time.map(range(100), return_exceptions=True)), {13})
    check(list(two_poisons.map(range(100), return_exceptions=True)), {3, 40})
    check(list(several_at_a_time.map(range(100), return_exceptions=True)), {13})
    print("ok")
