"""Tensors that are moved: to a card, off it, and between cards."""

import torch
from gx_cuda import cards, memory, tensors
from gx_cuda.tensors import Disabled, Tensor, adopt, card_of

CPU, OTHER = -1, -2  # targets that are no card

_to = Tensor.to
_type = Tensor.type
_data = Tensor.data


def target_of(device):
    """The index of the card that a device means, CPU, OTHER (meta, ...) or None for no device."""
    if device is None:
        return None
    if type(device) is str:
        device = torch.device(device)
    if type(device) is int or type(device) is bool:
        return cards.check(cards.index_of(int(device)))
    kind = device.type
    if kind == "cuda":
        return cards.check(cards.current() if device.index is None else device.index)
    return CPU if kind == "cpu" else OTHER


def _own(x, *args, **kwargs):
    with Disabled():
        return _to(x, *args, **kwargs)


def move(x, target, dtype=None, copy=False, non_blocking=False, memory_format=None):
    """What ``x.to`` does for a target that is CPU or a card, when x is emulated or is to be."""
    here = card_of(x)
    options = {} if memory_format is None else {"memory_format": memory_format}
    if here == target:
        if (dtype is None or dtype == x.dtype) and not copy and memory_format is None:
            return x
        result = _own(x, dtype=dtype or x.dtype, copy=copy, **options)
        return result if result is x or here < 0 else adopt(result, here)
    if here < 0 and x.device.type != "cpu":
        if x.device.type == "meta":
            return _own(x, "cpu", dtype=dtype)  # raises what PyTorch raises
        return _own(x, torch.device("cpu"), dtype=dtype, copy=copy, **options)
    if target >= 0:
        kind = dtype or x.dtype
        memory.room(target, x.numel() * _size(kind))
        cards.use(target)
    from gx_cuda import faults

    faults.check()
    if x.layout is not torch.strided:
        options = {}
    result = _own(x, "cpu", dtype=dtype or x.dtype, copy=True, **options)
    return result if target < 0 else adopt(result, target)


def _size(dtype):
    try:
        return dtype.itemsize
    except AttributeError:  # before 2.1
        return torch.empty(0, dtype=dtype).element_size()


def to(self, *args, **kwargs):
    """Tensor.to"""
    device = kwargs.get("device")
    dtype, non_blocking, copy = kwargs.get("dtype"), kwargs.get("non_blocking", False), kwargs.get("copy", False)
    rest = args
    if args:
        first = args[0]
        kind = type(first)
        if kind is torch.dtype:
            if card_of(self) < 0:
                return _to(self, *args, **kwargs)
            dtype, rest = first, (None, None, *args[1:])
        elif isinstance(first, Tensor):
            device, dtype, rest = first.device, first.dtype, (None, None, *args[1:])
        else:
            device = first if first is not None else device
            if len(args) > 1:
                dtype = args[1]
        non_blocking = rest[2] if len(rest) > 2 else non_blocking
        copy = rest[3] if len(rest) > 3 else copy
    elif "other" in kwargs:
        device, dtype = kwargs["other"].device, kwargs["other"].dtype
    target = target_of(device)
    here = card_of(self)
    if here < 0 and (target is None or target < 0):
        return _to(self, *args, **kwargs)
    if target is None:
        target = here
    if target == OTHER:
        return _own(self, device, dtype=dtype or self.dtype, copy=copy)
    return move(self, target, dtype, copy, non_blocking, kwargs.get("memory_format"))


def cuda(self, device=None, non_blocking=False, memory_format=None, **old):
    """Tensor.cuda"""
    return move(self, cards.check(cards.index_of(device)), None, False, non_blocking, memory_format)


def cpu(self, memory_format=None):
    """Tensor.cpu"""
    if card_of(self) < 0:
        return _plain_cpu(self) if memory_format is None else _plain_cpu(self, memory_format=memory_format)
    return move(self, CPU, memory_format=memory_format)


_plain_cpu = Tensor.cpu


def type_(self, dtype=None, non_blocking=False, **kwargs):
    """Tensor.type: the name of a type, or a tensor of a type that may be on a card."""
    here = card_of(self)
    if dtype is None:
        with Disabled():
            name = _type(self)
        return name.replace("torch.", "torch.cuda.", 1) if here >= 0 else name
    if not isinstance(dtype, torch.dtype):
        name = dtype if isinstance(dtype, str) else f"{dtype.__module__}.{dtype.__name__}"
        if name.startswith("torch.cuda."):
            wanted = legacy_dtype(name.rpartition(".")[2])
            return move(self, here if here >= 0 else cards.current(), wanted)
        if here >= 0 and name.startswith("torch."):
            return move(self, CPU, legacy_dtype(name.rpartition(".")[2]))
        return _type(self, dtype, non_blocking, **kwargs)
    if here < 0:
        return _type(self, dtype, non_blocking, **kwargs)
    return move(self, here, dtype)


_LEGACY = {
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Byte": torch.uint8, "Char": torch.int8, "Short": torch.int16, "Int": torch.int32, "Long": torch.int64,
    "Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128,
}  # fmt: skip


def legacy_dtype(name):
    """The dtype that "FloatTensor" has."""
    if name == "Tensor":
        return torch.get_default_dtype()
    return _LEGACY[name[: -len("Tensor")]]


def _get_data(self):
    index = card_of(self)
    if index < 0:
        return _data.__get__(self)
    with Disabled():
        result = _data.__get__(self)
    return adopt(result, index)


def _set_data(self, value):
    index, here = card_of(value), card_of(self)
    if index < 0 and here < 0:
        _data.__set__(self, value)
        return
    with Disabled():
        _data.__set__(self, value)
    if index >= 0:
        memory.note(_alias(self), index)
        self.__class__ = tensors.emulated_class(type(self), index)
    else:
        tensors.plain(self)


def _alias(x):
    """x for C++ functions, as a plain tensor."""
    with Disabled():
        return x.detach().as_subclass(Tensor) if card_of(x) < 0 else _data.__get__(x)


def _delete_data(self):
    raise RuntimeError("Deleting tensor data is not allowed. Delete tensor instead!")


def pin_memory(self, *_):
    """Tensor.pin_memory: a copy that says it is pinned."""
    if card_of(self) >= 0:
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    if is_pinned(self):
        return self
    with torch.no_grad():
        result = self.clone(memory_format=torch.contiguous_format).detach()
    storage, key = memory.storage_of(result)
    if memory.TRACKED:
        import weakref

        _pins[key] = weakref.ref(storage, lambda _: _pins.pop(key, None))
    else:
        result._gx_pinned = True
    return result


_pins = {}


def is_pinned(self, *_):
    """Tensor.is_pinned"""
    if card_of(self) >= 0 or self.layout is not torch.strided or self.device.type != "cpu":
        return False
    if not memory.TRACKED:
        return getattr(self, "_gx_pinned", False)
    return memory.storage_of(self)[1] in _pins


def record_stream(self, stream):
    """Tensor.record_stream: there is one stream in truth."""


def patch():
    """Puts these in the place of Tensor's."""
    for name, function in (("to", to), ("cuda", cuda), ("cpu", cpu), ("type", type_), ("pin_memory", pin_memory),
                           ("is_pinned", is_pinned), ("record_stream", record_stream)):  # fmt: skip
        function.__name__ = name
        function.__qualname__ = f"Tensor.{name}"
        function.__doc__ = getattr(Tensor, name).__doc__
        setattr(Tensor, name, function)
    Tensor.data = property(_get_data, _set_data, _delete_data, "Tensor.data")
