"""Half precision where the CPU has no kernel for it: computed in float32, and rounded."""

import torch
from gx_cuda.tensors import Disabled, Tensor, restore

_HALF = (torch.float16, torch.bfloat16)


def _to(x, dtype):
    """x.to(dtype), which torch 1.13 lacks for nested tensors."""
    if x.is_nested and x.layout is torch.strided:
        return torch.nested.nested_tensor([part.to(dtype) for part in x.unbind()])
    return x.to(dtype)


def in_float(cls, func, args, kwargs, error, narrow=True):
    """The call with its half precision tensors in float32, its result in their precision. ``error`` is raised if there are none;
    without ``narrow`` the result stays in float32."""
    name = getattr(func, "__name__", "")
    found = []

    def widen(x):
        if isinstance(x, Tensor):
            with Disabled():
                if x.dtype in _HALF:
                    found.append(x.dtype)
                    return _to(x, torch.float32)
            return x
        if type(x) in (list, tuple):
            return type(x)(widen(item) for item in x)
        return x

    def rounded(x):
        if isinstance(x, Tensor):
            return _to(x, found[0]) if x.dtype is torch.float32 else x
        if type(x) in (list, tuple):
            return type(x)(rounded(item) for item in x)
        return x

    wide, options = [widen(x) for x in args], {k: widen(v) for k, v in kwargs.items()}
    if not found:
        raise error
    in_place = name.endswith("_") and not name.endswith("__") or name in ("__iadd__", "__isub__", "__imul__", "__itruediv__")
    with Disabled():
        result = func(*wide, **options)
        if in_place and args and isinstance(args[0], Tensor):
            args[0].copy_(wide[0])
            return args[0]
        result = rounded(result) if narrow else result
    out = kwargs.get("out")
    if out is not None:
        with Disabled():
            out.copy_(result)
        return out
    return restore(result, cls._gx_card)
