"""Errors of a card: the host writes them into the page, the next operation raises them.

All but running out of memory end this process's context, as on a real card:
each further operation raises the same error.
"""

import torch
from gx_cuda import cards, memory, page

_TEXTS = {
    page.ECC: "uncorrectable ECC error encountered",
    page.ILLEGAL_ADDRESS: "an illegal memory access was encountered",
    page.ASSERT: "device-side assert triggered",
    page.LAUNCH_FAILURE: "unspecified launch failure",
    page.LOST: "unknown error",
}

_CODES = {
    "uncorrectable ECC error encountered": "cudaErrorECCUncorrectable",
    "an illegal memory access was encountered": "cudaErrorIllegalAddress",
    "device-side assert triggered": "cudaErrorAssert",
    "unspecified launch failure": "cudaErrorLaunchFailure",
    "unknown error": "cudaErrorUnknown",
    "invalid device ordinal": "cudaErrorInvalidDevice",
}


def error(text):
    """CUDA's error as the running version of torch words and types it."""
    kind = getattr(torch, "AcceleratorError", RuntimeError)
    lines = [f"CUDA error: {text}"]
    if memory.VERSION >= (2, 9):
        lines.append(
            f"Search for `{_CODES[text]}' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html "
            "for more information."
        )
    lines.append(
        "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect."
    )
    lines.append("For debugging consider passing CUDA_LAUNCH_BLOCKING=1" + ("" if memory.VERSION >= (2, 1) else "."))
    if memory.VERSION >= (2, 1):
        lines.append("Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n")
    try:
        return kind("\n".join(lines))
    except TypeError:
        return RuntimeError("\n".join(lines))


# Reading what is known without the card works on, as it does on a real one.
_HARMLESS = {"__get__", "size", "dim", "stride", "numel", "is_contiguous", "__repr__", "is_floating_point", "__len__"}


def strike(card, func=None):
    """Raises the fault of a card, if an operation comes upon it."""
    if func is not None and getattr(func, "__name__", "") in _HARMLESS:
        return
    if not card.broken:
        fault = cards.state.page.take_fault(card.number)
        if fault == page.OUT_OF_MEMORY:
            memory.refuse_next(card)
        if fault not in _TEXTS:
            return
        card.broken = fault
    raise error(_TEXTS[card.broken])


def check():
    """The same for what is no operation on a tensor: synchronize(), a new tensor."""
    if not cards.state.initialized:
        return
    for card in cards.cards():
        if card.begun and (cards.state.map[card.fault_at] or card.broken):
            strike(card)
