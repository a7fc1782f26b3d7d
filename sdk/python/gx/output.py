"""What running apps show."""

from gx._session import enable_output as enable_output

__all__ = ["enable_output"]
