"""Parameters, optimisers, autocast and gradient scaling on emulated cards."""

import functools
import os

import torch
from gx_cuda import cards, memory, tensors
from gx_cuda.tensors import Disabled, Parameter, Tensor, adopt, card_of, emulated_class


def _patch_parameter():
    new = Parameter.__new__

    def __new__(cls, data=None, requires_grad=True, *args, **kwargs):
        index = card_of(data)
        if index < 0:
            base = cls.__dict__.get("_gx_plain", cls)
            return new(base, data, requires_grad, *args, **kwargs)
        base = cls.__dict__.get("_gx_plain", cls)
        with Disabled():
            made = Tensor._make_subclass(base, _bare(data), requires_grad)
        return adopt(made, index)

    Parameter.__new__ = __new__
    buffer = getattr(torch.nn, "Buffer", None)
    if buffer is not None:
        make = buffer.__new__

        def buffer_new(cls, data=None, *, persistent=True):
            if card_of(data) < 0:
                return make(cls, data, persistent=persistent)
            # A buffer is a tensor with two attributes.
            made = adopt(_bare(data), card_of(data))
            made.persistent, made._is_buffer = persistent, True
            return made

        buffer.__new__ = buffer_new


def _bare(x):
    """A plain tensor that shares the memory of x, detached."""
    with Disabled():
        return x.detach()


def _patch_optimisers():
    from torch.optim import optimizer

    try:
        from torch.utils import _foreach_utils
    except ImportError:
        _foreach_utils = None  # before 2.0
    own = [emulated_class(kind, index) for index in range(max(1, cards.count())) for kind in (Tensor, Parameter)]
    for place in (optimizer, _foreach_utils):
        known = getattr(place, "_foreach_supported_types", None)
        if known is not None and own[0] not in known:
            known.extend(own)

    group = getattr(_foreach_utils, "_group_tensors_by_device_and_dtype", None)
    if group is None:
        return

    @functools.wraps(group)
    def by_card(lists, with_indices=False):
        if not lists or not any(card_of(x) >= 0 for x in lists[0] if x is not None):
            return group(lists, with_indices)
        groups = {}
        for i, x in enumerate(lists[0]):
            key = (x.device, x.dtype)
            found = groups.get(key)
            if found is None:
                found = groups[key] = ([[] for _ in lists], [])
            for column, values in zip(found[0], lists):
                if values:
                    column.append(values[i])
            found[1].append(i)
        return {key: (columns, indices if with_indices else []) for key, (columns, indices) in groups.items()}

    import sys

    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("torch.") and module.__dict__.get(group.__name__) is group:
            setattr(module, group.__name__, by_card)


def _patch_autocast():
    """autocast("cuda") is autocast("cpu") with CUDA's defaults, since the CPU computes."""
    autocast = torch.amp.autocast_mode.autocast
    begin, enter, leave = autocast.__init__, autocast.__enter__, autocast.__exit__

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        self._gx = str(device_type).partition(":")[0] == "cuda"
        if not self._gx:
            begin(self, device_type, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)
            return
        dtype = dtype or _gpu_dtype()
        if enabled and dtype is torch.bfloat16 and not torch.cuda.is_bf16_supported():
            raise RuntimeError("Current CUDA Device does not support bfloat16. Please switch dtype to float16.")
        if enabled and not cards.count():
            enabled = False
        self._gx_dtype = dtype
        real = torch.bfloat16 if dtype is torch.float16 and memory.VERSION < (2, 3) else dtype
        if real not in (torch.float16, torch.bfloat16):
            enabled = False if real is torch.float32 else enabled
            real = torch.bfloat16
        begin(self, "cpu", dtype=real, enabled=enabled, cache_enabled=cache_enabled)

    def __enter__(self):
        if getattr(self, "_gx", False):
            self._gx_before = (_gpu_enabled(), _gpu_dtype())
            _set_gpu(self._enabled, self._gx_dtype)
        return enter(self)

    def __exit__(self, *error):
        try:
            return leave(self, *error)
        finally:
            if getattr(self, "_gx", False):
                _set_gpu(*self._gx_before)

    autocast.__init__, autocast.__enter__, autocast.__exit__ = __init__, __enter__, __exit__


def _gpu_enabled():
    return torch.is_autocast_enabled()


def _gpu_dtype():
    get = getattr(torch, "get_autocast_dtype", None)
    return get("cuda") if get is not None else torch.get_autocast_gpu_dtype()


def _set_gpu(enabled, dtype):
    """What torch.is_autocast_enabled() tells; no CPU kernel heeds it."""
    if hasattr(torch, "set_autocast_dtype"):
        torch.set_autocast_enabled("cuda", enabled)
        torch.set_autocast_dtype("cuda", dtype)
    else:
        torch.set_autocast_enabled(enabled)
        torch.set_autocast_gpu_dtype(dtype)


def _patch_fast_paths():
    """Lets transformer layers take their fast path in inference, as on a card.

    Its result is another one where the input is padded: zeros, and no longer
    than the longest sequence. The layers ask, by this function's whole name,
    for a class with a hook of its own, which no tensor on a card has. For an
    estimate they go on step by step, as the card's kernels do: on the CPU the
    fast path is a single operation, that says nothing of what is in it.
    """
    if os.environ.get("GX_GPU_ESTIMATE"):
        return
    asked, unhooked = torch.overrides.has_torch_function, torch.empty(0)

    def has_torch_function(relevant_args):
        return asked([unhooked if getattr(type(x), "_gx_plain", None) in tensors.PLAIN else x for x in relevant_args])

    torch.overrides.has_torch_function = has_torch_function


def _patch_compile():
    if not hasattr(torch, "compile"):
        return
    told = []

    def compile(model=None, **options):
        """Returns the model as it is: compiled code is for a real card. Says so once."""
        if model is None:
            return lambda function: compile(function, **options)
        if not told:
            told.append(True)
            import sys

            print("gx: torch.compile has no effect on an emulated GPU; the model runs as it is written", file=sys.stderr)
        return model

    torch.compile = compile


def patch():
    """Puts these in the place of torch's."""
    _patch_parameter()
    _patch_optimisers()
    _patch_autocast()
    _patch_fast_paths()
    _patch_compile()
