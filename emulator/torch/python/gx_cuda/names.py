"""torch.cuda and what goes with it, name by name.

Every name is replaced only where the running version has it. What torch reads
from C++ (torch.cuda._is_compiled and the like) stays: a CPU build has no C
functions that it would then look for, and a build with CUDA must not call them.
"""

import sys
import types

import torch
from gx_cuda import cards, memory, properties, rng, streams

keep = []  # what must live as long as the process
_queued = []


def _lazy_init():
    """What torch calls, from C++ too, before it first uses a card."""
    cards.initialize()


def _lazy_call(function, **_):
    """Calls a function when cards are first used."""
    if cards.state.initialized:
        function()
    else:
        _queued.append(function)


def run_queued_calls():
    """At first use."""
    while _queued:
        _queued.pop(0)()


def _names():
    found = {
        "_lazy_init": _lazy_init,
        "_lazy_call": _lazy_call,
        "init": _lazy_init,
        "is_initialized": lambda: cards.state.initialized,
        "_is_in_bad_fork": lambda: cards.state.bad_fork,
        "_device_count_nvml": properties.device_count,
        "_exchange_device": _exchange,
        "_maybe_exchange_device": _exchange,
        "_get_device": lambda device: torch.device(device) if not isinstance(device, int) else torch.device("cuda", device),
        "_get_generator": lambda device: torch.default_generator,
        "ipc_collect": lambda: None,
        "_sleep": lambda cycles: None,
        "current_blas_handle": lambda: 0,
        "is_current_stream_capturing": lambda: False,
        "set_sync_debug_mode": lambda mode: None,
        "get_sync_debug_mode": lambda: 0,
        "get_gencode_flags": lambda: " ".join(f"-gencode compute=compute_{a[3:]},code={a}" for a in properties.get_arch_list()),
        "get_allocator_backend": lambda: "native",
        "default_generators": rng.DefaultGenerators(),
        "memory_cached": memory.memory_reserved,
        "max_memory_cached": memory.max_memory_reserved,
        "reset_max_memory_allocated": memory.reset_peak_memory_stats,
        "reset_max_memory_cached": memory.reset_peak_memory_stats,
        "has_half": True,
        "cudart": _cudart,
    }
    for module in (properties, streams, rng, memory):
        for name, value in vars(module).items():
            public = name[0] != "_" or name == "_CudaDeviceProperties"
            if public and getattr(value, "__module__", "") == module.__name__:
                found.setdefault(name, value)
    for name in ("Generator", "CudaGenerator", "note", "claim", "release", "collect", "room", "free", "tell",
                 "card_of_storage", "storage_of", "refuse_next", "DefaultGenerators", "stream"):  # fmt: skip
        found.pop(name, None)
    found["stream"] = streams.stream
    del found["patch"]
    return found


def _exchange(index):
    before = cards.current()
    if index >= 0:
        cards.set_current(cards.check(index))
    return before


def _cudart():
    def mem_get_info(index):
        return memory.mem_get_info(index)

    ok = lambda *_: 0  # noqa: E731
    return types.SimpleNamespace(
        cudaMemGetInfo=mem_get_info, cudaGetErrorString=lambda code: "no error" if code == 0 else "unknown error",
        cudaProfilerStart=ok, cudaProfilerStop=ok, cudaHostRegister=ok, cudaHostUnregister=ok, cudaError=_CudaError,
    )  # fmt: skip


class _CudaError:
    success = 0


_PLACES = ("torch.cuda", "torch.cuda.memory", "torch.cuda.random", "torch.cuda.streams", "torch.cuda._utils")


