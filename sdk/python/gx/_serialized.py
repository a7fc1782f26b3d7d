"""Functions and classes that are sent by value, because no file has them: notebooks, closures, lambdas.

What is sent is the version of Python that has made it, and what cloudpickle
makes of the function: byte code, which only that version can run. The user's
own cloudpickle comes along, so that the image does not need one.
"""

from __future__ import annotations

import os
import sys

from gx import _files, _wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple


def without_file(module: str) -> bool:
    """Whether a module is one that no container could import: a notebook, a prompt, ``python -c``."""
    if module != "__main__":
        return False
    from gx._sources import module_place

    return not module_place(module)[1]


def dumps(raw: Any, what: str, asked: bool) -> bytes:
    """A function or class by value; ``asked`` says that serialized=True was. Raises SerializationError."""
    from gx.exception import SerializationError

    try:
        import cloudpickle  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        why = "is declared with serialized=True" if asked else "is defined where no file has it (a notebook, a prompt, `python -c`)"
        raise SerializationError(
            f"{what} {why}, and is sent by value, which needs the package cloudpickle in this Python: "
            f"`{sys.executable or 'python3'} -m pip install cloudpickle`"
            + ("" if asked else "; or move it to a file")
        ) from None
    try:
        return bytes(_wire.dumps((_version(), cloudpickle.dumps(raw))))  # type: ignore[arg-type]
    except Exception as error:
        raise SerializationError(f"{what} can't be sent by value: {type(error).__name__}: {error}") from error


def loads(payload: bytes) -> Any:
    """The function or class. Raises DeserializationError, and what unpickling raises."""
    made, pickled = _wire.loads(payload)
    if tuple(made) != _version():
        from gx.exception import DeserializationError

        raise DeserializationError(
            "it was sent by value from Python %d.%d, and the image has Python %d.%d; byte code of one does not run on the other. "
            'Give the image the same version, as in gx.Image.debian_slim(python_version="%d.%d"), or define it in a file'
            % (*made, *_version(), *made)
        )
    import pickle

    return pickle.loads(pickled)


def files() -> List[Dict[str, Any]]:
    """The user's own cloudpickle, with its places in a container."""
    import cloudpickle  # dumps has found it

    folder = os.path.dirname(os.path.abspath(cloudpickle.__file__))
    names = [name for name in sorted(os.listdir(folder)) if name.endswith(".py")]
    return [_files.entry(os.path.join(folder, name), f"/root/cloudpickle/{name}") for name in names]


def _version() -> Tuple[int, int]:
    return sys.version_info[:2]
