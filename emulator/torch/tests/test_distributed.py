"""Several processes, each with its own emulated card: NCCL, DDP, torchrun, accelerate."""

import socket

import pytest
import torch

if not torch.distributed.is_available():
    pytest.skip("this torch has no torch.distributed", allow_module_level=True)
if not hasattr(torch, "compile"):
    pytest.skip("Gloo lacks most of this before 2.0", allow_module_level=True)

BEGIN = """
import os, sys, torch, torch.distributed as dist
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
def say(*words):
    if rank == 0: print(*words, flush=True)
"""


@pytest.fixture
def ranks(run, tmp_path):
    """Runs a program in two processes by torchrun, with an A10G and a T4."""

    def start(source):
        (tmp_path / "program.py").write_text(BEGIN + source)
        for _ in range(5):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            launch = (
                "import sys, runpy; sys.argv = ['torchrun', '--nproc_per_node=2', '--master_addr=127.0.0.1', "
                f"'--master_port={port}', 'program.py']; runpy.run_module('torch.distributed.run', run_name='__main__')"
            )
            done = run(launch, ["A10G", "T4"], GLOO_SOCKET_IFNAME="lo")
            if "address already in use" not in done.err.lower():  # somebody was quicker with the port
                break
        assert done.code == 0, done.err[-3000:]
        # Gloo of some versions tells of its connections there.
        done.out = "".join(line for line in done.out.splitlines(True) if not line.startswith("[Gloo]"))
        return done

    return start


def test_collectives(ranks):
    done = ranks("""
dist.init_process_group("nccl")
say(dist.get_backend(), dist.is_nccl_available())
x = torch.full((2,), float(rank + 1), device="cuda")
dist.all_reduce(x); say(x)
dist.broadcast(y := torch.full((1,), float(rank), device="cuda"), 1); say(y)
parts = [torch.zeros(1, device="cuda") for _ in range(world)]
dist.all_gather(parts, torch.full((1,), float(rank), device="cuda")); say(torch.cat(parts))
found = [None] * world
dist.all_gather_object(found, torch.cuda.get_device_name()); say(found)
if hasattr(dist, "ReduceOp") and hasattr(dist.ReduceOp, "AVG"):
    z = torch.full((1,), float(rank), device="cuda")
    dist.all_reduce(z, op=dist.ReduceOp.AVG); say(z)
else:
    say("tensor([0.5000], device='cuda:0')")
o = torch.zeros(2, device="cuda")
dist.reduce_scatter(o, [torch.ones(2, device="cuda") * (i + rank) for i in range(world)]); say(o)
half = torch.ones(2, device="cuda", dtype=torch.bfloat16)
dist.all_reduce(half); say(half.dtype, half.float().tolist())
group = dist.new_group([0, 1])
say(dist.get_backend(group))
dist.barrier()
try: dist.all_reduce(torch.ones(1))
except RuntimeError as error: say(error)
dist.destroy_process_group()
""")
    assert done.out.splitlines() == [
        "nccl True", "tensor([3., 3.], device='cuda:0')", "tensor([1.], device='cuda:0')", "tensor([0., 1.], device='cuda:0')",
        "['NVIDIA A10G', 'Tesla T4']", "tensor([0.5000], device='cuda:0')", "tensor([1., 1.], device='cuda:0')",
        "torch.bfloat16 [2.0, 2.0]", "nccl", "No backend type associated with device type cpu",
    ]  # fmt: skip
    assert done.err.count("between emulated ones Gloo exchanges the tensors") == 1


def test_data_parallel_training(ranks):
    """Two ranks with half of each batch learn what one process learns from all of it; so does SyncBatchNorm."""
    done = ranks("""
from torch import nn
from torch.nn.parallel import DistributedDataParallel
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
def train(m, device, part):
    chosen = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(1)
    for _ in range(5):
        x, y = torch.randn(8, 4), torch.randn(8, 2)
        chosen.zero_grad()
        (m(x[part].to(device)) - y[part].to(device)).pow(2).mean().backward()
        chosen.step()
    return m
alone = train(model(), "cpu", slice(None))
dist.init_process_group("nccl")
both = nn.SyncBatchNorm.convert_sync_batchnorm(model()).cuda()
ddp = train(DistributedDataParallel(both, device_ids=[torch.cuda.current_device()]), "cuda", slice(4 * rank, 4 * rank + 4))
for a, b in zip(alone.state_dict().values(), both.state_dict().values()):
    assert b.is_cuda and torch.allclose(a.float(), b.cpu().float(), atol=1e-5), (a, b)
assert all(p.grad.is_cuda and p.device.index == rank for p in ddp.parameters())
say("the same")
dist.destroy_process_group()
""")
    assert done.out.strip() == "the same"


def test_accelerate(ranks):
    pytest.importorskip("accelerate")
    done = ranks("""
import accelerate
accelerator = accelerate.Accelerator()
model, chosen = torch.nn.Linear(2, 1), None
chosen = torch.optim.SGD(model.parameters(), lr=0.1)
loader = torch.utils.data.DataLoader(torch.randn(8, 2), batch_size=2)
model, chosen, loader = accelerator.prepare(model, chosen, loader)
for x in loader:
    assert x.device == accelerator.device
    accelerator.backward(model(x).mean()); chosen.step(); chosen.zero_grad()
say(accelerator.num_processes, accelerator.device, len(loader), accelerator.gather(torch.ones(1, device=accelerator.device) * rank).tolist())
accelerator.wait_for_everyone()
dist.destroy_process_group()
""")
    assert done.out.strip() == "2 cuda:0 2 [0.0, 1.0]"


def test_another_backend_is_left_alone(ranks):
    done = ranks("""
dist.init_process_group("gloo")
dist.all_reduce(x := torch.ones(1)); say(dist.get_backend(), x)
dist.destroy_process_group()
""")
    assert done.out.strip() == "gloo tensor([2.])" and "exchanges" not in done.err


def test_a_rank_without_a_card(run):
    done = run("import torch; torch.cuda.set_device(1)")
    assert "invalid device ordinal" in done.err
