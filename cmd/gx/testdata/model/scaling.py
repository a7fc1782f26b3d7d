# limit: 400
# alone
"""How many containers there are: bounds, what is kept, what ends, and who waits when there is no room."""

import json
import os
import subprocess
import threading
import time

import gx

app = gx.App("scaling")
HALF = os.cpu_count() / 2  # cores: two containers of so many fill the host


def where(seconds):
    time.sleep(seconds)
    return os.environ["GX_CONTAINER_ID"]


@app.function(min_containers=2, scaledown_window=2)
def kept(seconds):
    return where(seconds)


@app.function(max_containers=2, scaledown_window=2)
def bounded(seconds):
    return where(seconds)


@app.function(max_containers=2, scaledown_window=2)
@gx.concurrent(max_inputs=4)
def bounded_together(seconds):
    return where(seconds)


@app.function(buffer_containers=2, max_containers=4, scaledown_window=2)
def buffered(gate):
    while not gate.contains("open"):
        time.sleep(0.05)
    return where(0.0)


@app.function(scaledown_window=2)
def brief(seconds):
    return where(seconds)


@app.function(cpu=HALF, scaledown_window=600)
def greedy(seconds):
    return where(seconds)


@app.function(cpu=HALF, scaledown_window=2)
def modest(seconds):
    return where(seconds)


class Watch:
    """Counts the containers of a function while it is entered."""

    def __init__(self, function):
        self.function = function
        self.over = threading.Event()
        self.counts = []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            self.counts.append(count(self.function))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def containers():
    return json.loads(subprocess.run(["gx", "container", "list", "--json"], check=True, capture_output=True).stdout) or []


def count(function, states=("starting", "ready")):
    return len([c for c in containers() if c["app"] == app.app_id and c["function"] == function and c["state"] in states])


def until(what, condition, patience=60.0):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def bounds():
    # min_containers: they are there before there are inputs, and stay.
    until("min_containers=2 are not started", lambda: count("kept", ["ready"]) == 2)
    time.sleep(4)
    assert count("kept", ["ready"]) == 2
    assert len(set(kept.map([0.2] * 4))) >= 2

    # max_containers: never more, and the rest waits.
    began = time.monotonic()
    with Watch("bounded") as watch:
        assert len(set(bounded.map([0.05] * 60))) == 2
    assert max(watch.counts) == 2, watch.counts
    assert time.monotonic() - began > 60 * 0.05 / 2, time.monotonic() - began
    began = time.monotonic()
    with Watch("bounded_together") as watch:
        assert len(set(bounded_together.map([0.1] * 80))) == 2
    assert max(watch.counts) == 2, watch.counts
    assert time.monotonic() - began > 1.0, time.monotonic() - began

    # buffer_containers: beyond what the inputs need, as long as there are inputs.
    with gx.Dict.ephemeral() as gate:
        calls = [buffered.spawn(gate)]
        until("buffer_containers=2 are not started", lambda: count("buffered", ["ready"]) == 3)
        calls += [buffered.spawn(gate) for _ in range(3)]  # as many as max_containers allows
        until("max_containers=4 are not started", lambda: count("buffered", ["ready"]) == 4)
        until("they have not all begun", lambda: buffered.get_current_stats().num_running_inputs == 4)
        gate["open"] = True
        assert len({call.get() for call in calls}) == 4


def to_zero():
    """scaledown_window: a container ends so long after its last input."""
    assert brief.remote(0.0)
    began = time.monotonic()
    until("the pool does not go to zero", lambda: count("brief") == 0)
    took = time.monotonic() - began
    assert 1.5 < took < 30, took
    # What is used stays.
    first = brief.remote(0.0)
    for _ in range(6):
        time.sleep(1)
        assert brief.remote(0.0) == first
    for function in ("bounded", "bounded_together", "buffered"):
        until(f"{function} does not go to zero", lambda: count(function) == 0)
    assert count("kept") == 2


def capacity():
    """The host is full: inputs wait, all come to their turn, and nobody gets all the room."""
    kept.update_autoscaler(min_containers=0)
    until("the host is not free", lambda: not [c for c in containers() if c["app"] == app.app_id])
    with Watch("greedy") as watch:
        assert len(list(greedy.map([0.3] * 12))) == 12
    assert max(watch.counts) == 2, watch.counts  # more do not fit

    # Another function of the app asks while one has all there is.
    calls = [greedy.spawn(0.5) for _ in range(40)]
    until("greedy has not begun", lambda: count("greedy", ["ready"]) == 2)
    assert modest.remote(0.0)
    try:
        calls[-1].get(timeout=0)
    except TimeoutError:
        pass
    else:
        raise AssertionError("modest had to wait for all the others")
    assert calls[-1].get()

    # An idle container makes room at once, long before its window is over.
    assert count("greedy") > 0
    began = time.monotonic()
    assert modest.remote(0.0)
    assert time.monotonic() - began < 60


def changed_while_running():
    bounded.update_autoscaler(max_containers=1)
    until("the pool does not shrink", lambda: count("bounded") <= 1)
    with Watch("bounded") as watch:
        assert len(set(bounded.map([0.05] * 20))) == 1
    assert max(watch.counts) == 1, watch.counts
    bounded.update_autoscaler(min_containers=3, max_containers=3, scaledown_window=1)
    until("min_containers=3 are not started", lambda: count("bounded", ["ready"]) == 3)
    stats = bounded.get_current_stats()
    assert (stats.backlog, stats.num_total_runners) == (0, 3), stats
    calls = [bounded.spawn(4.0) for _ in range(5)]
    until("the statistics do not show them", lambda: bounded.get_current_stats().backlog == 2)
    assert bounded.get_current_stats().num_total_runners == 3
    for call in calls:
        call.get()
    bounded.update_autoscaler(min_containers=0)
    until("the pool does not go to zero", lambda: count("bounded") == 0)


@app.local_entrypoint()
def main():
    bounds()
    to_zero()
    changed_while_running()
    capacity()
    print("ok")