def patch():
    """Puts the names in the place of torch's."""
    cuda = torch.cuda
    replaced = _names()
    for place in _PLACES:
        module = sys.modules.get(place)
        if module is None:
            continue
        for name, value in replaced.items():
            if name in module.__dict__ or place == "torch.cuda" and name in ("_lazy_init", "init"):
                setattr(module, name, value)
    if hasattr(cuda, "_utils"):
        get = cuda._utils._get_device_index

        def _get_device_index(device, optional=False, allow_cpu=False):
            if device is None and not optional:
                raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
            if isinstance(device, str):
                device = torch.device(device)
            if isinstance(device, torch.device) and device.type == "cpu" and allow_cpu:
                return -1
            if isinstance(device, torch.device) and device.type == "cuda" and device.index is None and not optional:
                raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
            return cards.index_of(device)

        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("torch.") and module.__dict__.get("_get_device_index") is get:
                module._get_device_index = _get_device_index
    torch.Generator = rng.Generator
    if torch.version.cuda is None:
        torch.version.cuda = "12.1" if memory.VERSION < (2, 5) else "12.4"
    torch.has_cuda = True
    torch.backends.cuda.is_built = lambda: True
    torch.backends.cudnn.is_available = lambda: True
    torch.backends.cudnn.version = lambda: 8902 if memory.VERSION < (2, 4) else 90100
    plans = torch.backends.cuda.cuFFTPlanCache  # of the library that is not asked
    plans.size, plans.max_size, plans.clear = 0, 4096, lambda self: None
    guard = getattr(torch._C, "_ensureCUDADeviceGuardSet", None)
    if guard is not None:
        guard()  # where CUDA is built in: a guard that asks no driver
    if not hasattr(torch._C, "_cuda_getCurrentRawStream"):
        torch._C._cuda_getCurrentRawStream = lambda index: 0
    streams.patch()
    _tensor_types()
    _accelerator()
    _device_of_int()


def _tensor_types():
    """torch.cuda.FloatTensor and the like."""
    from gx_cuda import moves, tensors

    class Kind(type):
        def __instancecheck__(cls, x):
            return tensors.card_of(x) >= 0 and x.dtype is cls.dtype

    def make(name, dtype):
        def new(cls, *args, device=None):
            cards.initialize()
            plain = getattr(torch, name)(*args)
            return moves.move(plain, cards.index_of(device))

        return Kind(name, (), {"__new__": new, "dtype": dtype, "__module__": "torch.cuda", "is_cuda": True})

    for prefix, dtype in moves._LEGACY.items():
        name = f"{prefix}Tensor"
        if hasattr(torch.cuda, name):
            setattr(torch.cuda, name, make(name, dtype))
    torch.cuda.Tensor = make("FloatTensor", torch.float32)
    set_type = torch.set_default_tensor_type

    def set_default_tensor_type(t):
        """torch.set_default_tensor_type"""
        name = t if isinstance(t, str) else f"{t.__module__}.{t.__name__}"
        if not name.startswith("torch.cuda."):
            if hasattr(torch, "set_default_device"):
                torch.set_default_device("cpu")
            set_type(t)
            return
        torch.set_default_dtype(moves.legacy_dtype(name.rpartition(".")[2]))
        torch.set_default_device("cuda")

    torch.set_default_tensor_type = set_default_tensor_type


def _accelerator():
    """torch.accelerator, from 2.6 on."""
    module = getattr(torch, "accelerator", None)
    if module is None:
        return
    for name, value in {
        "is_available": lambda: cards.count() > 0,
        "device_count": properties.device_count,
        "current_accelerator": lambda check_available=False: torch.device("cuda") if cards.count() else None,
        "current_device_index": properties.current_device,
        "current_device_idx": properties.current_device,
        "set_device_index": properties.set_device,
        "set_device_idx": properties.set_device,
        "current_stream": streams.current_stream,
        "set_stream": streams.set_stream,
        "synchronize": streams.synchronize,
        "device_index": properties.device,
        "empty_cache": memory.empty_cache,
        "memory_stats": memory.memory_stats,
        "memory_allocated": memory.memory_allocated,
        "max_memory_allocated": memory.max_memory_allocated,
        "memory_reserved": memory.memory_reserved,
        "max_memory_reserved": memory.max_memory_reserved,
        "reset_accumulated_memory_stats": memory.reset_accumulated_memory_stats,
        "reset_peak_memory_stats": memory.reset_peak_memory_stats,
        "get_memory_info": memory.mem_get_info,
    }.items():
        for place in (module, sys.modules.get("torch.accelerator.memory")):
            if place is not None and hasattr(place, name):
                setattr(place, name, value)
    torch._C._get_accelerator = lambda check=None: torch.device("cuda")


def _device_of_int():
    """torch.device(0) is a card: from 2.0 on C++ refuses that where there is none."""
    real = torch.device
    try:
        if real(0).type == "cuda":
            return
    except RuntimeError:
        pass

    class Meta(type):
        def __instancecheck__(cls, x):
            return isinstance(x, real)

        def __eq__(cls, other):
            return other is real or other is cls

        def __hash__(cls):
            return hash(real)

    class device(metaclass=Meta):
        """torch.device"""

        def __new__(cls, *args, **kwargs):
            if args and type(args[0]) is int and not kwargs:
                return real("cuda", args[0])
            return real(*args, **kwargs)

    device.__module__ = "torch"
    torch.device = device
