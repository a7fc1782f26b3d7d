"""The app that is run again without a change."""

import gx

app = gx.App("bench-unchanged")


@app.function()
def answer():
    return 42


@app.local_entrypoint()
def main():
    print(answer.remote())
