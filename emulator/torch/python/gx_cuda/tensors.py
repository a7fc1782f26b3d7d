"""The classes of emulated tensors, and what happens to a call that has one.

For each card and each class of tensors there is a subclass that says it is on
that card. ``adopt`` gives it to a tensor, ``plain`` takes it away. The rest is
``__torch_function__``: check where the other arguments are, let PyTorch compute
on the CPU, give the class to what comes out.
"""

import torch
from gx_cuda import cards, faults, memory

Tensor = torch.Tensor
Parameter = torch.nn.Parameter
Disabled = getattr(torch._C, "DisableTorchFunctionSubclass", None) or torch._C.DisableTorchFunction
_run = torch._C._disabled_torch_function_impl
_note = memory.note
_live, _Entry, _freed = memory.live, memory.Entry, memory.freed
_TRACKED = memory.TRACKED
_storage = Tensor.untyped_storage if _TRACKED else None
_NO_STORAGE = RuntimeError, NotImplementedError
_state = cards.state

PLAIN = {Tensor, Parameter}  # classes of tensors that are where C++ says they are
_LOOK = {Tensor, Parameter, tuple, list}  # classes of arguments that may be, or have, such a tensor
_classes = {}  # (class, index of a card): its emulated class
TENSOR = []  # the emulated class of Tensor, by index
_near = {}  # by index: classes of what an operator of a tensor there takes without further questions
SPECIAL = {}  # function: handler(cls, func, types, args, kwargs)
MIXED = set()  # functions that take tensors of both kinds
_NO_TENSORS = {torch.Size, torch.dtype, torch.device, bool, int, float, str, type(None), torch.layout, complex}


def emulated_class(cls, index):
    """The class that a tensor of a (plain or emulated) class has on a card."""
    found = _classes.get((cls, index))
    if found is None:
        base = cls.__dict__.get("_gx_plain", cls)
        found = _classes.get((base, index)) or _make(base, index)
        _classes[cls, index] = found
    return found


def _make(base, index):
    members = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "device": torch.device("cuda", index),
        "is_cuda": True,
        "is_cpu": False,
        "_gx_card": index,
        "_gx_plain": base,
        "_gx_near": _near.setdefault(index, {int, float, bool}),
    }
    # Python may look a member up in the class (Tensor.device.__get__): such
    # members are descriptors in PyTorch, and are those of the base there.
    made = type(base)(base.__name__, (Emulated, base), members)
    _classes[base, index] = _classes[made, index] = made
    if base in PLAIN:
        _near[index].add(made)
    return made


def card_of(x):
    """The index of the card that a tensor is on, or -1."""
    return getattr(type(x), "_gx_card", -1)


def adopt(x, index):
    """Says that a tensor is on a card, and counts its memory; returns it."""
    _note(x, index)
    x.__class__ = emulated_class(type(x), index)
    return x


def plain(x):
    """Takes the class off a tensor that may have one, in place; returns it."""
    x.__class__ = getattr(type(x), "_gx_plain", type(x))
    return x


def restore(result, index):
    """Adopts the tensors in a result of any shape."""
    kind = type(result)
    if kind is Tensor:
        return adopt(result, index)
    if kind in _NO_TENSORS:
        return result
    if isinstance(result, Tensor):
        if card_of(result) < 0 and result.device.type == "cpu":
            adopt(result, index)
    elif isinstance(result, (tuple, list)):
        for item in result:
            restore(item, index)
    elif isinstance(result, dict):
        for item in result.values():
            restore(item, index)
    return result


def _all(values):
    """All that a call is given, out of lists and tuples."""
    for value in values:
        if type(value) in (tuple, list):
            yield from _all(value)
        else:
            yield value


_graph_task = getattr(torch._C, "_current_graph_task_id", None)


def in_backward():
    """Whether autograd is running this: gradients it hands out have no class."""
    if _graph_task is not None:
        return _graph_task() != -1
    import sys

    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_gx_backward":
            return True
        frame = frame.f_back
    return False


def _transforming():
    check = getattr(torch._C, "_are_functorch_transforms_active", None)
    return check is not None and check()


