"""Calls that are an exception to the rule in tensors.Emulated."""

import types as _types

import torch
from gx_cuda import memory, tensors
from gx_cuda.tensors import MIXED, SPECIAL, Disabled, Tensor, adopt, call, card_of, restore


def unhooked(function):
    """A copy of one of PyTorch's Python functions that does not ask whether it is overridden.

    It runs with the hook on, so what it calls, the user's code among it, is
    treated like any other code.
    """
    never = {name: lambda *_, **__: False for name in
             ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")}  # fmt: skip
    copy = _types.FunctionType(
        function.__code__, {**function.__globals__, **never}, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _handle(*functions):
    def register(handler):
        for function in functions:
            if function is not None:
                SPECIAL[function] = handler
        return handler

    return register


def _method(name):
    return getattr(Tensor, name, None)


def _torch(name):
    return getattr(torch, name, None)


_vf = torch._C._VariableFunctions

MIXED.update(
    f
    for f in (
        _method("copy_"), _method("__setitem__"), _torch("_has_compatible_shallow_copy_type"), _torch("result_type"),
        _torch("can_cast"), _method("is_same_size"), _method("is_set_to"), _method("__deepcopy__"),
        getattr(_vf, "_has_compatible_shallow_copy_type", None), getattr(_vf, "result_type", None),
        getattr(_vf, "_pack_padded_sequence", None), getattr(_vf, "_pad_packed_sequence", None),
        _torch("ctc_loss"), torch.nn.functional.ctc_loss,  # the lengths may be on the CPU
        *(getattr(_vf, name, None) for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")),
    )
    if f is not None
)  # fmt: skip


# ---- where a tensor is -------------------------------------------------------------------


@_handle(_method("get_device"), _torch("get_device"), getattr(_vf, "get_device", None))
def _get_device(cls, func, types, args, kwargs):
    return cls._gx_card


def _no_numpy(cls, func, types, args, kwargs):
    raise TypeError(
        f"can't convert cuda:{cls._gx_card} device type tensor to numpy. "
        "Use Tensor.cpu() to copy the tensor to host memory first."
    )


SPECIAL[Tensor.__array__] = _no_numpy


@_handle(_method("numpy"))
def _numpy(cls, func, types, args, kwargs):
    if kwargs.get("force"):
        return args[0].detach().cpu().resolve_conj().resolve_neg().numpy()
    return _no_numpy(cls, func, types, args, kwargs)


@_handle(_method("type_as"))
def _type_as(cls, func, types, args, kwargs):
    x, other = args
    return x.to(device=other.device, dtype=other.dtype)


@_handle(_method("share_memory_"))
def _share_memory(cls, func, types, args, kwargs):
    return args[0]


@_handle(_method("is_shared"))
def _is_shared(cls, func, types, args, kwargs):
    return True


# ---- indexing ----------------------------------------------------------------------------


@_handle(_method("__getitem__"))
def _getitem(cls, func, types, args, kwargs):
    if type(args[0]) in tensors.PLAIN and args[0].dim() and not tensors.in_backward():
        _check_index(args[0], args[1])
        return call(cls, func, args, kwargs)  # a CPU tensor, indexed by a number that is on a card
    result = call(cls, func, args, kwargs)
    return restore(result, cls._gx_card)


def _check_index(x, index):
    for i in index if type(index) is tuple else (index,):
        if isinstance(i, Tensor) and card_of(i) >= 0 and i.dim():
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")


# ---- recurrent networks ------------------------------------------------------------------


@_handle(getattr(_vf, "_pack_padded_sequence", None))
def _pack(cls, func, types, args, kwargs):
    data, batch_sizes = call(cls, func, args, kwargs)  # batch_sizes stay on the CPU
    return adopt(data, cls._gx_card), batch_sizes


@_handle(getattr(_vf, "_pad_packed_sequence", None))
def _pad(cls, func, types, args, kwargs):
    padded, lengths = call(cls, func, args, kwargs)
    return adopt(padded, cls._gx_card), lengths


@_handle(getattr(torch, "_cudnn_rnn_flatten_weight", None))
def _flatten(cls, func, types, args, kwargs):
    """cuDNN wants its weights in one piece; the CPU does not."""


# ---- storage -----------------------------------------------------------------------------


@_handle(_method("set_"), _method("resize_"), _method("resize_as_"))
def _set(cls, func, types, args, kwargs):
    x = args[0]
    result = call(cls, func, args, kwargs)
    if card_of(x) >= 0:
        with Disabled():
            if func is not Tensor.set_:
                memory.release(x)
            memory.note(x, card_of(x))
    return result


# ---- text --------------------------------------------------------------------------------

_printed = {}


@_handle(_method("__repr__"))
def _repr(cls, func, types, args, kwargs):
    """The text of a CUDA tensor: PyTorch's own function on a class that says where it is."""
    index = cls._gx_card
    shown = _printed.get(index)
    if shown is None:
        shown = _printed[index] = type("Tensor", (Tensor,), {
            "device": torch.device("cuda", index), "is_cuda": True, "is_cpu": False,
            "__torch_function__": torch._C._disabled_torch_function_impl,
        })  # fmt: skip
    x = args[0]
    contents = kwargs.get("tensor_contents")
    own = type(x)
    x.__class__ = shown
    try:
        with Disabled():
            text = torch._tensor_str._str(x, tensor_contents=contents)
    finally:
        x.__class__ = own
    return "tensor(" + text[len("Tensor(") :] if text.startswith("Tensor(") else text


@_handle(_method("__format__"))
def _format(cls, func, types, args, kwargs):
    x, spec = args
    with Disabled():
        scalar = x.dim() == 0
    return x.item().__format__(spec) if scalar else object.__format__(x, spec)


_deepcopy = unhooked(Tensor.__deepcopy__)


@_handle(_method("__deepcopy__"))
def _copy(cls, func, types, args, kwargs):
    return _deepcopy(*args)


# ---- autograd ----------------------------------------------------------------------------

_backward = unhooked(Tensor.backward)
_grad = unhooked(torch.autograd.grad)


@_handle(_method("backward"))
def _run_backward(cls, func, types, args, kwargs):
    return _backward(*args, **kwargs)


@_handle(torch.autograd.grad)
def _run_grad(cls, func, types, args, kwargs):
    return restore(_grad(*args, **kwargs), cls._gx_card)


@_handle(_method("register_hook"))
def _register_hook(cls, func, types, args, kwargs):
    x, hook = (args + (kwargs.get("hook"),))[:2]

    def with_class(grad):
        if type(grad) is Tensor:
            adopt(grad, cls._gx_card)
        return hook(grad)

    return call(cls, func, (x, with_class), {})


@_handle(Tensor.grad.__set__)
def _set_grad(cls, func, types, args, kwargs):
    x, grad = args
    if isinstance(grad, Tensor) and card_of(grad) != card_of(x) and not tensors.in_backward():
        raise RuntimeError("assigned grad has data located on a different device")
    return call(cls, func, args, kwargs)


# ---- mixed precision, where the CPU has no such kernels -------------------------------------


def _non_finite(cls, func, types, args, kwargs):
    grads, found, scale = args
    with Disabled(), torch.no_grad():
        for grad in grads:
            if not bool(torch.isfinite(grad).all()):
                found.fill_(1.0)
            grad.mul_(scale.to(grad.dtype))


def _update_scale(cls, func, types, args, kwargs):
    scale, tracker, found, growth, backoff, interval = args
    with Disabled(), torch.no_grad():
        if float(found):
            scale.mul_(backoff)
            tracker.fill_(0)
        else:
            done = int(tracker) + 1
            if done == interval:
                scale.mul_(growth)
            tracker.fill_(0 if done == interval else done)
    return scale


def _fused_adam(decoupled):
    def step(cls, func, types, args, kwargs):
        params, grads, averages, squares, maxima, steps = args[:6]
        o = kwargs
        scale, found = o.get("grad_scale"), o.get("found_inf")
        with Disabled(), torch.no_grad():
            if found is not None and float(found):
                return
            lr, beta1, beta2 = float(o["lr"]), o["beta1"], o["beta2"]
            for i, p in enumerate(params):
                g = grads[i] if scale is None else grads[i].div_(scale)
                g = -g if o["maximize"] else g
                if o["weight_decay"]:
                    if decoupled:
                        p.mul_(1 - lr * o["weight_decay"])
                    else:
                        g = g + p * o["weight_decay"]
                n = float(steps[i])
                averages[i].mul_(beta1).add_(g, alpha=1 - beta1)
                squares[i].mul_(beta2).addcmul_(g, g, value=1 - beta2)
                second = squares[i]
                if o["amsgrad"]:
                    second = torch.maximum(maxima[i], second, out=maxima[i])
                root = (second / (1 - beta2**n)).sqrt_().add_(o["eps"])
                p.addcdiv_(averages[i], root, value=-lr / (1 - beta1**n))

    return step


if memory.VERSION < (2, 3):
    SPECIAL[torch._amp_foreach_non_finite_check_and_unscale_] = _non_finite
    SPECIAL[torch._amp_update_scale_] = _update_scale
    MIXED.update((torch._amp_foreach_non_finite_check_and_unscale_, torch._amp_update_scale_))
if memory.VERSION < (2, 4):
    for _name, _decoupled in (("_fused_adam_", False), ("_fused_adamw_", True)):
        if hasattr(torch, _name):
            SPECIAL[getattr(torch, _name)] = _fused_adam(_decoupled)


