"""Spawns calls until the host is gone, and notes the ids that it was told. An argument is the first number."""

import sys
import time

import gx

first = int(sys.argv[1])
work, large = gx.Function.from_name("killed-jobs", "work"), gx.Function.from_name("killed-jobs", "large")
with open("acks", "a", buffering=1) as acks:
    for n in range(first, first + 80):
        time.sleep(0.01)
        if n % 10 == 9:
            acks.write(f"large {n} {large.spawn(n, b'x' * 400_000).object_id}\n")
        elif n % 10 == 8:
            acks.write(f"many {n} {work.spawn_map(range(n, n + 5)).object_id}\n")
        else:
            acks.write(f"work {n} {work.spawn(n).object_id}\n")
