"""startup_timeout= counts a container's start: the import of its module, and enter hooks."""

import os
import time

import gx

app = gx.App("startup-timeout")

if os.environ.get("GX_FUNCTION") == "hangs_in_import":
    print("importing something endless")
    time.sleep(1000)


@app.function(startup_timeout=5)
def hangs_in_import():
    pass


@app.cls(startup_timeout=5)
class HangsInEnter:
    @gx.enter()
    def begin(self):
        print("entering something endless")
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                pass

    @gx.method()
    def f(self):
        pass


@app.cls(startup_timeout=5)
class HangsInAsyncEnter:
    @gx.enter()
    async def begin(self):
        import asyncio

        await asyncio.sleep(1000)

    @gx.method()
    async def f(self):
        pass


@app.cls()
class RaisesInEnter:
    @gx.enter()
    def begin(self):
        raise ValueError("this card is not there")

    @gx.method()
    def f(self):
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
        assert "startup_timeout of 5s" in text and "hangs_in_import" in text, text
        assert "importing something endless" in text, text  # what it printed last
    else:
        raise AssertionError("it came up")
    assert 4.9 < time.monotonic() - began < 40, time.monotonic() - began
    for cls in (HangsInEnter, HangsInAsyncEnter):
        began = time.monotonic()
        try:
            cls().f.remote()
        except gx.exception.ExecutionError as error:
            assert "startup_timeout of 5s" in str(error) and "enter hooks" in str(error), error
        else:
            raise AssertionError("it came up")
        assert 4.9 < time.monotonic() - began < 40, time.monotonic() - began
    try:
        RaisesInEnter().f.remote()
    except ValueError as error:
        assert "not there" in str(error)
    else:
        raise AssertionError("it came up")
    assert fine.remote() == "fine"
    print("ok")