def check_places(cls, func, args, kwargs):
    """Raises CUDA's error if a call mixes tensors of several devices."""
    if func in MIXED or in_backward() or _transforming():
        return
    index, first = cls._gx_card, None
    for position, x in enumerate(_all([*args, *(kwargs or {}).values()])):
        if not isinstance(x, Tensor):
            continue
        card = card_of(x)
        if card == index or card < 0 and (x.dim() == 0 or x.device.type != "cpu"):
            if first is None and card == index:
                first = position
            continue
        other = f"cuda:{card}" if card >= 0 else "cpu"
        raise RuntimeError(_misplaced(func, f"cuda:{index}", other, position))


def _may_be_elsewhere(a):
    """Whether an argument is, or has, a tensor that is not on a card and is no number."""
    if type(a) in PLAIN:
        return a.dim() > 0
    for b in a:
        if type(b) in PLAIN and b.dim():
            return True
    return False


# Operations whose kernel names the argument that is elsewhere.
_NAMED = {
    "linear": ("mat1", "wrapper_CUDA_addmm"),
    "addmm": ("mat1", "wrapper_CUDA_addmm"),
    "matmul": ("mat2", "wrapper_CUDA_mm"),
    "mm": ("mat2", "wrapper_CUDA_mm"),
    "__matmul__": ("mat2", "wrapper_CUDA_mm"),
    "bmm": ("mat2", "wrapper_CUDA_bmm"),
    "embedding": ("index", "wrapper_CUDA__index_select"),
    "index_select": ("index", "wrapper_CUDA__index_select"),
    "cross_entropy": ("target", "wrapper_CUDA_nll_loss_forward"),
    "nll_loss": ("target", "wrapper_CUDA_nll_loss_forward"),
    "cat": ("tensors", "wrapper_CUDA_cat"),
    "gather": ("index", "wrapper_CUDA_gather"),
    "bincount": ("weights", "wrapper_CUDA_bincount"),
    "layer_norm": ("weight", "wrapper_CUDA__native_layer_norm"),
    "batch_norm": ("weight", "wrapper_CUDA__native_batch_norm"),
}


def _misplaced(func, here, there, position):
    if func is getattr(torch.nn.functional, "conv2d", None) or getattr(func, "__name__", "").startswith("conv"):
        if position == 0 and there == "cpu":
            return (
                "Input type (torch.FloatTensor) and weight type (torch.cuda.FloatTensor) should be the same or input "
                "should be a MKLDNN tensor and weight is a dense tensor"
            )
        if there == "cpu":
            return "Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same"
    first, second = (there, here) if position == 0 and there.startswith("cuda") else (here, there)
    text = (
        f"Expected all tensors to be on the same device, but found at least two devices, {first} and {second}!"
    )
    named = _NAMED.get(getattr(func, "__name__", ""))
    if named is None:
        return text
    argument, kernel = named
    if memory.VERSION >= (2, 8) and argument not in ("tensors",):
        return (
            f"Expected all tensors to be on the same device, but got {argument} is on {there}, different from other "
            f"tensors on {here} (when checking argument in method {kernel})"
        )
    if memory.VERSION < (2, 1):
        kernel = kernel.replace("wrapper_CUDA__", "wrapper_CUDA__").replace("wrapper_CUDA_", "wrapper_")
    return f"{text} (when checking argument for argument {argument} in method {kernel})"


def call(cls, func, args, kwargs):
    """Computes on the CPU, without the classes; adopts nothing."""
    try:
        with Disabled():
            return func(*args, **kwargs) if kwargs else func(*args)
    except RuntimeError as error:
        return _failed(cls, func, args, kwargs or {}, error)


def _failed(cls, func, args, kwargs, error):
    """The call in another way, if the CPU lacks what a card has; else raises its error."""
    text = str(error)
    if "not implemented for '" in text:
        from gx_cuda import half

        return half.in_float(cls, func, args, kwargs, error)
    if "expected scalar type" in text and torch.is_autocast_enabled():
        # The CPU's autocast lacks what CUDA's computes in float32.
        from gx_cuda import half

        return half.in_float(cls, func, args, kwargs, error, narrow=False)
    if "No viable backend for scaled_dot_product_attention" in text:
        return _attention(cls, func, args, kwargs)
    if "DefaultCPUAllocator" in text:
        memory.exhausted(cls._gx_card, text)
    raise error


