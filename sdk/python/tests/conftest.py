"""What all tests have."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Ctrl-C raises KeyboardInterrupt, also in a run that a shell has started in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
