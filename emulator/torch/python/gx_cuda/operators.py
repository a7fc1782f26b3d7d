"""Operators and facts of emulated tensors, without the detour through PyTorch's dispatch.

Of ``x + 1`` PyTorch finds out in C++ that the class of x overrides functions,
looks for ``__torch_function__`` and calls it, which is a third of what a small
operation takes. In the usual case these methods of the emulated classes call it
at once; in all others they leave the call to PyTorch.
"""

import torch
from gx_cuda import tensors
from gx_cuda.tensors import Emulated, Tensor

_run = torch._C._disabled_torch_function_impl
_enabled = torch._C._is_torch_function_enabled
_mode = torch._C._is_torch_function_mode_enabled

_BINARY = (
    "add radd sub rsub mul rmul truediv rtruediv floordiv mod pow rpow matmul and or xor lt le gt ge eq ne iadd isub imul itruediv"
).split()
_UNARY = "neg invert abs".split()

# What no card is asked for; none of it is a tensor.
_PROPERTIES = "shape dtype ndim layout is_leaf is_sparse is_quantized is_meta itemsize nbytes".split()
_METHODS = (
    "size dim numel nelement ndimension stride storage_offset element_size is_contiguous is_floating_point is_complex is_signed"
).split()


def _binary(original):
    def operator(self, other):
        cls = type(self)
        if type(other) in cls._gx_near and _enabled() and not _mode():
            return cls.__torch_function__(original, (cls,), (self, other))
        return original(self, other)

    return operator


def _unary(original):
    def operator(self):
        cls = type(self)
        if _enabled() and not _mode():
            return cls.__torch_function__(original, (cls,), (self,))
        return original(self)

    return operator


def _property(original):
    get = original.__get__
    return property(lambda self: _run(get, (), (self,)), doc=original.__doc__)


def _method(original):
    return lambda self, *args, **kwargs: _run(original, (), (self, *args), kwargs)


def define():
    """Gives these to the emulated classes."""
    for made, names in ((_binary, _BINARY), (_unary, _UNARY)):
        for name in names:
            _give(f"__{name}__", made)
    for made, names in ((_property, _PROPERTIES), (_method, _METHODS)):
        for name in names:
            _give(name, made)


def _give(name, made):
    original = getattr(Tensor, name, None)
    if original is None or original in tensors.SPECIAL:
        return
    mine = made(original)
    if made is not _property:
        mine.__name__, mine.__qualname__, mine.__doc__ = name, f"Tensor.{name}", original.__doc__
    setattr(Emulated, name, mine)
