"""What SyncBatchNorm computes with CUDA's own kernels, of which the CPU has none.

Each process knows mean and 1/sqrt(variance + eps) of its own batch, learns the
others', and normalizes with those of all batches together; the second dimension
of a tensor is that of the channels. Statistics are in float32.
"""

import torch
from gx_cuda.tensors import SPECIAL, Disabled, restore


def _channels(x, like):
    """A vector of channels in a shape that goes with a tensor."""
    return x.to(torch.float32).view(1, -1, *[1] * (like.dim() - 2))


def _rest(x):
    return [d for d in range(x.dim()) if d != 1]


def _stats(x, eps):
    x = x.float()
    mean = x.mean(_rest(x))
    variance = ((x - _channels(mean, x)) ** 2).mean(_rest(x))
    return mean, torch.rsqrt(variance + eps)


def _gather(x, means, scales, running_mean, running_var, momentum, eps, counts):
    counts = counts.float().view(-1, 1)
    total = counts.sum()
    mean = (means * counts).sum(0) / total
    variance = ((1 / scales**2 - eps + (means - mean) ** 2) * counts).sum(0) / total
    if running_mean is not None:
        running_mean.mul_(1 - momentum).add_(mean.to(running_mean.dtype), alpha=momentum)
        unbiased = variance * (total / (total - 1))
        running_var.mul_(1 - momentum).add_(unbiased.to(running_var.dtype), alpha=momentum)
    return mean, torch.rsqrt(variance + eps)


def _normalize(x, weight, bias, mean, scale, eps):
    result = (x.float() - _channels(mean, x)) * _channels(scale, x)
    if weight is not None:
        result = result * _channels(weight, x)
    if bias is not None:
        result = result + _channels(bias, x)
    return result.to(x.dtype)


def _reduce(grad, x, mean, scale, weight, for_input, for_weight, for_bias):
    grad = grad.float()
    sums = grad.sum(_rest(grad))
    products = (grad * (x.float() - _channels(mean, x))).sum(_rest(grad))
    kind = x.dtype if weight is None else weight.dtype
    return (
        sums if for_input else None, products if for_input else None,
        (products * scale).to(kind) if for_weight else None, sums.to(kind) if for_bias else None,
    )  # fmt: skip


def _backward(grad, x, mean, scale, weight, sums, products, counts):
    total = counts.sum()
    centred = (x.float() - _channels(mean, x)) * _channels(scale**2 * products / total, x)
    result = (grad.float() - _channels(sums / total, x) - centred) * _channels(scale, x)
    if weight is not None:
        result = result * _channels(weight, x)
    return result.to(x.dtype)


def _handler(function):
    def handle(cls, func, types, args, kwargs):
        with Disabled(), torch.no_grad():
            result = function(*args, **kwargs)
        return restore(result, cls._gx_card)

    return handle


for _name, _function in (
    ("batch_norm_stats", _stats), ("batch_norm_gather_stats_with_counts", _gather), ("batch_norm_elemt", _normalize),
    ("batch_norm_backward_reduce", _reduce), ("batch_norm_backward_elemt", _backward),
):  # fmt: skip
    if hasattr(torch, _name):
        SPECIAL[getattr(torch, _name)] = _handler(_function)
