"""Streams and events, checkpoints, pinned memory, data loaders, faults, refusals."""

import io
import sys

import pages
import pytest
import torch
from torch import nn


def test_streams_and_events():
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    with torch.cuda.stream(stream):
        assert torch.cuda.current_stream() == stream
        x = torch.ones(64, 64, device="cuda")
        y = x @ x
    stream.wait_stream(torch.cuda.current_stream())
    y.record_stream(stream)
    end.record()
    torch.cuda.synchronize()
    end.synchronize()
    assert start.elapsed_time(end) > 0 and end.query() and stream.query()
    assert torch.cuda.current_stream() == torch.cuda.default_stream() and torch.cuda.current_stream().cuda_stream == 0
    with pytest.raises((ValueError, RuntimeError)):
        torch.cuda.Event().elapsed_time(end)


@pytest.mark.parametrize(("location", "place"), [
    (None, "cuda:1"), ("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), (torch.device("cuda:0"), "cuda:0"),
    ({"cuda:1": "cuda:0"}, "cuda:0"), ({"cuda:1": "cpu"}, "cpu"), (lambda storage, where: storage, "cpu"),
    (lambda storage, where: storage.cuda(0), "cuda:0"),
])  # fmt: skip
def test_save_and_load(location, place):
    file = io.BytesIO()
    model = nn.Linear(2, 3).to("cuda:1")
    torch.save({"model": model.state_dict(), "step": 3, "x": torch.ones(2)}, file)
    assert b"cuda:1" in file.getvalue() and b"gx_cuda" not in file.getvalue()
    file.seek(0)
    loaded = torch.load(file, map_location=location)
    assert str(loaded["model"]["weight"].device) == place and loaded["step"] == 3
    assert str(loaded["x"].device) == ("cpu" if location is None or isinstance(location, dict) or callable(location) and place == "cpu" else place)
    assert torch.equal(loaded["model"]["weight"].cpu(), model.weight.detach().cpu())


def test_a_whole_module_is_saved():
    file = io.BytesIO()
    model = nn.Linear(2, 2).cuda()
    torch.save(model, file)
    file.seek(0)
    options = {} if sys.version_info < (3, 0) else {"weights_only": False}
    loaded = torch.load(file, **options)
    assert isinstance(loaded.weight, nn.Parameter) and loaded.weight.is_cuda and loaded.weight.requires_grad
    assert torch.cuda.memory_allocated() >= 2 * 1024


def test_load_for_a_card_that_is_not_there():
    file = io.BytesIO()
    torch.save(torch.ones(2), file)
    file.seek(0)
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on CUDA device 5 but torch.cuda.device_count\\(\\) is 2"):
        torch.load(file, map_location="cuda:5")


def test_a_checkpoint_is_read_without_the_emulator(run, tmp_path):
    torch.save({"x": torch.ones(2, device="cuda"), "p": nn.Parameter(torch.ones(2)).cuda()}, tmp_path / "file")
    done = run("import torch; print(sorted(torch.load('file', map_location='cpu')))", GX_GPU_PAGE="")
    assert done.out.strip() == "['p', 'x']", done.err


def test_pinned():
    x = torch.ones(4)
    assert not x.is_pinned()
    y = x.pin_memory()
    assert y.is_pinned() and not y.is_cuda and y.to("cuda", non_blocking=True).is_cuda
    assert torch.zeros(2, pin_memory=True).is_pinned()
    with pytest.raises(RuntimeError, match="cannot pin"):
        y.cuda().pin_memory()


class _Data(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.full((2,), float(i)), i


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader(workers):
    loader = torch.utils.data.DataLoader(_Data(), batch_size=4, num_workers=workers, pin_memory=True)
    seen = []
    for x, labels in loader:
        assert x.is_pinned()
        seen += (x.cuda(non_blocking=True).sum(1).cpu() + labels).tolist()
    assert seen == [3.0 * i for i in range(8)]


def test_use_in_a_worker_of_a_data_loader(run):
    source = """
import torch
class Data(torch.utils.data.Dataset):
    def __len__(self): return 2
    def __getitem__(self, i): return torch.ones(1, device="cuda")
torch.ones(1, device="cuda")
list(torch.utils.data.DataLoader(Data(), num_workers=1))
"""
    assert "Cannot re-initialize CUDA in forked subprocess" in run(source).err


FAULTS = {2: "uncorrectable ECC error encountered", 3: "an illegal memory access was encountered",
          4: "device-side assert triggered", 5: "unspecified launch failure"}  # fmt: skip

_LOOP = """
import struct, sys, torch
x = torch.ones(2, device="cuda")
def fault(n):
    with open(PAGE, "r+b") as file:
        file.seek(128 + 188); file.write(struct.pack("<I", n))
def attempt(what):
    try:
        what(); print("fine")
    except RuntimeError as error: print(type(error).__name__, str(error).splitlines()[0])
"""


@pytest.mark.parametrize("number", FAULTS)
def test_a_fault_ends_the_context(run, number):
    source = f"PAGE = {run.page!r}\n" + _LOOP + (
        f"fault({number}); attempt(lambda: x + 1); attempt(lambda: x * 2); attempt(torch.cuda.synchronize);"
        "attempt(lambda: torch.ones(2, device='cuda')); print(x.shape)"
    )
    done = run(source)
    lines = done.out.splitlines()
    assert [FAULTS[number] in line for line in lines[:4]] == [True] * 4, done.out + done.err
    assert lines[4] == "torch.Size([2])"
    assert run("import torch; print((torch.ones(2, device='cuda') + 1).tolist())").out == "[2.0, 2.0]\n"


def test_a_card_that_is_lost_stays_lost(run):
    source = f"PAGE = {run.page!r}\n" + _LOOP + "fault(15); attempt(lambda: x + 1)"
    assert "CUDA error: unknown error" in run(source).out
    assert "CUDA error: unknown error" in run("import torch; torch.ones(2, device='cuda') + 1").err


def test_out_of_memory_by_order(run):
    source = f"PAGE = {run.page!r}\n" + _LOOP + "fault(1); attempt(lambda: x + 1); attempt(lambda: x + 1)"
    lines = run(source).out.splitlines()
    assert lines[0].startswith("OutOfMemoryError CUDA out of memory. Tried to allocate") and lines[1] == "fine"


def test_a_fault_of_the_other_card(page):
    x = torch.ones(2, device="cuda:0")
    pages.fault(page, 1, 2)
    try:
        assert (x + 1).tolist() == [2, 2]
    finally:
        pages.fault(page, 1, 0)


def test_what_cannot_run_says_so():
    from gx_cuda import refusals

    with pytest.raises(refusals.GPUEmulationError, match="torch.cuda.CUDAGraph cannot run on the emulated NVIDIA A10G"):
        torch.cuda.CUDAGraph()
    x = torch.ones(2, device="cuda")
    with pytest.raises(refusals.GPUEmulationError, match="gx run --host NAME"):
        x.__cuda_array_interface__  # noqa: B018
    with pytest.raises(refusals.GPUEmulationError, match="CUDA extension 'mine'"):
        from torch.utils import cpp_extension

        cpp_extension.load_inline(name="mine", cpp_sources="", cuda_sources="__global__ void f() {}")


def test_packages_of_kernels(run, tmp_path):
    (tmp_path / "flash_attn.py").write_text("def flash_attn_func(q, k, v): return 1\n")
    (tmp_path / "triton" / "runtime").mkdir(parents=True)
    (tmp_path / "triton" / "__init__.py").write_text("")
    (tmp_path / "triton" / "runtime" / "__init__.py").write_text("")
    (tmp_path / "triton" / "runtime" / "jit.py").write_text(
        "class JITFunction:\n    def __init__(self, fn): self.fn = fn; self.__name__ = fn.__name__\n"
        "    def __getitem__(self, grid): return lambda *a: self.run(*a, grid=grid)\n    def run(self, *a, **k): return 1\n"
    )
    source = """
import torch
torch.cuda.is_available()
import flash_attn
from triton.runtime.jit import JITFunction
def add_kernel(x): pass
for use in (lambda: flash_attn.flash_attn_func(1, 2, 3), lambda: JITFunction(add_kernel)[(1,)](1)):
    try: use()
    except RuntimeError as error: print(error)
"""
    import conftest

    done = run(source, PYTHONPATH=f"{conftest.PACKAGE}:{tmp_path}")
    assert "flash_attn.flash_attn_func cannot run on the emulated NVIDIA A10G" in done.out, done.err
    assert "The Triton kernel 'add_kernel' cannot run on the emulated NVIDIA A10G" in done.out
    assert done.out.count("gx run --host NAME") == 2


def test_real_triton(run):
    pytest.importorskip("triton")
    source = """
import torch, triton, triton.language as tl
@triton.jit
def add_kernel(x, y, n: tl.constexpr): pass
x = torch.ones(2, device="cuda")
add_kernel[(1,)](x, x, 2)
"""
    import os
    import pathlib

    file = pathlib.Path(run.page).parent / "program.py"
    file.write_text(source)
    done = run(f"import runpy; runpy.run_path({os.fspath(file)!r})")
    assert "The Triton kernel 'add_kernel' cannot run" in done.err and "program.py:6" in done.err
