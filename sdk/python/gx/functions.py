"""The older name of ``gx.function``."""

from gx.function import Function as Function
from gx.function import FunctionCall as FunctionCall

__all__ = ["Function", "FunctionCall"]
