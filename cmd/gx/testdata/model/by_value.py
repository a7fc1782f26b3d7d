"""Functions and classes that no file has: closures, lambdas, classes made in functions."""

import sys

import gx

app = gx.App("by-value")
base = 10


def make(n):
    def add(x):
        return x + n + base

    return add


def accumulator():
    @app.cls(serialized=True)
    class Accumulator:
        start: int = gx.parameter(default=0)

        @gx.enter()
        def begin(self):
            self.sum = self.start

        @gx.method()
        def add(self, x):
            self.sum += x
            return self.sum

    return Accumulator


add5 = app.function(serialized=True, name="add5")(make(5))
twice = app.function(serialized=True, name="twice")(lambda x: 2 * x)
Accumulator = accumulator()


@app.function()
def version():
    return sys.version_info[:2]


@app.local_entrypoint()
def main():
    if version.remote() != sys.version_info[:2]:
        try:
            add5.remote(1)
        except gx.exception.DeserializationError as error:
            assert "sent by value from Python" in str(error), error
            print("ok")
        return
    assert add5.remote(1) == 16
    assert list(twice.map(range(3))) == [0, 2, 4]
    assert Accumulator(start=3).add.remote(4) == 7
    for mistake in (lambda: app.function()(lambda x: x), lambda: app.function(serialized=True)(lambda x: x), lambda: app.function()(make(1))):
        try:
            mistake()
        except gx.exception.InvalidError as error:
            assert "serialized=True" in str(error), error
        else:
            raise AssertionError
    print("ok")
