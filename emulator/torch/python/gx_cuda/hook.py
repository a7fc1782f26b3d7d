"""Finds out when a module is imported that is to be changed, and has it changed then.

Nothing is imported ahead of time: a finder at the head of sys.meta_path lets
the others find a watched module and has its loader call a function at the end.
"""

import sys

# Modules, and "module:function" of what to call with each once it is executed.
_WATCHED = {
    "torch": "gx_cuda.patch:patch",
    "torch.utils.cpp_extension": "gx_cuda.refusals:extension",
    "triton.runtime.jit": "gx_cuda.refusals:triton",
    "bitsandbytes": "gx_cuda.refusals:bitsandbytes",
    "flash_attn": "gx_cuda.refusals:kernels",
    "xformers.ops": "gx_cuda.refusals:kernels",
    "mamba_ssm": "gx_cuda.refusals:kernels",
    "causal_conv1d": "gx_cuda.refusals:kernels",
    "apex": "gx_cuda.refusals:kernels",
    "vllm": "gx_cuda.refusals:engine",
    "cupy": "gx_cuda.refusals:engine",
    "tensorrt": "gx_cuda.refusals:engine",
}

# Modules, and "module:context manager" of what to execute them in.
_AROUND = {"torch._dynamo.device_interface": "gx_cuda.streams:originals"}


class Finder:
    """A finder that finds nothing by itself."""

    def find_spec(self, name, path=None, target=None):
        if name not in _WATCHED and name not in _AROUND:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    _follow(spec.loader, name)
                return spec
        return None


def _follow(loader, name):
    """Has the loader's exec_module call what is to be called, and be as before."""

    def exec_module(module):
        try:
            del loader.exec_module
        except AttributeError:
            pass
        if name in _AROUND and "gx_cuda.streams" in sys.modules:
            with _named(_AROUND[name])():
                loader.exec_module(module)
        else:
            loader.exec_module(module)
        if name in _WATCHED:
            _named(_WATCHED[name])(module)

    try:
        loader.exec_module = exec_module
    except AttributeError:
        pass  # a loader of C; such modules are not among the watched


def _named(text):
    place, _, function = text.partition(":")
    __import__(place)
    return getattr(sys.modules[place], function)


def install():
    """Begins to watch; changes at once what is imported already."""
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, Finder())
    for name in _WATCHED:
        module = sys.modules.get(name)
        if module is not None:
            _named(_WATCHED[name])(module)
