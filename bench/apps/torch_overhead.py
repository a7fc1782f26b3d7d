"""PyTorch work on the device that the first argument names, timed when it is asked for.

Each line of standard input names a kind of work; the answer is the CPU seconds of
one call, the mean of a short run. CPU time, not the clock's, so that other
programs on the machine count less.
"""

import sys
from time import process_time

import torch
from torch import nn

torch.set_num_threads(1)
device = sys.argv[1]


def matmul():
    """A product of large matrices."""
    a = torch.randn(512, 512, device=device)
    return lambda: a @ a


def training():
    """One step of a small network: forward, backward, Adam."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.randn(64, 64, device=device), torch.randint(0, 10, (64,), device=device)
    loss = nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step


def operator():
    """An addition of eight numbers."""
    a = torch.ones(8, device=device)
    return lambda: a + 1


def function():
    """The same by a function of torch."""
    a, add = torch.ones(8, device=device), torch.add
    return lambda: add(a, 1)


KINDS = {"matmul": (matmul, 4), "training": (training, 20), "operator": (operator, 2000), "function": (function, 2000)}
works = {name: (make(), times) for name, (make, times) in KINDS.items()}
for work, times in works.values():
    for _ in range(times):
        work()
print(torch.__version__, flush=True)
for line in sys.stdin:
    work, times = works[line.strip()]
    began = process_time()
    for _ in range(times):
        work()
    print((process_time() - began) / times, flush=True)
