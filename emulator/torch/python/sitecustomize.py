"""Python imports this module at its start, by its name, from PYTHONPATH.

It gives emulated cards to PyTorch, if this process imports PyTorch, and then
lets the sitecustomize come to its turn that it hides.
"""

import sys


def _start() -> None:
    here = __file__.rpartition("/")[0]
    try:
        import gx_cuda

        gx_cuda.install()
    finally:
        from _frozen_importlib_external import PathFinder

        folders = [folder for folder in sys.path if folder != here]
        spec = PathFinder.find_spec("sitecustomize", folders)
        if spec is not None and spec.loader is not None:
            from _frozen_importlib import module_from_spec

            module = module_from_spec(spec)
            sys.modules["sitecustomize"] = module
            spec.loader.exec_module(module)


_start()
