"""torch.distributed between emulated cards: what is asked of NCCL, Gloo does.

A tensor on an emulated card is a CPU tensor for C++, so Gloo takes it as it is.
A group that was asked of NCCL says that it is NCCL's, and takes no tensor that is
on the CPU, as NCCL does not.
"""

import functools
import sys

import torch
from gx_cuda.tensors import Tensor, card_of

dist = torch.distributed

_asked = {}  # groups that were asked of NCCL; None is the default group
_told = []

# Functions of torch.distributed that take tensors.
_COLLECTIVES = (
    "all_reduce broadcast reduce all_gather all_gather_into_tensor reduce_scatter reduce_scatter_tensor all_to_all "
    "all_to_all_single send recv isend irecv gather scatter all_gather_coalesced all_reduce_coalesced "
    "_all_gather_base _reduce_scatter_base"
).split()


def _mapped(backend):
    """The backend in the place of one that is or has NCCL's; None if there is nothing to replace."""
    if backend is None:
        return "gloo"
    text = str(backend).lower()
    return text.replace("nccl", "gloo") if "nccl" in text else None


def _is_nccl(group):
    return (None if group is None or group is getattr(dist.group, "WORLD", None) else group) in _asked


def _tell():
    if not _told:
        _told.append(True)
        if not dist.is_initialized() or dist.get_rank() == 0:
            print("gx: NCCL needs real GPUs; between emulated ones Gloo exchanges the tensors, on the CPU", file=sys.stderr)


def _options(options):
    """Keywords that only NCCL's groups take, left out."""
    return {k: v for k, v in options.items() if k not in ("device_id", "pg_options")}


def _init(original):
    @functools.wraps(original)
    def init_process_group(backend=None, *args, **options):
        ours = _mapped(backend)
        if ours is None:
            return original(backend, *args, **options)
        result = original(ours, *args, **_options(options))
        _asked[None] = str(backend or "nccl").lower()
        _tell()
        return result

    return init_process_group


def _new_group(original):
    @functools.wraps(original)
    def new_group(ranks=None, timeout=None, backend=None, *args, **options):
        if backend is None:
            backend = _asked.get(None)
        ours = _mapped(backend) if backend is not None else None
        more = {} if timeout is None else {"timeout": timeout}
        if ours is None:
            return original(ranks, *args, backend=backend, **more, **options)
        group = original(ranks, backend=ours, **more, **_options(options))
        _asked[group] = str(backend).lower()
        _tell()
        return group

    return new_group


def _destroy(original):
    @functools.wraps(original)
    def destroy_process_group(group=None):
        result = original(group)
        if group is None or group is getattr(dist.group, "WORLD", None):
            _asked.clear()
        else:
            _asked.pop(group, None)
        return result

    return destroy_process_group


def _backend(original):
    @functools.wraps(original)
    def get_backend(group=None):
        found = original(group)
        return "nccl" if _is_nccl(group) else found

    return get_backend


def _first(values):
    """The first tensor among arguments."""
    for value in values:
        if isinstance(value, Tensor):
            return value
        if type(value) in (list, tuple):
            found = _first(value)
            if found is not None:
                return found
    return None


def _collective(name, original):
    @functools.wraps(original)
    def collective(*args, **options):
        group = options.get("group") or next((a for a in args if isinstance(a, dist.ProcessGroup)), None)
        if not _is_nccl(group):
            return original(*args, **options)
        x = _first([*args, *options.values()])
        if x is not None and card_of(x) < 0 and "cpu:" not in _asked.get(group, _asked.get(None, "")):
            raise RuntimeError("No backend type associated with device type cpu")
        try:
            return original(*args, **options)
        except (RuntimeError, ValueError) as error:
            if not _otherwise(name, original, args, options, group, error):
                raise
            return None

    return collective


def _barrier(original):
    @functools.wraps(original)
    def barrier(group=None, async_op=False, device_ids=None):
        if _is_nccl(group):
            device_ids = None  # Gloo, before 2.1, has no such argument
        return original() if group is None and not async_op and device_ids is None else original(group, async_op, device_ids)

    return barrier


def _otherwise(name, original, args, options, group, error):
    """Does what Gloo of the running version cannot by what it can; returns whether it did."""
    text = str(error)
    if options.get("async_op") or len(args) > 3 and args[3] is True:
        return False
    if "ReduceOp.AVG" in text and name in ("all_reduce", "reduce", "reduce_scatter_tensor", "_reduce_scatter_base"):
        average, total = dist.ReduceOp.AVG, dist.ReduceOp.SUM
        original(
            *(total if type(a) is type(total) and a == average else a for a in args),
            **{k: total if k == "op" else v for k, v in options.items()},
        )
        (args[0] if args else options.get("tensor", options.get("output"))).div_(dist.get_world_size(group))
        return True
    if name == "reduce_scatter" and "does not support reduce_scatter" in text and hasattr(dist, "reduce_scatter_tensor"):
        output, parts = args[:2]
        dist.reduce_scatter_tensor(output, torch.cat([p.reshape(-1) for p in parts]), *args[2:], **options)
        return True
    return False


def patch():
    """Puts these in the place of torch's."""
    if not dist.is_available():
        return
    c10d = sys.modules["torch.distributed.distributed_c10d"]
    everywhere = {
        "init_process_group": _init, "new_group": _new_group, "destroy_process_group": _destroy,
    }  # fmt: skip
    modules = [m for n, m in list(sys.modules.items()) if n.startswith("torch.distributed") and m is not None]
    for name, make in everywhere.items():
        original = getattr(c10d, name)
        made = make(original)
        for module in modules:
            if module.__dict__.get(name) is original:
                setattr(module, name, made)
    # Only what the user calls: within torch a group is what it is.
    dist.get_backend = _backend(dist.get_backend)
    dist.is_nccl_available = lambda: True
    dist.barrier = _barrier(dist.barrier)
    for name in _COLLECTIVES:
        if hasattr(dist, name):
            setattr(dist, name, _collective(name, getattr(dist, name)))
    from torch.cuda import nccl

    nccl.version = lambda: (2, 18, 1)
    nccl.is_available = lambda tensors: all(card_of(x) >= 0 for x in tensors)
