"""Counts what is computed on the cards: operations, bytes, and how often, for an estimate of a real card's time.

With GX_GPU_ESTIMATE set, every operation on an emulated tensor, and every one
of a backward pass, is seen below autograd, where it is one kernel of a card.
What is alike is counted together; the host makes times of it (Go package gpu).
"""

import threading

import torch
from gx_cuda import cards, moves, tensors
from torch.utils._python_dispatch import TorchDispatchMode

MOST = 20000  # kinds of operations that are told apart; more are rounded

_KINDS = {
    torch.float16: "fp16", torch.bfloat16: "bf16", torch.int8: "int8", torch.uint8: "int8", torch.float64: "fp64",
}  # fmt: skip


class Counts:
    """Operations by (kind, FLOP, bytes)."""

    def __init__(self):
        self.lock = threading.Lock()
        self.found = {}

    def add(self, kind, flops, size, times=1):
        key = (kind, flops, size)
        with self.lock:
            if key not in self.found and len(self.found) >= MOST:
                key = (kind, _rough(flops), _rough(size))
            self.found[key] = self.found.get(key, 0) + times


def _rough(n):
    return int(float(f"{n:.1e}"))


counts = Counts()


def _product(shape):
    count = 1
    for n in shape:
        count *= n
    return count


def _mm(args, out):
    a, b = args[0].shape, args[1].shape
    return 2 * a[-2] * a[-1] * b[-1] * _product(a[:-2])


def _addmm(args, out):
    return _mm(args[1:], out)


def _mv(args, out):
    return 2 * _product(args[0].shape)


def _convolution(args, out):
    weight, transposed = args[1].shape, args[6]
    places = args[0] if transposed else out
    return 2 * _product(places.shape[:1]) * _product(places.shape[2:]) * _product(weight)


def _convolution_backward(args, out):
    grad, x, weight, transposed, wanted = args[0], args[1], args[2].shape, args[7], args[10]
    places = x if transposed else grad
    once = 2 * _product(places.shape[:1]) * _product(places.shape[2:]) * _product(weight)
    return once * sum(bool(w) for w in wanted[:2])


def _attention(args, out):
    query, key, value = (x.shape for x in args[:3])
    return 2 * _product(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward(args, out):
    query, key, value = (x.shape for x in args[1:4])
    # Scores are computed again, then four products of the same size.
    return 2 * _product(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])


_FORMULAS = {
    "mm": _mm, "bmm": _mm, "addmm": _addmm, "baddbmm": _addmm, "mv": _mv, "addmv": lambda args, out: _mv(args[1:], out),
    "dot": _mv, "convolution": _convolution, "_convolution": _convolution, "convolution_backward": _convolution_backward,
    "_scaled_dot_product_flash_attention_for_cpu": _attention, "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "_scaled_dot_product_flash_attention_backward": _attention_backward,
}  # fmt: skip

# These read only what they are asked for of their first argument.
_SPARSE = {"embedding", "index_select", "index", "gather", "slice_backward", "select_backward"}
_FREE = {"empty", "empty_strided", "empty_like", "detach", "alias", "_local_scalar_dense", "is_same_size", "set_", "resize_"}


def _is_view(func):
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


class Counter(TorchDispatchMode):
    """While it is active in a thread, what that thread computes is counted."""

    views = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        with tensors.Disabled():
            result = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        view = self.views.get(func)
        if view is None:
            view = self.views[func] = name in _FREE or _is_view(func)
        if not view:
            self.count(name, args, kwargs, result)
        return result

    @staticmethod
    def count(name, args, kwargs, result):
        """Counts one operation."""
        size, dtype = 0, None
        inputs = [x for x in tensors._all(args) if isinstance(x, torch.Tensor)]
        outputs = [x for x in tensors._all([result]) if isinstance(x, torch.Tensor)]
        read = [] if name in _SPARSE else inputs
        for x in [*read, *outputs, *(outputs if name in _SPARSE else ())]:
            if x.is_nested:
                size += x.element_size() * x.numel()
            elif x.layout is torch.strided:
                # Expanded dimensions are read once.
                size += x.element_size() * _product(n for n, step in zip(x.shape, x.stride()) if step or n == 1)
                if dtype is None and x.is_floating_point():
                    dtype = x.dtype
        formula = _FORMULAS.get(name)
        flops = int(formula(args, outputs[0] if outputs else None)) if formula is not None else 0
        kind = _KINDS.get(dtype, "fp32")
        if kind == "fp32" and flops:
            conv = "conv" in name
            if torch.backends.cudnn.allow_tf32 if conv else torch.backends.cuda.matmul.allow_tf32:
                kind = "tf32"
        counts.add(kind, flops, int(size))


def start():
    """Has every operation on emulated tensors counted from now on."""
    plain = tensors.Emulated.__dict__["__torch_function__"].__func__
    active = threading.local()

    def counted(cls, func, types, args=(), kwargs=None):
        if getattr(active, "now", False):
            return plain(cls, func, types, args, kwargs)
        active.now = True
        try:
            with Counter():
                return plain(cls, func, types, args, kwargs)
        finally:
            active.now = False

    tensors.Emulated.__torch_function__ = classmethod(counted)
    backward = torch.autograd.backward

    def run(*args, **kwargs):
        if getattr(active, "now", False):
            return backward(*args, **kwargs)
        active.now = True
        try:
            with Counter():
                return backward(*args, **kwargs)
        finally:
            active.now = False

    torch.autograd.backward = run
    move = moves.move

    def moved(x, target, *args, **kwargs):
        here = tensors.card_of(x)
        if here != target:
            counts.add("bus", 0, x.numel() * x.element_size())
        return move(x, target, *args, **kwargs)

    moves.move = moved


def report():
    """What was counted in this process, for the host: None if nothing."""
    if not cards.state.initialized or not counts.found:
        return None
    with counts.lock:
        found = [[kind, flops, size, times] for (kind, flops, size), times in counts.found.items()]
    from gx_cuda import memory

    memory.collect()
    return {"ops": found, "peak": max(max(c.peak, c.used) for c in cards.cards())}
