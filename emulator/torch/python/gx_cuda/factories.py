"""Tensors that are made on a card.

Twice over: the public functions are wrapped, which understand every spelling of
a device and look before memory is taken; and kernels for the dispatch key of
CUDA catch what asks for a CUDA tensor from C++, in any thread.
"""

import functools

import torch
from gx_cuda import cards, faults, memory, moves
from gx_cuda.tensors import Disabled, Tensor, adopt, card_of

_NAMES = (
    "arange asarray as_tensor bartlett_window blackman_window complex empty empty_like empty_strided eye full full_like "
    "hamming_window hann_window kaiser_window linspace logspace normal ones ones_like rand rand_like randint "
    "randint_like randn randn_like randperm range scalar_tensor sparse_coo_tensor sparse_csr_tensor "
    "sparse_compressed_tensor tensor tril_indices triu_indices zeros zeros_like empty_permuted frombuffer"
).split()
_METHODS = "new_tensor new_empty new_zeros new_ones new_full new_empty_strided".split()
_SIZED = {"empty", "full", "ones", "rand", "randn", "zeros"}  # their first arguments are a size

_empty, _empty_strided = torch.empty, torch.empty_strided
originals = {}  # wrapper by original


def _wrapped(name, function):
    sized = name in _SIZED
    copies = name in ("tensor", "as_tensor", "asarray")

    @functools.wraps(function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
    def make(*args, **kwargs):
        device = kwargs.get("device")
        if device is None and not kwargs.get("pin_memory"):
            if copies and args and card_of(args[0]) >= 0:
                return _of_tensor(name, args[0], card_of(args[0]), kwargs)
            return function(*args, **kwargs)
        target = moves.target_of(device)
        pin = kwargs.pop("pin_memory", False)
        if target is None or target < 0:
            result = function(*args, **kwargs)
            return moves.pin_memory(result) if pin else result
        if pin:
            raise RuntimeError("Only dense CPU tensors can be pinned")
        cards.use(target)
        faults.check()
        if copies and args and isinstance(args[0], Tensor):
            return _of_tensor(name, args[0], target, kwargs)
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != "cuda":
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found '{generator.device.type}'")
        if sized:
            memory.room(target, _bytes(args, kwargs, function))
        kwargs["device"] = "cpu"
        try:
            result = function(*args, **kwargs)
        except RuntimeError as error:
            if "DefaultCPUAllocator" in str(error):
                memory.exhausted(target, str(error))
            raise
        return adopt(result, target) if card_of(result) < 0 else moves.move(result, target)

    make._gx_original = function
    return make


def _wrapped_nested(function):
    """torch.nested.nested_tensor, whose result is a plain tensor; in the jagged layout it is a class of its own around one."""

    @functools.wraps(function)
    def nested_tensor(tensor_list, *, dtype=None, layout=None, device=None, **options):
        here = card_of(tensor_list[0]) if tensor_list else moves.CPU
        target = here if device is None else moves.target_of(device)
        if layout is not None:
            options["layout"] = layout
        if target < 0:
            return function(tensor_list, dtype=dtype, device=device, **options)
        parts = [moves.move(x.detach(), moves.CPU) if isinstance(x, Tensor) else x for x in tensor_list]
        made = function(parts, dtype=dtype, **options)
        return adopt(made, target) if type(made) is Tensor else made.to(torch.device("cuda", target))

    return nested_tensor


def _of_tensor(name, data, target, kwargs):
    """torch.tensor, as_tensor and asarray of a tensor."""
    dtype = kwargs.get("dtype") or data.dtype
    if name == "tensor":
        result = moves.move(data.detach(), target, dtype, copy=True)
        return result.requires_grad_(bool(kwargs.get("requires_grad", False)))
    return moves.move(data, target, dtype, copy=bool(kwargs.get("copy", False)))


def _bytes(args, kwargs, function):
    """How large the tensor is to be; 0 if that is not clear."""
    size = kwargs.get("size", args[0] if args else 0)
    if type(size) is int and function is not torch.full:
        size = args
    count = 1
    try:
        for n in size:
            count *= int(n)
    except TypeError:
        return 0
    return count * moves._size(kwargs.get("dtype") or torch.get_default_dtype())


def _index(device):
    return cards.check(cards.current() if device is None or device.index is None else device.index)


def _kernel_empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    index = _index(device)
    cards.use(index)
    dtype = dtype or torch.get_default_dtype()
    count = 1
    for n in size:
        count *= int(n)
    memory.room(index, count * moves._size(dtype))
    options = {} if memory_format is None else {"memory_format": memory_format}
    with Disabled():
        result = _empty(size, dtype=dtype, layout=layout or torch.strided, device="cpu", **options)
    return adopt(result, index)


def _kernel_empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    index = _index(device)
    cards.use(index)
    dtype = dtype or torch.get_default_dtype()
    extent = 1
    for n, step in zip(size, stride):
        extent = 0 if n == 0 else extent + (int(n) - 1) * int(step) if extent else 0
    memory.room(index, extent * moves._size(dtype))
    with Disabled():
        result = _empty_strided(size, stride, dtype=dtype, layout=layout or torch.strided, device="cpu")
    return adopt(result, index)


def _register():
    """Puts the kernels behind the dispatch key; a build with CUDA has its own there."""
    import warnings

    library = torch.library.Library("aten", "IMPL")
    # The warning that a kernel is replaced is written by C++, on some versions
    # past Python's warnings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kernel in (("empty.memory_format", _kernel_empty), ("empty_strided", _kernel_empty_strided)):
            library.impl(name, kernel, "CUDA")
    return library


def patch():
    """Puts these in the place of torch's."""
    from gx_cuda import names

    names.keep.append(_register())
    for name in _NAMES:
        original = getattr(torch, name, None)
        if original is not None:
            wrapper = _wrapped(name, original)
            originals[original] = wrapper
            setattr(torch, name, wrapper)
    for name in _METHODS:
        original = getattr(Tensor, name)
        setattr(Tensor, name, _wrapped(name, original))
    if hasattr(torch, "nested"):
        torch.nested.nested_tensor = _wrapped_nested(torch.nested.nested_tensor)
    _teach_default_device()
    _teach_scripts()


def _teach_default_device():
    """torch.set_default_device and `with torch.device(...)` know functions by identity."""
    try:
        from torch.utils import _device
    except ImportError:
        return  # before 2.0
    constructors = _device._device_constructors

    @functools.lru_cache(maxsize=1)
    def both():
        found = set(constructors())
        return found | {getattr(f, "_gx_original", f) for f in found}

    _device._device_constructors = both
    begin = _device.DeviceContext.__init__

    def __init__(self, device):
        begin(self, device)
        if self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", cards.current())

    _device.DeviceContext.__init__ = __init__


def _teach_scripts():
    """torch.jit.script knows built-in functions by identity, too."""
    from torch.jit import _builtins

    table = _builtins._builtin_table
    if table is not None:
        for original, wrapper in originals.items():
            if id(original) in table:
                table[id(wrapper)] = table[id(original)]
