# limit: 300
"""Containers are killed at random, from outside: each result comes once, in its place, and nothing is left."""

import os
import random
import re
import threading
import time

import gx

app = gx.App("chaos")
COUNT = 5000


@app.function(max_containers=4)
def single(x):
    time.sleep(0.001)
    return x, x * x


@app.function(max_containers=4)
@gx.concurrent(max_inputs=8)
def several(x):
    time.sleep(0.005)
    return x, x * x


@app.function(max_containers=4)
@gx.concurrent(max_inputs=8)
async def several_async(x):
    import asyncio

    await asyncio.sleep(0.005)
    return x, x * x


@app.function(max_containers=4)
def at_once(x):
    """Takes next to no time: containers have many inputs ahead, and answers travel together."""
    return x, x * x


@app.function(max_containers=2)
def items(n):
    for i in range(n):
        yield i
        time.sleep(0.002)


def containers(app_id):
    """The processes of the app's containers: pid to container."""
    found = {}
    mark = f"GX_APP_ID={app_id}".encode()
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:
            continue
        if mark not in variables:
            continue
        # The environment of a forked container is to be seen in it alone: its
        # control group says which it is.
        try:
            with open(f"/proc/{name}/cgroup") as file:
                own = re.findall(r"(?:co|te)-[a-z2-7]{16}[.0-9]*", file.read())
        except OSError:
            continue
        if own:  # TEMPLATE.NUMBER; in hierarchies that limit nothing it stays in the template's
            found[int(name)] = max(own, key=len)
    return found


class Killer(threading.Thread):
    """Kills a container's process every now and then."""

    def __init__(self, app_id, seed):
        super().__init__()
        self.app_id = app_id
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.killed = []

    def run(self):
        while not self.over.wait(self.random.uniform(0.15, 0.45)):
            running = containers(self.app_id)
            if not running:
                continue
            pid = self.random.choice(sorted(running))
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
            self.killed.append(running[pid])


class Streams(threading.Thread):
    """Calls of a generator, one after the other, while containers are killed."""

    def __init__(self):
        super().__init__()
        self.over = threading.Event()
        self.whole = self.broken = 0
        self.wrong = []

    def run(self):
        while not self.over.is_set():
            got = []
            try:
                for item in items.remote_gen(100):
                    got.append(item)
                self.whole += 1
                if got != list(range(100)):
                    self.wrong.append(got)
            except gx.exception.ExecutionError:
                # What its caller has can't be taken back: it is told how it ended.
                self.broken += 1
                if got != list(range(len(got))):
                    self.wrong.append(got)


def check(function, ordered, seed):
    killer, streams = Killer(app.app_id, seed), Streams()
    killer.start()
    streams.start()
    began = time.monotonic()
    first = True
    try:
        # A quick function is called until enough containers have died.
        while first or len(killer.killed) < 5 and time.monotonic() - began < 30:
            first = False
            got = list(function.map(range(COUNT), order_outputs=ordered))
            assert len(got) == COUNT, len(got)
            if not ordered:
                got.sort()
            wrong = [(i, answer) for i, answer in enumerate(got) if answer != (i, i * i)]
            assert not wrong, wrong[:5]
    finally:
        streams.over.set()
        killer.over.set()
        killer.join()
        streams.join()
    assert len(killer.killed) >= 5, killer.killed
    assert not streams.wrong and streams.whole + streams.broken > 0, streams.wrong[:3]
    print(f"{function}, {'ordered' if ordered else 'unordered'}: {len(killer.killed)} containers killed in "
          f"{time.monotonic() - began:.1f} s, {streams.whole} streams whole, {streams.broken} broken")
    return killer.killed


@app.local_entrypoint()
def main():
    killed = []
    for seed, function in enumerate([single, several, several_async, at_once]):
        killed += check(function, True, 2 * seed)
        killed += check(function, False, 2 * seed + 1)
    # A template is two processes, of which the first ends just after the second.
    twice = {name for name in killed if killed.count(name) > 1 and re.match(r"co-|te-.*\.", name)}
    assert not twice, f"containers were there after their end: {twice}"
    end = time.monotonic() + 60
    while set(killed) & set(containers(app.app_id).values()):
        assert time.monotonic() < end, "processes of containers that were killed are left"
        time.sleep(0.05)
    print("ok")
