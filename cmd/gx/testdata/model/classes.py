# both
"""Classes in containers: lifecycle, parameters, inheritance, methods that call methods."""

import os

import gx

app = gx.App("classes")


class Greeting:
    """A mixin: its hooks run first, its methods are methods."""

    word: str = gx.parameter(default="hello")

    @gx.enter()
    def greet(self):
        self.steps.append("mixin enter")

    @gx.method()
    def hello(self, name):
        return f"{self.word}, {name}"

    @gx.method()
    def described(self):
        return "mixin"


@app.cls()
class Model(Greeting):
    size: int = gx.parameter(default=1)
    scale: float = gx.parameter(default=1.0)

    @gx.enter(snap=True)
    def load(self):
        self.steps = ["snap"]
        self.pid = os.getpid()

    @gx.enter()
    def warm(self):
        self.steps.append(f"enter {self.size}")

    @gx.method()
    def info(self):
        return self.size, self.scale, self.word, self.steps

    @gx.method()
    def where(self, _=None):
        return os.environ.get("GX_CONTAINER_ID") or os.uname().nodename

    @gx.method()
    def add(self, x, y=0):
        return self.size + x + y

    @gx.method()
    def described(self):
        return "model over " + super().described()

    @gx.method()
    def calls_itself(self, x):
        same = self.add(x) == self.add.local(x) == self.plain(x)
        return same, self.add.remote(x), list(self.add.map([x, x + 1])), self.size

    def plain(self, x):
        return self.size + x

    @gx.method()
    def count(self, n):
        for i in range(n):
            yield i * self.size

    @gx.method()
    async def later(self, x):
        import asyncio

        await asyncio.sleep(0.001)
        return x, self.size, await self.add.remote.aio(1)

    @gx.method()
    async def letters(self, text):
        for letter in text:
            yield letter

    @gx.method()
    def fails(self):
        raise ValueError(f"size {self.size}")


@app.cls()
class Older:
    """Parameters by __init__, as older code has them."""

    def __init__(self, name, *, times=2):
        self.name, self.times = name, times
        self.made_in = "local" if gx.is_local() else "container"

    @gx.method()
    def text(self):
        return self.name * self.times, self.made_in


@app.cls()
class Derived(Older):
    @gx.method()
    def text(self):
        return "derived " + self.name


@app.cls()
class Single:
    @gx.method()
    def twice(self, x):
        return 2 * x


@app.function()
def uses(model, x):
    return model.add.remote(x), Model(size=100).add.remote(x), model.size


@app.local_entrypoint()
def main():
    model = Model()
    assert model.info.remote() == (1, 1.0, "hello", ["snap", "mixin enter", "enter 1"]), model.info.remote()
    assert model.add.remote(2, y=3) == 6
    assert model.hello.remote("you") == "hello, you"
    assert model.described.remote() == "model over mixin"

    # One pool for each set of values, whoever makes the object and however it is written.
    big = Model(size=7, word="hi", scale=2)
    assert big.info.remote() == (7, 2.0, "hi", ["snap", "mixin enter", "enter 7"])
    assert big.where.remote() == Model(scale=2.0, word="hi", size=7).where.remote() != model.where.remote()
    assert Model(size=1).where.remote() == model.where.remote()

    # Every way to call.
    assert list(big.add.map([1, 2, 3])) == [8, 9, 10]
    assert list(big.add.starmap([(1, 1), (2, 2)])) == [9, 11]
    assert big.add.for_each([1]) is None
    assert big.add.spawn(1).get() == 8
    assert list(big.add.spawn_map([1, 2]).iter()) == [8, 9]
    assert list(big.count.remote_gen(3)) == [0, 7, 14]
    assert list(big.letters.remote_gen("abc")) == ["a", "b", "c"]
    assert big.later.remote(1) == (1, 7, 8)
    assert big.calls_itself.remote(1) == (True, 8, [8, 9], 7)
    try:
        big.fails.remote()
        raise AssertionError("it did not raise")
    except ValueError as error:
        assert str(error) == "size 7"

    # Here.
    assert big.add.local(1) == 8 and big.add(1) == 8 and big.size == 7
    assert big.info.local()[3] == ["snap", "mixin enter", "enter 7"] == big.info.local()[3]
    assert list(big.count.local(2)) == [0, 7]

    # Parameters by __init__.
    assert Older("ab").text.remote() == ("abab", "container")
    assert Older("ab", times=3).text.remote() == Older(times=3, name="ab").text.remote() == ("ababab", "container")
    assert Older("ab").text.local() == ("abab", "local")
    assert Derived("x").text.remote() == "derived x"
    assert Single().twice.remote(4) == 8

    # An object is an argument like others.
    assert uses.remote(big, 1) == (8, 101, 7)

    for wrong, text in (
        (lambda: Model(sise=1), "no parameter 'sise'"), (lambda: Model(3), "by name"), (lambda: Model(size="x"), "is an int"),
        (lambda: Older(), "needs a value for 'name'"), (lambda: Single(1), "no parameters"), (lambda: Model.add.remote(1), "instance"),
    ):  # fmt: skip
        try:
            wrong()
        except gx.exception.InvalidError as error:
            assert text in str(error), error
        else:
            raise AssertionError(f"nothing was raised, but {text!r} was expected")
    print("ok")
