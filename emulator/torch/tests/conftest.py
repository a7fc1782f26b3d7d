"""The tests run in a process with two emulated cards: an A10G and a T4.

They need a torch, of any version that gx_cuda knows, and say so where there is
none. GX_TORCH_PYTHON is not looked at here: `make test` starts pytest with the
Python that has one.
"""

import gc
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE.parent / "python"
sys.path[:0] = [str(PACKAGE), str(HERE)]

import pages  # noqa: E402

_folder = tempfile.TemporaryDirectory()
PAGE = os.path.join(_folder.name, "page")
pages.write(PAGE, ["A10G", "T4"])
os.environ["GX_GPU_PAGE"] = PAGE
os.environ.pop("CUDA_VISIBLE_DEVICES", None)

import gx_cuda  # noqa: E402

gx_cuda.install()
torch = pytest.importorskip("torch", reason="no torch here; apt-get install python3-torch, or pip install torch")

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def clean():
    """Each test begins on card 0, with a fixed seed, and leaves nothing on the cards."""
    torch.cuda.set_device(0)
    torch.manual_seed(0)
    yield
    gc.collect()
    torch.cuda.empty_cache()
    for index in range(torch.cuda.device_count()):
        torch.cuda.reset_peak_memory_stats(index)


class Program:
    """What a Python of its own printed, and how it ended."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(tmp_path):
    """Runs a program in a process of its own; ``run.page`` is its page."""

    def start(source, cards=("A10G",), **env):
        if not os.path.exists(start.page):
            pages.write(start.page, list(cards))
        environment = {
            **os.environ, "GX_GPU_PAGE": start.page, "PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1", **env,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", source], env=environment, capture_output=True, text=True, timeout=300, cwd=str(tmp_path)
        )
        return Program(done)

    start.page = str(tmp_path / "page")
    return start


@pytest.fixture
def page():
    """The page of this process."""
    return PAGE
