"""Emulated NVIDIA cards for PyTorch: unmodified torch.cuda code runs on the CPU.

A tensor on an emulated card is a CPU tensor whose Python class was switched to
a subclass that says it is on "cuda:0": what is computed with it is computed by
PyTorch's own CPU kernels and its own autograd, and this package sees to what a
card would say about it: devices, placement errors, memory, names, faults.

The environment variable GX_GPU_PAGE names the page that describes the cards
(see page). Without it, or without PyTorch, the package does nothing.

hook        finds out when torch is imported, and has it patched (patch)
page        the file by which the container and its host tell each other of cards
cards       the cards of this process, the current one, first use, forks
tensors     the classes, and what happens to a call that has an emulated tensor
operators   operators and facts of tensors, by a shorter way
special     calls that are an exception to the rule
factories   tensors made on a card
moves       tensors moved to a card, off it, and between cards
memory      what is in use, and what no longer fits
autograd    user's code that autograd runs
modules     parameters, optimisers, autocast, gradient scaling
parallel    DataParallel over several cards
normalization  what SyncBatchNorm computes
distributed several processes, each with its card: NCCL's work
names       torch.cuda, name by name; properties, rng, streams: parts of it
serialization  checkpoints and their map_location
faults      errors of a card
refusals    what cannot run without a card, and says so
estimate    counts operations and bytes, for an estimate of a real card's time

It is imported at the start of every Python in the container, so this module
and hook import nothing that is not there already.
"""

import os

VARIABLE = "GX_GPU_PAGE"


def install() -> bool:
    """Has torch patched as soon as it is imported; returns whether there is a page.

    May be called again; only the first call does anything.
    """
    if not os.environ.get(VARIABLE):
        return False
    from gx_cuda import hook

    hook.install()
    return True


def is_emulated() -> bool:
    """Whether the cards of this process are emulated."""
    return bool(os.environ.get(VARIABLE))
