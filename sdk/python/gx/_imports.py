"""Blocks of imports that only the containers of an image can do."""

from __future__ import annotations

from gx._place import at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Optional, Type

    from gx.image import Image


class Imports:
    """See ``Image.imports``."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if self._image._import_error is None:
            self._image._import_error = error
        if not isinstance(error, ImportError) and traceback is not None:
            from gx._notices import notice

            what, place = f"{type(error).__name__}: {error}", (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
            notice(f"what `with image.imports()` has raised is left to the containers of that image: {what} {at(place)}")
        return True
