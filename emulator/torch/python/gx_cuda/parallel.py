"""What DataParallel asks of CUDA: tensors that are cut up for several cards, and put together again."""

import torch
from gx_cuda import cards


def _device(index):
    return torch.device("cuda", cards.check(cards.index_of(index)))


def scatter(tensor, devices=None, chunk_sizes=None, dim=0, streams=None, *, out=None):
    """torch.nn.parallel.comm.scatter"""
    if out is not None:
        for part, chunk in zip(out, tensor.split([o.size(dim) for o in out], dim)):
            part.copy_(chunk)
        return tuple(out)
    chunks = tensor.split(list(chunk_sizes), dim) if chunk_sizes is not None else tensor.chunk(len(devices), dim)
    return tuple(chunk.to(_device(index)) for chunk, index in zip(chunks, devices))


def gather(tensors, dim=0, destination=None, *, out=None):
    """torch.nn.parallel.comm.gather"""
    target = out.device if out is not None else torch.device("cpu") if destination == -1 else _device(destination)
    result = torch.cat([x.to(target) for x in tensors], dim)
    return result if out is None else out.copy_(result)


def broadcast_coalesced(tensors, devices, buffer_size=0):
    """torch.nn.parallel.comm.broadcast_coalesced"""
    return tuple(tuple(x.to(_device(index)) for x in tensors) for index in devices)


def reduce_add_coalesced(inputs, destination=None, buffer_size=0):
    """torch.nn.parallel.comm.reduce_add_coalesced"""
    target = _device(destination)
    return tuple(sum(x.to(target) for x in parts) for parts in zip(*inputs))


def reduce_add(inputs, destination=None):
    """torch.nn.parallel.comm.reduce_add"""
    return reduce_add_coalesced([[x] for x in inputs], destination)[0]


def patch():
    """Puts these in the place of torch's."""
    comm = torch.nn.parallel.comm
    for function in (scatter, gather, broadcast_coalesced, reduce_add_coalesced, reduce_add):
        setattr(comm, function.__name__, function)
