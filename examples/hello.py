"""The smallest app: one function, run in a container.

    gx run examples/hello.py
    gx run examples/hello.py --name Ada
    gx run examples/hello.py::greet --name Ada
"""

import platform

import gx

app = gx.App("hello")


@app.function()
def greet(name: str = "world") -> str:
    print(f"greeting {name} from {platform.node()}")
    return f"Hello, {name}! This is Python {platform.python_version()} in a container."


@app.local_entrypoint()
def main(name: str = "world"):
    print(greet.remote(name))
