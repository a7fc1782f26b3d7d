"""CPU seconds of three kinds of PyTorch work, on the device that the first argument names; prints JSON.

CPU time, not the clock's, so that other programs on the machine count less.
"""

import json
import sys
from time import process_time

import torch
from torch import nn

torch.set_num_threads(1)
device = sys.argv[1]


def best(work, times, rounds):
    """The least seconds of CPU per call, after some calls to warm up."""
    for _ in range(5):
        work()
    least = float("inf")
    for _ in range(rounds):
        began = process_time()
        for _ in range(times):
            work()
        least = min(least, (process_time() - began) / times)
    return least


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


def tiny():
    """An addition of eight numbers."""
    a = torch.ones(8, device=device)
    return lambda: a + 1


print(
    json.dumps(
        {
            "torch": str(torch.__version__),
            "matmul": best(matmul(), 4, 12),
            "training": best(training(), 20, 12),
            "tiny": best(tiny(), 2000, 12),
        }
    )
)
