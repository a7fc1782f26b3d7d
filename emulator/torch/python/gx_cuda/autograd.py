"""User's code that autograd runs: gradients get their class before it sees them."""

import torch
from gx_cuda import cards, memory, special, tensors
from gx_cuda.tensors import Disabled, Tensor, card_of, restore


def _patch_functions():
    """torch.autograd.Function: outputs and gradients are where the inputs were."""
    function = torch.autograd.Function
    own = function.__dict__.get("apply")  # before 2.0 it is inherited

    def call(cls, args, kwargs):
        if own is not None:
            return own.__get__(None, cls)(*args, **kwargs)
        return super(function, cls).apply(*args, **kwargs)

    def _apply(cls, *args, **kwargs):
        for x in args:
            index = card_of(x)
            if index >= 0:
                break
        else:
            index = _nested(args)
        result = call(cls, args, kwargs)
        if index >= 0:
            for output in result if type(result) is tuple else (result,):
                if isinstance(output, Tensor):
                    if type(output) in tensors.PLAIN:
                        _place(output)
                    with Disabled():
                        node = output.grad_fn
                    if isinstance(node, torch.autograd.function.BackwardCFunction):
                        node._gx_card = index
        return result

    function.apply = classmethod(_apply)

    backward = torch.autograd.function.BackwardCFunction

    def _gx_backward(self, *args):
        index = getattr(self, "_gx_card", -1)
        if index >= 0:
            restore(args, index)
        return inner(self, *args)

    inner = backward.apply
    backward.apply = _gx_backward


def _place(output):
    """C++ has made another Python object of an output; where it is, its storage tells."""
    try:
        index = memory.card_of_storage(memory.storage_of(output)[0])
    except (RuntimeError, NotImplementedError):
        return  # it has none
    if index >= 0:
        restore(output, index)


def _nested(args):
    for x in args:
        if type(x) in (tuple, list):
            for y in x:
                if card_of(y) >= 0:
                    return card_of(y)
    return -1


class _Watch:
    """Counts what a backward pass allocates: the first passes, and when memory gets scarce."""

    passes = 3
    scarce = 0.7


def _patch_engine():
    """Memory is counted exactly in the first backward passes of a process, and when little is left."""
    try:
        from torch.utils._python_dispatch import TorchDispatchMode
    except ImportError:
        return

    class Exact(TorchDispatchMode):
        def __init__(self, index):
            super().__init__()
            self.index = index

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            with Disabled():  # before 2.0 the classes would be heeded here
                result = func(*args, **(kwargs or {}))
            for x in result if type(result) in (tuple, list) else (result,):
                if type(x) is Tensor and x.device.type == "cpu" and x.dim():
                    tensors._note(x, self.index)
            return result

    engine = torch.autograd
    run = special.unhooked(engine.backward)  # or user's code in it would run without the classes, from 2.15 on

    def backward(tensors_, *args, **kwargs):
        first = tensors_[0] if isinstance(tensors_, (tuple, list)) and tensors_ else tensors_
        index = card_of(first)
        if index < 0:
            return run(tensors_, *args, **kwargs)
        card = cards.state.cards[index]
        if _Watch.passes <= 0 and card.used < card.total * _Watch.scarce:
            result = run(tensors_, *args, **kwargs)
        else:
            _Watch.passes -= 1
            with Exact(index):
                result = run(tensors_, *args, **kwargs)
        return result

    backward.__doc__, backward.__name__, backward.__qualname__ = run.__doc__, "backward", "backward"
    backward.__wrapped__ = run
    engine.backward = backward


def _patch_transforms():
    """torch.func: results are where the arguments are; inside, nothing is checked."""
    func = getattr(torch, "func", None)
    if func is None:
        return

    def wrapped(transform):
        def made(function, *args, **kwargs):
            inner = transform(function, *args, **kwargs)

            def run(*inputs, **options):
                index = max((card_of(x) for x in tensors._all([*inputs, *options.values()])), default=-1)
                result = inner(*inputs, **options)
                return restore(result, index) if index >= 0 else result

            return run

        made.__name__, made.__doc__, made.__wrapped__ = transform.__name__, transform.__doc__, transform
        return made

    for name in ("vmap", "grad", "grad_and_value", "jacrev", "jacfwd", "hessian"):
        if hasattr(func, name):
            setattr(func, name, wrapped(getattr(func, name)))
    if hasattr(torch, "vmap"):
        torch.vmap = func.vmap


def _patch_checkpoint():
    """Recomputed tensors are compared without their place: in the hooks of saved tensors they have no class."""
    import torch.utils.checkpoint as checkpoint

    known = getattr(checkpoint, "_allowed_determinism_checks_to_fns", None)
    if known is not None:
        known[checkpoint._DEFAULT_DETERMINISM_MODE] = lambda x: {"shape": x.shape, "dtype": x.dtype}


def patch():
    """Puts these in the place of torch's."""
    _patch_checkpoint()
    _patch_functions()
    _patch_engine()
    _patch_transforms()
