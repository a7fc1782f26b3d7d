"""The SDK's version, which is gx's."""

__version__ = "0.1.0"
