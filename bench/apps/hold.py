"""A container that stays until its input is closed, so that its file system can be copied."""

import sys

import gx

app = gx.App("bench-hold")


@app.function()
def hold(seconds: float):
    import time

    time.sleep(seconds)


@app.local_entrypoint()
def main():
    call = hold.spawn(120)
    print("holding", flush=True)
    sys.stdin.read()
    call.cancel()
