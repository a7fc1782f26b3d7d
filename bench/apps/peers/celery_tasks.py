"""What Celery's workers run."""

import os

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])
app.conf.update(
    task_serializer="pickle", result_serializer="pickle", accept_content=["pickle"], worker_prefetch_multiplier=64, task_ignore_result=False
)


@app.task
def trivial(x):
    return x * x


@app.task
def echo(data):
    return data
