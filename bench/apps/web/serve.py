"""The applications as web endpoints, until standard input ends. Prints where they are."""

import json
import sys

import applications
import gx

app = gx.App("bench-web")
image = gx.Image.debian_slim().pip_install("fastapi", "uvicorn[standard]")


@app.function(image=image, cpu=1, max_containers=1, min_containers=1)
@gx.concurrent(max_inputs=300)
@gx.asgi_app()
def bare():
    return applications.bare


@app.function(image=image, cpu=1, max_containers=1, min_containers=1)
@gx.concurrent(max_inputs=300)
@gx.asgi_app()
def fast():
    return applications.fast()


@app.local_entrypoint()
def main():
    print(json.dumps({"bare": bare.get_web_url(), "fast": fast.get_web_url()}), flush=True)
    sys.stdin.read()
