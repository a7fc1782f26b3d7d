"""Changes torch, once, right after it was imported."""


def patch(torch):
    """Called by hook with the module."""
    from gx_cuda import memory

    if memory.VERSION < (1, 13):
        raise ImportError(
            f"this container's GPU is emulated, which needs torch 1.13 or newer, and it has {torch.__version__}. "
            "Install a newer torch in the image, or run this on a real card: gx run --host NAME"
        )
    from gx_cuda import (
        autograd, distributed, factories, modules, moves, names, normalization, operators, parallel, refusals,
        serialization, special, tensors,
    )  # fmt: skip

    # The tensors come first: the others make some.
    tensors.define()
    operators.define()
    names.patch()
    moves.patch()
    factories.patch()
    autograd.patch()
    modules.patch()
    parallel.patch()
    distributed.patch()
    serialization.patch()
    refusals.patch()
    del special, normalization  # importing them was the point
    import os

    if os.environ.get("GX_GPU_ESTIMATE"):
        from gx_cuda import estimate

        estimate.start()
