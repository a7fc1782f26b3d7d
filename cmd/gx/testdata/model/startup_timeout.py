"""startup_timeout= counts a container's start: the import of its module too."""

import os
import time

import gx

app = gx.App("startup-timeout")

if os.environ.get("GX_FUNCTION") == "hangs_in_import":
    print("importing something endless")
    time.sleep(1000)


@app.function(startup_timeout=2)
def hangs_in_import():
    pass


@app.function(startup_timeout=30)
def fine():
    return "fine"


@app.local_entrypoint()
def main():
    began = time.monotonic()
    try:
        hangs_in_import.remote()
    except gx.exception.ExecutionError as error:
        text = str(error)
        assert "startup_timeout of 2s" in text and "hangs_in_import" in text, text
        assert "importing something endless" in text, text  # what it printed last
    else:
        raise AssertionError("it came up")
    assert 1.9 < time.monotonic() - began < 20, time.monotonic() - began
    answers = list(hangs_in_import.map([], return_exceptions=True))
    assert answers == []
    assert fine.remote() == "fine"
    print("ok")
