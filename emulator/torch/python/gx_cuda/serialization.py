"""Checkpoints: they say on which card a tensor was, and map_location is heeded."""

import torch
from gx_cuda import cards, memory
from gx_cuda.tensors import adopt, card_of


def _untyped(storage):
    return getattr(storage, "_untyped_storage", None) or getattr(storage, "_storage", None) or storage


def _index(storage):
    storage = _untyped(storage)
    return memory.card_of_storage(storage) if hasattr(storage, "_cdata") else -1


def _tag(storage):
    index = _index(storage)
    return f"cuda:{index}" if index >= 0 else None


def _load(storage, location):
    """A storage that was read, on the card that its location names."""
    if not location.startswith("cuda"):
        return None
    device = torch.device(location)
    index = cards.current() if device.index is None else device.index
    if not cards.count():
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you are running "
            "on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages to the CPU."
        )
    if index >= cards.count():
        raise RuntimeError(
            f"Attempting to deserialize object on CUDA device {index} but torch.cuda.device_count() is {cards.count()}. "
            "Please use torch.load with map_location to map your storages to an existing device."
        )
    untyped = _untyped(storage)
    if _index(untyped) >= 0:
        return storage
    memory.room(index, untyped.nbytes())
    memory.claim(untyped, index)
    _loaded[id(untyped)] = untyped  # alive until a tensor is made of it
    return storage


_loaded = {}


def _patch_storage():
    """A storage says where it is; moving one is copying it."""
    classes = [kind for kind in (getattr(torch, "UntypedStorage", None), getattr(torch, "_UntypedStorage", None)) if kind]
    kind = classes[0]
    where = kind.__dict__.get("device") or kind.device

    def device(self):
        index = memory.card_of_storage(self)
        return torch.device("cuda", index) if index >= 0 else where.__get__(self)

    def is_cuda(self):
        return memory.card_of_storage(self) >= 0

    def cuda(self, device=None, non_blocking=False, **_):
        target = cards.check(cards.index_of(device))
        if memory.card_of_storage(self) == target:
            return self
        memory.room(target, self.nbytes())
        copy = type(self)(self.nbytes()).copy_(self)
        memory.claim(copy, target)
        return copy

    def cpu(self):
        return type(self)(self.nbytes()).copy_(self) if memory.card_of_storage(self) >= 0 else self

    def clone(self):
        copy = type(self)(self.nbytes()).copy_(self)
        index = memory.card_of_storage(self)
        if index >= 0:
            memory.claim(copy, index)
        return copy

    kind.device, kind.is_cuda, kind.cuda, kind.cpu, kind.clone = property(device), property(is_cuda), cuda, cpu, clone


def _patch_rebuild():
    """Tensors made of a storage on a card are on that card."""
    utils = torch._utils
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        rebuild = getattr(utils, name, None)
        if rebuild is None:
            continue

        def made(storage, *args, _rebuild=rebuild, **kwargs):
            untyped = _untyped(storage)
            index = _index(untyped)
            if index < 0:
                return _rebuild(storage, *args, **kwargs)
            result = _rebuild(storage, *args, **kwargs)
            _loaded.pop(id(untyped), None)
            return result if card_of(result) >= 0 else adopt(result, index)

        made.__name__ = made.__qualname__ = name
        made.__module__ = "torch._utils"
        setattr(utils, name, made)


def patch():
    """Puts these in the place of torch's."""
    torch.serialization.register_package(5, _tag, _load)
    _patch_storage()
    _patch_rebuild()
