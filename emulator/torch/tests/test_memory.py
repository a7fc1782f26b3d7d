"""What is in use, what no longer fits, and how it is said. Large tensors are never written to."""

import gc
import os

import pages
import pytest
import torch

GIB = 1 << 30
VERSION = tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2])


def huge(gib, device="cuda"):
    return torch.empty(int(gib * GIB), dtype=torch.uint8, device=device)


def test_allocated():
    before = torch.cuda.memory_allocated()
    x = torch.zeros(1000, device="cuda")
    assert torch.cuda.memory_allocated() - before == 4096
    view = x[10:]
    other = x.view(10, 100).T
    assert torch.cuda.memory_allocated() - before == 4096
    del x, view
    assert torch.cuda.memory_allocated() - before == 4096
    del other
    assert torch.cuda.memory_allocated() == before
    y = torch.ones(1, device="cuda:1")
    assert torch.cuda.memory_allocated(0) == before and torch.cuda.memory_allocated("cuda:1") == 512
    del y


def test_peak_and_reserved():
    torch.cuda.reset_peak_memory_stats()
    base = torch.cuda.memory_allocated()
    x = torch.zeros(8 << 20, dtype=torch.uint8, device="cuda")
    y = x + 1
    assert torch.cuda.max_memory_allocated() - base == 16 << 20
    del x, y
    assert torch.cuda.max_memory_allocated() - base == 16 << 20 and torch.cuda.memory_allocated() == base
    assert torch.cuda.memory_reserved() >= 16 << 20
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= 2 << 20
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() == base


def test_free_and_total():
    free, total = torch.cuda.mem_get_info()
    assert total == int(22.06 * GIB) == torch.cuda.get_device_properties(0).total_memory
    assert total - GIB < free < total  # the context takes some
    x = huge(2)
    assert abs(free - torch.cuda.mem_get_info()[0] - 2 * GIB) <= 4 << 20
    del x
    torch.cuda.empty_cache()
    assert torch.cuda.mem_get_info("cuda:0")[0] == pytest.approx(free, abs=4 << 20)


def test_activations_and_gradients():
    model = torch.nn.Linear(256, 256, bias=False).cuda()
    assert torch.cuda.memory_allocated() == 256 * 256 * 4
    x = torch.ones(64, 256, device="cuda")
    y = torch.relu(model(x))
    assert torch.cuda.memory_allocated() == 256 * 256 * 4 + 2 * 64 * 256 * 4  # the input, and what relu keeps
    y.sum().backward()
    assert model.weight.grad.is_cuda
    del x, y
    gc.collect()
    assert torch.cuda.memory_allocated() == 2 * 256 * 256 * 4


def test_stats_and_summary():
    gc.collect()
    x = torch.zeros(100, device="cuda")
    stats = torch.cuda.memory_stats()
    assert stats["allocated_bytes.all.current"] == 512 and stats["num_ooms"] >= 0
    assert "memory summary" in torch.cuda.memory_summary()
    assert torch.cuda.memory_snapshot() == []
    y = huge(0.1)
    assert f"process {os.getpid():>10d}" in torch.cuda.list_gpu_processes()
    del x, y


def test_out_of_memory_message():
    gc.collect()
    torch.cuda.empty_cache()
    kept = [huge(8), huge(8)]
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        huge(8)
    text = str(caught.value)
    assert text.startswith("CUDA out of memory. Tried to allocate 8.00 GiB")
    assert "22.06 GiB" in text and "16.00 GiB" in text
    if VERSION >= (2, 2):
        left = torch.cuda.mem_get_info()[0] / GIB
        assert text == (
            "CUDA out of memory. Tried to allocate 8.00 GiB. GPU 0 has a total capacity of 22.06 GiB of which "
            f"{left:.2f} GiB is free. Including non-PyTorch memory, this process has {22.06 - left:.2f} GiB memory in use. "
            "Of the allocated memory 16.00 GiB is allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated. "
            "If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to "
            "avoid fragmentation.  See documentation for Memory Management  "
            f"(https://{'docs.pytorch.org/docs' if VERSION >= (2, 9) else 'pytorch.org/docs'}/stable/notes/cuda.html#environment-variables)"
        )
    elif VERSION < (2, 1):
        assert "(GPU 0; 22.06 GiB total capacity; 16.00 GiB already allocated;" in text
        assert "16.00 GiB reserved in total by PyTorch) If reserved memory is >> allocated memory" in text
    if hasattr(torch, "OutOfMemoryError"):
        assert torch.cuda.OutOfMemoryError is torch.OutOfMemoryError
    assert isinstance(caught.value, RuntimeError)
    del kept, caught
    gc.collect()
    torch.cuda.empty_cache()
    assert huge(20).is_cuda  # it goes on


SOURCES = {
    "factory": lambda: torch.zeros(30 * GIB, dtype=torch.uint8, device="cuda"),
    "move": lambda: torch.empty(15 * GIB, dtype=torch.uint8).to("cuda:1"),
    "move of a module": lambda: _meta().to_empty(device="cuda"),
    "card 1": lambda: huge(15, "cuda:1"),
    "new": lambda: torch.ones(1, device="cuda").new_empty(30 * GIB),
    "like": lambda: torch.empty_like(torch.empty(15 * GIB, dtype=torch.uint8), device="cuda:1"),
}


def _meta():
    return torch.nn.Sequential(*(torch.nn.Linear(32768, 32768, bias=False, device="meta") for _ in range(6)))


@pytest.mark.parametrize("name", SOURCES)
def test_out_of_memory_wherever_it_happens(name):
    before = torch.cuda.memory_allocated()
    with pytest.raises(torch.cuda.OutOfMemoryError, match="CUDA out of memory. Tried to allocate"):
        SOURCES[name]()
    gc.collect()
    assert torch.cuda.memory_allocated() == before


def test_out_of_memory_in_an_operation():
    torch.cuda.set_per_process_memory_fraction(0.001)
    try:
        x = torch.zeros(3 << 20, device="cuda")  # 12 MiB of 22
        with pytest.raises(torch.cuda.OutOfMemoryError):
            x + 1
        del x
        assert (torch.zeros(8, device="cuda") + 1).is_cuda
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_the_page_is_told(page):
    x = huge(1)
    used = pages.slots(page, 0)[os.getpid()]
    assert GIB < used < 2 * GIB
    del x
    torch.cuda.empty_cache()
    assert pages.slots(page, 0)[os.getpid()] < GIB


def test_other_processes_take_room(page):
    torch.ones(1, device="cuda")
    pages.occupy(page, 0, 9, 5_000_000, 20 * GIB)
    try:
        assert torch.cuda.mem_get_info()[0] < 3 * GIB
        with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
            huge(4)
        if VERSION >= (2, 1):
            assert "Process 5000000 has 20.00 GiB memory in use." in str(caught.value)
    finally:
        pages.occupy(page, 0, 9, 0, 0)
    assert huge(4).is_cuda


def test_a_process_frees_its_slot(run):
    done = run("import torch, os; x = torch.ones(1 << 22, device='cuda'); print(os.getpid())")
    assert done.code == 0, done.err
    assert pages.slots(run.page, 0) == {}
    operations = int.from_bytes(pages.card(run.page, 0)[488:496], "little")
    peak = int.from_bytes(pages.card(run.page, 0)[496:504], "little")
    assert peak > 16 << 20 and operations >= 0
