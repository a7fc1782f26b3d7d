"""What cannot run without a card, and says so when it is first used."""

import functools
import os
import sys

import torch
from gx_cuda import VARIABLE, cards


class GPUEmulationError(RuntimeError):
    """Something needs a real GPU, and this container's is emulated."""


def error(what, why):
    """The one text for all of them."""
    try:
        card = cards.cards()[cards.current()].facts.name
    except Exception:
        card = "GPU"
    where = _where()
    return GPUEmulationError(
        f"{what} cannot run on the emulated {card}: {why}, and there is no GPU in this container.\n"
        "  What to do: run it on a machine with a real card (gx run --host NAME), or leave it out where "
        f"the environment has {VARIABLE}.\n"
        + (f"  Used in: {where}\n" if where else "")
    )


_KERNEL = "it executes machine code for NVIDIA GPUs"


def _where():
    """The user's line: the innermost one outside of installed packages."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "site-packages" not in name and "dist-packages" not in name and "gx_cuda" not in name and name[:1] != "<":
            if os.path.dirname(os.__file__) not in name and "/__gx/" not in name:
                return f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return ""


def _refuse(what, why=_KERNEL):
    def refused(*args, **kwargs):
        raise error(what, why)

    return refused


def triton(module):
    """triton.runtime.jit: a kernel is refused when it is launched."""

    def run(self, *args, **kwargs):
        name = getattr(self, "__name__", None) or getattr(getattr(self, "fn", None), "__name__", "?")
        raise error(f"The Triton kernel {name!r}", _KERNEL)

    kernel = getattr(module, "JITFunction", None)
    if kernel is not None:
        kernel.run = run
        kernel.warmup = run


def kernels(module):
    """A package of CUDA kernels: its public functions are refused when they are called."""
    for name, value in list(vars(module).items()):
        if name[0] == "_":
            continue
        if callable(value) and not isinstance(value, type):
            try:
                setattr(module, name, functools.wraps(value)(_refuse(f"{module.__name__}.{name}")))
            except (AttributeError, TypeError):
                pass
        elif isinstance(value, type) and issubclass(value, (torch.nn.Module, torch.autograd.Function)):
            _refuse_class(module.__name__, value)


def _refuse_class(package, kind):
    what = f"{package}.{kind.__name__}"
    if issubclass(kind, torch.nn.Module):
        kind.__init__ = _refuse(what)
    else:
        kind.apply = _refuse(what)


def bitsandbytes(module):
    """bitsandbytes: its 4 and 8 bit layers and its optimisers are CUDA kernels."""

    def refuse(place, name):
        found = getattr(place, name, None)
        if isinstance(found, type):
            found.__init__ = _refuse(f"bitsandbytes.nn.{name}")

    nn = getattr(module, "nn", None)
    for name in ("Linear4bit", "LinearFP4", "LinearNF4", "Linear8bitLt", "Params4bit", "Int8Params"):
        if nn is None:
            break
        refuse_class = getattr(nn, name, None)
        if refuse_class is None:
            continue
        if name in ("Params4bit", "Int8Params"):
            refuse_class.cuda = refuse_class.to = _refuse(f"bitsandbytes.nn.{name} (4 or 8 bit weights)")
        else:
            refuse(nn, name)
    optim = getattr(module, "optim", None)
    for name, value in list(vars(optim).items()) if optim is not None else ():
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer):
            value.step = _refuse(f"bitsandbytes.optim.{name}")
    functional = getattr(module, "functional", None)
    for name in ("quantize_4bit", "dequantize_4bit", "quantize_blockwise", "dequantize_blockwise", "igemmlt", "gemv_4bit"):
        if functional is not None and hasattr(functional, name):
            setattr(functional, name, _refuse(f"bitsandbytes.functional.{name}"))


def engine(module):
    """A library that drives the GPU itself: refused at the first thing that is made with it."""
    name = module.__name__

    for attribute in ("LLM", "AsyncLLMEngine", "LLMEngine", "AsyncEngineArgs", "array", "zeros", "ones", "asarray", "Builder", "Runtime"):
        found = vars(module).get(attribute)
        if found is not None:
            setattr(module, attribute, _refuse(f"{name}.{attribute}", "it drives NVIDIA GPUs itself"))


def patch():
    """What torch itself has of that kind."""
    cuda = torch.cuda
    for name in ("CUDAGraph", "graph", "make_graphed_callables"):
        if hasattr(cuda, name):
            setattr(cuda, name, type(name, (), {"__init__": _refuse(f"torch.cuda.{name}", "it records the work of a GPU")})
                    if name != "make_graphed_callables" else _refuse(f"torch.cuda.{name}", "it records the work of a GPU"))  # fmt: skip
    if "torch.cuda.graphs" in sys.modules:
        for name in ("CUDAGraph", "graph", "make_graphed_callables"):
            if hasattr(cuda.graphs, name):
                setattr(cuda.graphs, name, getattr(cuda, name))


def extension(module):
    """torch.utils.cpp_extension: CUDA sources are refused when they are to be compiled."""

    def wrap(name):
        original = getattr(module, name)

        @functools.wraps(original)
        def load(*args, **kwargs):
            sources = kwargs.get("sources", args[1] if len(args) > 1 else ())
            sources = [sources] if isinstance(sources, str) else list(sources or ())
            cuda = kwargs.get("cuda_sources") or [s for s in sources if str(s).endswith((".cu", ".cuh"))]
            if cuda or kwargs.get("with_cuda"):
                extension_name = kwargs.get("name", args[0] if args else "?")
                raise error(f"The CUDA extension {extension_name!r}", _KERNEL)
            return original(*args, **kwargs)

        setattr(module, name, load)

    for name in ("load", "load_inline"):
        wrap(name)
