"""Facts of the cards, the current one, first use."""

import pytest
import torch


def test_there_are_cards():
    assert torch.cuda.is_available()
    assert torch.cuda.device_count() == 2
    assert torch.cuda.current_device() == 0


@pytest.mark.parametrize("spelling", [0, "cuda:0", torch.device("cuda:0"), torch.device("cuda", 0), None])
def test_names(spelling):
    assert torch.cuda.get_device_name(spelling) == "NVIDIA A10G"
    assert torch.cuda.get_device_capability(spelling) == (8, 6)
    properties = torch.cuda.get_device_properties("cuda" if spelling is None else spelling)
    assert properties.name == "NVIDIA A10G"
    assert (properties.major, properties.minor, properties.multi_processor_count) == (8, 6, 80)
    assert properties.total_memory == int(22.06 * 2**30)
    assert "NVIDIA A10G" in repr(properties) and "22589MB" in repr(properties)


def test_blocks_and_current_card():
    with torch.cuda.device(1):
        assert torch.cuda.current_device() == 1
        assert torch.ones(2, device="cuda").device == torch.device("cuda:1")
        assert torch.ones(2).cuda().device.index == 1
        with torch.cuda.device("cuda:0"):
            assert torch.cuda.get_device_name() == "NVIDIA A10G"
        assert torch.cuda.get_device_name() == "Tesla T4"
    assert torch.cuda.current_device() == 0
    torch.cuda.set_device("cuda:1")
    assert torch.cuda.current_device() == 1
    with torch.cuda.device_of(torch.ones(2, device="cuda:0")):
        assert torch.cuda.current_device() == 0


@pytest.mark.parametrize("use", [
    lambda: torch.ones(2, device="cuda:2"), lambda: torch.ones(2).cuda(7), lambda: torch.ones(2).to("cuda:2"),
    lambda: torch.cuda.set_device(2), lambda: torch.nn.Linear(2, 2).to("cuda:3"), lambda: torch.cuda.synchronize(2),
])  # fmt: skip
def test_no_such_card(use):
    with pytest.raises(RuntimeError, match="CUDA error: invalid device ordinal"):
        use()


def test_properties_of_no_card():
    with pytest.raises(AssertionError, match="Invalid device id"):
        torch.cuda.get_device_properties(2)


def test_bfloat16():
    assert torch.cuda.is_bf16_supported()
    assert torch.backends.cudnn.is_available()
    assert torch.version.cuda


def test_asking_is_no_use(run):
    done = run("import torch; print(torch.cuda.is_available(), torch.cuda.device_count(), torch.cuda.is_initialized());"
               "torch.ones(1).cuda(); print(torch.cuda.is_initialized())")  # fmt: skip
    assert done.out.split() == ["True", "1", "False", "True"], done.err


@pytest.mark.parametrize(("value", "names"), [
    ("0", "A10G"), ("1", "T4"), ("1,0", "T4 A10G"), ("", ""), ("-1", ""), ("0,5,1", "A10G"), ("GPU-00000001", "T4"),
])  # fmt: skip
def test_visible_devices(run, value, names):
    source = (
        "import torch; n = torch.cuda.device_count(); print(n, torch.cuda.is_available());"
        "print(' '.join(torch.cuda.get_device_name(i).split()[-1] for i in range(n)))"
    )
    done = run(source, ["A10G", "T4"], CUDA_VISIBLE_DEVICES=value)
    count = len(names.split())
    assert done.out.split() == [str(count), str(count > 0), *names.split()], done.err


def test_no_card_is_used_where_none_is_visible(run):
    done = run("import torch; torch.ones(1).cuda()", CUDA_VISIBLE_DEVICES="")
    assert "RuntimeError: No CUDA GPUs are available" in done.err


def test_fork_after_use(run):
    source = """
import os, torch
x = torch.ones(2, device="cuda")
if os.fork() == 0:
    for use in (lambda: torch.ones(2, device="cuda"), lambda: x + 1):
        try: use()
        except RuntimeError as error: print(error, flush=True)
    os._exit(0)
os.wait()
print((x + 1).sum().item())
"""
    done = run(source)
    assert done.out.count("Cannot re-initialize CUDA in forked subprocess") == 2, done.err
    assert done.out.endswith("4.0\n")


def test_fork_before_use(run):
    source = """
import os, torch
torch.cuda.is_available()
if os.fork() == 0:
    print(torch.ones(2, device="cuda").sum().item(), flush=True)
    os._exit(0)
os.wait()
print(torch.ones(3, device="cuda").sum().item())
"""
    assert run(source).out.split() == ["2.0", "3.0"]


def test_python_without_torch_is_left_alone(run):
    source = "import sys; print(sorted(m for m in sys.modules if m.startswith('gx_cuda') or m in ('torch', 'mmap', 'struct')))"
    assert run(source).out.strip() == "['gx_cuda', 'gx_cuda.hook']"


def test_a_sitecustomize_that_is_hidden_is_run(run, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sitecustomize.py").write_text("print('other')")
    import conftest

    done = run("import sys; print('gx_cuda.hook' in sys.modules)", PYTHONPATH=f"{conftest.PACKAGE}:{tmp_path}/other")
    assert done.out.split() == ["other", "True"], done.err


def test_a_page_that_is_none(run, tmp_path):
    (tmp_path / "page").write_bytes(b"x" * 100)
    done = run("import torch; torch.cuda.is_available()")
    assert "does not describe emulated GPUs" in done.err