def _attention(cls, func, args, kwargs):
    """Attention by a kernel that only a card has (sdpa_kernel(EFFICIENT_ATTENTION)): the CPU computes it as it can."""
    sdp = torch.backends.cuda
    before = sdp.math_sdp_enabled()
    if before:
        raise RuntimeError("No viable backend for scaled_dot_product_attention was found.")
    sdp.enable_math_sdp(True)
    try:
        return call(cls, func, args, kwargs)
    finally:
        sdp.enable_math_sdp(before)


class Emulated:
    """What all emulated classes have in common; comes before the plain class."""

    __slots__ = ()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        index = cls._gx_card
        card = _state.cards[index]
        if _state.map[card.fault_at] or card.broken:
            faults.strike(card, func)
        card.operations += 1
        if card.operations > 255:
            _count(card)
        if func in SPECIAL:
            return SPECIAL[func](cls, func, types, args, kwargs or {})
        for a in args:
            if type(a) in _LOOK and _may_be_elsewhere(a):
                check_places(cls, func, args, kwargs)
                break
        if len(types) > 1:
            for t in types:
                if getattr(t, "_gx_card", index) != index:
                    check_places(cls, func, args, kwargs)
                    break
        if kwargs:
            if "device" in kwargs:
                return _elsewhere(cls, func, args, kwargs)
            for a in kwargs.values():
                if type(a) in PLAIN and a.dim():
                    check_places(cls, func, args, kwargs)
                    break
        try:
            # The same as `with Disabled()`, in one step.
            result = _run(func, types, args, kwargs) if kwargs else _run(func, types, args)
        except RuntimeError as error:
            result = _failed(cls, func, args, kwargs or {}, error)
        kind = type(result)
        if kind is Tensor:
            if args and result is args[0]:
                return result  # a CPU tensor that was written to
            if _TRACKED:
                # memory.note, in place: each small operation pays for it.
                try:
                    storage = _storage(result)
                except _NO_STORAGE:
                    _note(result, index)
                else:
                    key = id(storage)
                    if key not in _live:
                        _live[key] = entry = _Entry(storage, _freed)
                        entry.key, entry.card = key, card
                        entry.size = size = storage.nbytes() + 511 & -512
                        card.used += size
                        if card.used > card.alert:
                            memory.look(entry)
            else:
                _note(result, index)
            result.__class__ = TENSOR[index]
            return result
        if kind is cls or kind in _NO_TENSORS:
            return result
        return restore(result, index)

    def __hash__(self):
        return id(self)

    def __reduce_ex__(self, protocol):
        if isinstance(self, Parameter):
            return Parameter.__reduce_ex__(self, protocol)
        state = torch._utils._get_obj_state(self) if hasattr(torch._utils, "_get_obj_state") else None
        rebuild, args = self._reduce_ex_internal(protocol)
        if not state:
            return rebuild, args
        return torch._tensor._rebuild_from_type_v2, (rebuild, type(self)._gx_plain, args, state)

    @property
    def __cuda_array_interface__(self):
        from gx_cuda import refusals

        raise refusals.error("Reading a tensor through __cuda_array_interface__", "it hands out a pointer into a GPU's memory")

    def __dlpack__(self, *_, **__):
        from gx_cuda import refusals

        raise refusals.error("Exporting a tensor by DLPack", "it hands out a pointer into a GPU's memory")

    def __dlpack_device__(self):
        return (2, self._gx_card)  # kDLCUDA


def _count(card):
    if _state.page is not None:
        _state.page.count(card.number, card.operations)
    card.operations = 0


def _elsewhere(cls, func, args, kwargs):
    """A call that says on which device its result is to be: zeros_like(x, device=...)."""
    from gx_cuda import moves

    target = moves.target_of(kwargs["device"])
    if target is None:
        return restore(call(cls, func, args, {k: v for k, v in kwargs.items() if k != "device"}), cls._gx_card)
    if target == moves.OTHER:
        return call(cls, func, args, kwargs)
    result = call(cls, func, args, {**kwargs, "device": "cpu"})
    if target < 0:
        return result
    return restore(result, target)


def define():
    """Makes the classes that are always there, one for each card of the process."""
    TENSOR.clear()
    for index in range(max(16, cards.count())):
        TENSOR.append(emulated_class(Tensor, index))
