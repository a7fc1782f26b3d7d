"""A deployed app with schedules, and a function that others spawn calls of."""

import time

import gx

app = gx.App("killed-jobs")


@app.function(schedule=gx.Period(seconds=1), scaledown_window=2)
def tick():
    print("tick", gx.current_function_call_id())
    time.sleep(0.05)


@app.function(schedule=gx.Cron("* * * * *"), scaledown_window=2)
def minute():
    print("minute", gx.current_function_call_id())


@app.function(max_containers=2, scaledown_window=2)
def work(n):
    for i in range(3):
        print("work", n, i)
    time.sleep(0.01 * (n % 7))
    return n * n


@app.function(max_containers=2, scaledown_window=2)
def large(n, data):
    return n, len(data), bytes(data[:1]) * 300_000
