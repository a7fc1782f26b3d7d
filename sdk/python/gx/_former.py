"""What Modal's images had without being asked, until 2024: pydantic and FastAPI.

A file of that time imports them, and its images do not install them. That it is
of that time shows in the older names that it uses.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Union

    from gx.cls import Cls
    from gx.function import Function
    from gx.image import Image

_PACKAGES = ("fastapi", "pydantic")  # the first brings the second
# Steps after which it is known which packages an image has been given.
_PLAIN = frozenset(("debian_slim", "pip_install", "apt_install", "env", "workdir", "run_function", "copy"))


def completed(image: Image, function: Union[Function, Cls], webs: List[Any]) -> Image:
    """The image, with what the function's file takes for granted. ``webs`` are the function's web endpoints, as the manifest has them."""
    from gx import _notices

    if not _notices.older_names():
        return image
    wanted = _imported(function._raw.__module__)
    if any([web and web["kind"] == "fastapi" for web in webs]):
        wanted.append("fastapi")
    missing = _missing(image, wanted)
    if not missing:
        return image
    from gx._recipe import Step
    from gx.image import Image

    _notices.notice(
        f"{function._name}: its image gets {missing} as well, which Modal's images had when the older names were current; "
        f'.pip_install("{missing}") is what says so'
    )
    step = Step({"op": "pip_install", "packages": [missing], "options": []}, image._steps[-1].place)
    return Image((*image._steps, step), image._local)


def _imported(name: str) -> List[str]:
    """Which of the packages a module has imported at its top."""
    found = []
    for value in list(vars(sys.modules[name]).values()) if name in sys.modules else []:
        home = value.__name__ if isinstance(value, type(sys)) else value.__module__ if isinstance(value, (type, type(_imported))) else ""
        found.append(str(home).partition(".")[0])
    return [package for package in _PACKAGES if package in found]


def _missing(image: Image, wanted: List[str]) -> str:
    """The package that brings those that are wanted, where the image surely lacks them; "" = none."""
    named = ""
    for step in image._steps:
        op = step.fields["op"]
        if op not in _PLAIN or op == "pip_install" and not step.fields.get("packages"):
            return ""  # it may come from a registry, or from a file
        named += f" {step.fields.get('packages')}"
    for package in _PACKAGES:
        if package in wanted and package not in named and "fastapi" not in named:
            return package
    return ""
