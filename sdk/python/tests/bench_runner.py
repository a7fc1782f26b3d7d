"""How quick the runner is: python tests/bench_runner.py [PYTHON]

Start: from the start of the process to the first line of the user's module and
to Ready, beside the same Python that only writes a byte. Calls: round trips and
windows of a trivial function. Payloads: a round trip of large bytes. All times
are medians; it prints what it measures and compares nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from host import Host  # noqa: E402

from gx import _wire  # noqa: E402


def median(values: list) -> float:
    return sorted(values)[len(values) // 2]


def start(python: str, rounds: int = 30) -> None:
    bare, first, ready = [], [], []
    for _ in range(rounds):
        began = time.perf_counter()
        process = subprocess.Popen([python, "-c", "import os; os.write(1, b'x')"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 1)
        bare.append(time.perf_counter() - began)
        process.wait()
        process.stdout.close()
        with Host("import os; os.write(1, b'x')\ndef f(x): return x", python=python) as host:
            host.stdout.wait(b"x")
            first.append(time.perf_counter() - host.began)
            host.ready()
            ready.append(time.perf_counter() - host.began)
    print(
        "start      bare %.1f ms, first line %.1f ms, ready %.1f ms"
        % tuple(1e3 * median(v) for v in (bare, first, ready))
    )


def calls(host: Host) -> None:
    sock = host.connection.sock
    frame = _wire.encode(_wire.INPUT, 7, 0, _wire.dumps(((2,), {})), 1)
    times = []
    for _ in range(6000):
        began = time.perf_counter()
        sock.send(frame)
        sock.recv(65536)
        times.append(time.perf_counter() - began)
    times.sort()
    print(
        "call       p50 %.1f us, p90 %.1f us, p99 %.1f us"
        % tuple(1e6 * times[len(times) * q // 100] for q in (50, 90, 99))
    )
    size = len(_wire.encode(_wire.RESULT, 7, 0, _wire.dumps(4), 1))
    for window in (1, 8, 64, 1024):
        done, began = 0, time.perf_counter()
        while done < 50_000:
            sock.sendall(frame * window)
            got = 0
            while got < window * size:
                got += len(sock.recv(1 << 17))
            done += window
        print("window %-4d %.0f inputs/s" % (window, done / (time.perf_counter() - began)))


def payloads(host: Host) -> None:
    for size, rounds in ((1 << 10, 200), (1 << 18, 200), (1 << 20, 100), (100 << 20, 7)):
        value = os.urandom(size)
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            host.call(value)
            times.append(time.perf_counter() - began)
        print("payload    %.0f KiB there and back: %.3f ms" % (size / 1024, 1e3 * median(times)))


def main() -> None:
    python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    print(python)
    start(python)
    with Host("def f(x): return x * x if type(x) is int else x", python=python) as host:
        host.ready()
        calls(host)
        payloads(host)
        time.sleep(3)  # the watcher goes to sleep
        before = Path(f"/proc/{host.process.pid}/stat").read_text().split()[13:15]
        time.sleep(2)
        after = Path(f"/proc/{host.process.pid}/stat").read_text().split()[13:15]
        print("idle       %d ticks of CPU time in 2 s" % (sum(map(int, after)) - sum(map(int, before))))


if __name__ == "__main__":
    main()
