"""Functions that call functions, from inside a container."""

import gx

app = gx.App("nested")


@app.function()
def inner(x):
    return x + 1


@app.function()
def outer(n):
    return sum(inner.map(range(n))) + inner.remote(100)


@app.function()
def fib(n):
    if n < 2:
        return n
    return sum(fib.map([n - 1, n - 2]))
