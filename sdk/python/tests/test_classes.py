"""Classes: what is wrong with them, what the host is told of them, and how instances behave here."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
from pathlib import Path
from typing import Any, Callable, List

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import client_host  # noqa: E402

import gx  # noqa: E402
from gx._manifest import manifest  # noqa: E402
from gx._parameters import pickled  # noqa: E402
from gx.exception import InvalidError, SerializationError  # noqa: E402

app = gx.App("classes")


class Base:
    word: str = gx.parameter(default="hello")
    kind: str = gx.parameter(default="none", init=False)

    @gx.enter()
    def begin(self) -> None:
        self.steps.append("base enter")

    @gx.exit()
    def end(self) -> None:
        pass

    @gx.method()
    def greet(self, name: str) -> str:
        return f"{self.word} {name}"

    @gx.method()
    def over(self) -> str:
        return "base"


@app.cls(cpu=2, scaledown_window=5)
@gx.concurrent(max_inputs=4)
class Model(Base):
    size: int = gx.parameter()
    scale: "float" = gx.parameter(default=1)

    @gx.enter(snap=True)
    def load(self) -> None:
        self.steps: List[str] = ["snap"]

    @gx.method()
    def add(self, x: int, y: int = 0) -> int:
        return self.size + x + y

    @gx.method()
    def over(self) -> str:
        return "model over " + super().over()

    @gx.method()
    def both(self, x: int) -> Any:
        return self.add(x), self.add.local(x), self.plain(x)

    @gx.method()
    def count(self, n: int) -> Any:
        yield from range(n)

    @gx.method()
    async def later(self) -> List[str]:
        await asyncio.sleep(0)
        return self.steps

    @gx.method(is_generator=True)
    def looks_plain(self) -> Any:
        return iter([1])

    def plain(self, x: int) -> int:
        return x + self.size


@app.cls()
class Older:
    made = 0

    def __init__(self, name: str, /, times: int = 2, *more: int, flag: bool = False, **options: Any) -> None:
        Older._raw.made += 1
        self.all = (name, times, more, flag, options)

    @gx.method()
    def get(self) -> Any:
        return self.all


@app.cls()
class Async:
    @gx.enter()
    async def begin(self) -> None:
        await asyncio.sleep(0)
        self.loop = asyncio.get_running_loop()

    @gx.method()
    async def same_loop(self) -> bool:
        return self.loop is asyncio.get_running_loop()

    @gx.method()
    async def items(self) -> Any:
        yield self.loop is asyncio.get_running_loop()

    @gx.method()
    def plain(self) -> bool:
        return self.loop.is_closed()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A host that runs the classes of this module, to which the app is attached."""
    made = client_host.Host(Model=Model._raw, Older=Older._raw, Async=Async._raw)
    client = made.client()
    app._attach(None, client, "ap-1", {name: name for name in made.functions})
    yield made
    app._attach(None, None, None, {})
    client.close()
    made.close()


# -- what the host is told --


def test_manifest() -> None:
    functions = {function["name"]: function for function in manifest(app)["functions"]}
    model = functions["Model"]
    assert model["class"] is True and model["module"] == __name__ and model["qualname"] == "Model"
    assert model["concurrency"] == 4 and model["cpu"] == {"request": 2.0} and model["scaling"] == {"window": 5.0}
    assert model["methods"] == [
        {"name": "greet"}, {"name": "over"}, {"name": "add"}, {"name": "both"}, {"name": "count", "generator": True},
        {"name": "later"}, {"name": "looks_plain", "generator": True},
    ]  # fmt: skip
    assert model["file"].endswith("test_classes.py") and model["line"] > 1
    assert model["parametrized"] is True and "parametrized" not in functions["Async"] and functions["Older"]["parametrized"]
    assert "generator" not in model and "batch" not in model
    assert app.registered_classes["Model"] is Model and "Model" not in app.registered_functions


def test_parameters_that_a_query_gives() -> None:
    own = gx.App("queried")

    @own.cls(serialized=True)
    class Queried:
        name: str = gx.parameter()
        times: int = gx.parameter(default=3)
        rate: float = gx.parameter(default=1)
        fast: bool = gx.parameter(default=True)
        key: bytes = gx.parameter(default=b"")

        @gx.asgi_app()
        def web(self) -> Any: ...

    kind = {function["name"]: function for function in manifest(own)["functions"]}["Queried"]
    assert kind["parametrized"] is True and kind["parameters"] == [
        {"name": "name", "type": "str"},
        {"name": "times", "type": "int", "default": "3"},
        {"name": "rate", "type": "float", "default": "1.0"},
        {"name": "fast", "type": "bool", "default": "true"},
    ]
    assert "parameters" not in {function["name"]: function for function in manifest(app)["functions"]}["Model"]

    from gx._parameters import pickled, query

    given = pickled((), {"name": "a&b é", "fast": False, "key": b"x"})
    assert query(given, ["name", "times", "fast"]) == "?name=a%26b+%C3%A9&fast=false"
    assert query(b"", ["name"]) == "" == query(pickled((), {"key": b"x"}), ["name"])


def test_parameters_that_no_query_gives() -> None:
    own = gx.App("refused")
    with pytest.raises(gx.exception.InvalidError, match="'key' is bytes, which no query can give: give it a default"):

        @own.cls(serialized=True)
        class Sealed:
            key: bytes = gx.parameter()

            @gx.asgi_app()
            def web(self) -> Any: ...

    with pytest.raises(gx.exception.InvalidError, match="nobody could give its __init__ what it needs"):

        @own.cls(serialized=True)
        class Older:
            def __init__(self, x: int) -> None: ...

            @gx.asgi_app()
            def web(self) -> Any: ...


def test_batched_in_the_manifest() -> None:
    own = gx.App("batched")

    @own.cls(serialized=True)
    class Batched:
        @gx.method()
        @gx.batched(max_batch_size=8, wait_ms=20)
        def m(self, xs: List[int]) -> List[int]:
            return xs

    @own.function(serialized=True)
    @gx.concurrent(max_inputs=3)
    @gx.batched(max_batch_size=5, wait_ms=0)
    def f(xs: List[int]) -> List[int]:
        return xs

    assert Batched._settings.manifest()["batch"] == {"size": 8, "wait": 20}
    assert f._settings.manifest()["batch"] == {"size": 5, "wait": 0} and f._settings.manifest()["concurrency"] == 3
    assert Batched().m([1]) == [1] == f([1]) == f.local([1])


def test_older_names() -> None:
    own = gx.App("older")

    class Plain:
        @gx.method()
        def m(self) -> None: ...

    older = own.cls(serialized=True, keep_warm=1, concurrency_limit=2, container_idle_timeout=3, allow_concurrent_inputs=4)
    made = older(Plain)._settings.manifest()
    assert made["scaling"] == {"min": 1, "max": 2, "window": 3.0} and made["concurrency"] == 4


def test_include() -> None:
    outer = gx.App("outer").include(app)
    assert outer.registered_classes == app.registered_classes
    other = gx.App("other")
    other.cls(serialized=True)(type("Model", (), {"__module__": __name__, "m": marked}))
    with pytest.raises(InvalidError, match="both have a function or class 'Model'"):
        outer.include(other)


# -- what is wrong --


def wrong_function_on_method() -> None:
    class C:
        @app.function()
        def m(self) -> None: ...


def in_class(**members: Any) -> Callable[[], Any]:
    def make() -> Any:
        return gx.App("x").cls(serialized=True)(type("C", (), {"__module__": __name__, **members}))

    return make


def m(self: Any) -> None: ...


def two(self: Any, x: int) -> None: ...


def generates(self: Any) -> Any:
    yield 1


marked = gx.method()(m)
batch = gx.batched(max_batch_size=2, wait_ms=1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (wrong_function_on_method, "@gx.method()"),
        (in_class(), "no method that can be called"),
        (in_class(m=m, e=gx.enter()(m)), "no method that can be called"),
        (in_class(m=gx.App("y").function(serialized=True)(m)), "use @gx.method()"),
        (in_class(m=marked, __enter__=m), "__enter__ has no meaning.*@gx.enter"),
        (in_class(m=marked, __aexit__=m), "__aexit__ has no meaning.*@gx.exit"),
        (in_class(m=marked, e=gx.enter()(two)), "takes no argument but self; it has x"),
        (in_class(m=marked, e=gx.exit()(generates)), "can't be a generator"),
        (in_class(m=batch(m), n=batch(two)), "2 batched methods"),
        (in_class(m=batch(m), n=marked), "can have no other"),
        (in_class(m=batch(generates)), "can't be a generator"),
        (in_class(m=gx.batched(max_batch_size=0, wait_ms=1)(m)), "max_batch_size=0"),
        (in_class(m=gx.batched(max_batch_size=1, wait_ms=-1)(m)), "wait_ms=-1"),
        (in_class(m=gx.method()(gx.concurrent(max_inputs=2)(m))), "goes on the class"),
        (in_class(m=marked, p=gx.parameter()), "needs a type: p: int"),
        (in_class(m=marked, p=gx.parameter(), __annotations__={"p": list}), "annotated as list"),
        (in_class(m=marked, p=gx.parameter(), __annotations__={"p": "Nowhere"}), "annotated as Nowhere"),
        (in_class(m=marked, p=gx.parameter(default="x"), __annotations__={"p": int}), "its default 'x' is not"),
        (in_class(m=marked, p=gx.parameter(), __annotations__={"p": int}, __init__=m), "both __init__ and parameters"),
        (in_class(update_autoscaler=marked), "can't be called update_autoscaler"),
        (lambda: gx.parameter(3), r"parameter\(default=3\)"),
        (lambda: gx.parameter(init=False), "needs a default"),
        (lambda: gx.method(m), r"@gx.method\(\)"),
        (lambda: gx.enter(m), r"@gx.enter\(\)"),
        (lambda: gx.exit(m), r"@gx.exit\(\)"),
        (lambda: gx.batched(m), "needs both numbers"),
        (lambda: gx.batched(max_batch_size=3), "needs both numbers"),
        (lambda: gx.build(), "run_function"),
        (lambda: app.cls(Model._raw), r"@app.cls\(\)"),
        (lambda: app.cls()(Model), "two decorators"),
        (lambda: app.cls()(m), "use @app.function"),
        (lambda: app.cls()(3), "not on a int"),
        (lambda: app.function()(Model._raw), "use @app.cls"),
        (lambda: app.function()(Model), "use @app.cls"),
        (lambda: app.function()(marked), r"@gx.method\(\)"),
        (lambda: app.cls(name="x")(Model._raw), "no parameter name="),
        (lambda: app.cls(shedule=1)(Model._raw), "no parameter shedule="),
        (lambda: gx.concurrent(max_inputs=2)(Model), r"below @app.cls\(\)"),
        (lambda: gx.batched(max_batch_size=2, wait_ms=1)(Model._raw), "not on a class"),
        (lambda: gx.method()(Model._raw), "not on a class"),
        (lambda: gx.method()(staticmethod(m)), "not on a staticmethod"),
        (lambda: gx.method()(gx.enter()(m)), r"@gx.enter\(\) and @gx.method\(\)"),
        (lambda: gx.exit()(batch(m)), r"@gx.exit\(\) and @gx.batched\(\)"),
        (lambda: gx.App("z").function(serialized=True)(batch(generates)), "can't be a generator"),
        (lambda: Model(), "needs a value for its parameter 'size'"),
        (lambda: Model(size=1, sise=2), "no parameter 'sise'; it has word, size, scale"),
        (lambda: Model(size=1, kind="x"), "no parameter 'kind'"),
        (lambda: Model(3), r"by name: Model\(word=3\)"),
        (lambda: Model(size="3"), "'size' is an int, and got '3', a str"),
        (lambda: Model(size=True), "'size' is an int, and got True"),
        (lambda: Older(), "needs a value for 'name'"),
        (lambda: Async(1), "Async has no parameters"),
        (lambda: Model.add.remote(1), "needs an instance"),
        (lambda: Model.with_options(gpus="T4"), "no parameter gpus="),
        (lambda: Model.with_concurrency(max_inputs=0), "max_inputs=0"),
        (lambda: gx.App("g").function(serialized=True)(generates).with_batching(max_batch_size=2, wait_ms=1), "generator"),
        (lambda: Model.with_batching(max_batch_size=0, wait_ms=1), "max_batch_size=0"),
    ],
)
def test_wrong(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text) as caught:
        make()
    assert "test_classes.py" in str(caught.value) or "needs an instance" in text, "it says where"


def test_class_within_a_function_needs_serialized() -> None:
    class C:
        @gx.method()
        def m(self) -> None: ...

    with pytest.raises(InvalidError, match="inside a function"):
        app.cls()(C)


def test_names_are_unique() -> None:
    own = gx.App("names")
    own.cls(serialized=True)(Older._raw)
    with pytest.raises(InvalidError, match="function and a class named 'Older'"):
        own.function(name="Older", serialized=True)(m)


# -- parameters --


def params(instance: Any) -> bytes:
    return instance._gx_bytes()  # type: ignore[no-any-return]


def test_equal_parameters_are_equal_bytes() -> None:
    text = "".join(["a", "b"])  # not the same object as "ab"
    assert params(Model(size=7, word="ab", scale=2)) == params(Model(scale=2.0, word=text, size=7))
    assert params(Model(size=7, word="ab")) == params(Model(size=7, word="ab", scale=1.0)), "defaults say nothing"
    assert params(Model(size=7)) != params(Model(size=8))
    assert params(Async()) == b""
    assert pickle.loads(params(Model(size=7, word="b", scale=2))) == ((), {"scale": 2.0, "size": 7, "word": "b"})
    assert list(pickle.loads(params(Model(word="b", scale=2, size=7)))[1]) == ["scale", "size", "word"]
    assert pickled(("x", "x"), {}) == pickled(("x", "".join("x")), {})


def test_constructor_parameters_are_canonical() -> None:
    cases = [
        (("n",), {}, (("n",), {})),
        (("n", 2), {}, (("n",), {})),
        (("n", 3), {}, (("n",), {"times": 3})),
        (("n",), {"flag": False, "times": 3}, (("n",), {"times": 3})),
        (("n", 2, 5), {"flag": True, "z": 1, "a": 2}, (("n", 2, 5), {"a": 2, "flag": True, "z": 1})),
    ]
    for args, kwargs, canonical in cases:
        instance = Older(*args, **kwargs)
        assert instance._gx_arguments == canonical
        assert Older._raw(*args, **kwargs).all == Older._raw(*canonical[0], **canonical[1]).all, "the same instance"


def test_parameters_that_refer_to_themselves_or_cannot_be_pickled() -> None:
    endless: List[Any] = []
    endless.append(endless)
    assert pickle.loads(params(Older("n", endless)))[1]["times"][0]
    with pytest.raises(SerializationError, match="'times'"):
        params(Older("n", threading.Lock()))


# -- remotely --


def test_methods_are_called_with_their_parameters(host: Any) -> None:
    model = Model(size=10)
    assert model.add.remote(1, y=2) == 13
    assert list(model.add.map([1, 2])) == [11, 12]
    assert model.greet.remote("you") == "hello you"
    assert list(model.count.remote_gen(3)) == [0, 1, 2]
    assert asyncio.run(model.add.remote.aio(5)) == 15
    assert model.over.remote() == "model over base"
    opened = list(host.opened.values())
    assert [o["method"] for o in opened] == ["add", "add", "greet", "count", "add", "over"]
    assert {o["function"] for o in opened} == {"Model"} and len({o["params"] for o in opened}) == 1
    assert Older("n", 3).get.remote() == ("n", 3, (), False, {})
    with pytest.raises(InvalidError, match=r"Model.count.remote_gen"):
        model.count.remote(3)


def test_variants_send_their_options(host: Any) -> None:
    base = Model(size=1)
    variant = Model.with_options(cpu=1, env={"B": "2", "A": "1"}).with_concurrency(max_inputs=3).with_options(env={"C": "3"})
    batched = Model.with_batching(max_batch_size=4, wait_ms=10)
    for instance in (base, variant(size=1), batched(size=1)):
        assert instance.add.remote(1) == 2
    assert base.add.with_options(memory=64).remote(1) == 2
    options = [o.get("options") for o in host.opened.values()]
    assert options[0] is None
    assert options[1] == {"concurrency": 3, "cpu": {"request": 1.0}, "env": {"A": "1", "B": "2", "C": "3"}}
    assert options[2] == {"batch": {"size": 4, "wait": 10}}
    assert options[3] == {"memory": {"request": 64.0}}
    assert len({o["params"] for o in host.opened.values()}) == 1


def test_instances_and_classes_are_arguments(host: Any) -> None:
    model = pickle.loads(pickle.dumps(Model(size=3)))
    assert model.add.remote(1) == 4 and params(model) == params(Model(size=3))
    assert pickle.loads(pickle.dumps(Model)) is Model
    variant = pickle.loads(pickle.dumps(Model.with_options(cpu=1)))
    assert variant._options == {"cpu": {"request": 1.0}}
    method = pickle.loads(pickle.dumps(Model(size=3).add))
    assert method.remote(2) == 5 and method.local(2) == 5


def test_without_a_running_app() -> None:
    with pytest.raises(gx.exception.ExecutionError, match="Model.add can't be called remotely"):
        Model(size=1).add.remote(1)


# -- here --


def test_local_use_runs_enter_hooks_once() -> None:
    model = Model(size=5)
    assert model.size == 5 and model.word == "hello" and model.kind == "none", "before any hook has run"
    with pytest.raises(AttributeError, match="enter hooks"):
        _ = model.steps
    assert model.add.local(1) == 6 and model.add(1, y=1) == 7
    assert model.steps == ["snap", "base enter"]
    assert model.both(2) == (7, 7, 7) and model.steps == ["snap", "base enter"]
    assert model.plain(1) == 6
    assert list(model.count.local(2)) == [0, 1]
    assert model.over() == "model over base"
    assert asyncio.run(model.later.local()) == ["snap", "base enter"]
    assert Model(size=5).plain(1) == 6, "a plain method enters as well"


def test_attributes() -> None:
    model = Model(size=5)
    with pytest.raises(AttributeError, match="did you mean 'add'"):
        _ = model.ad
    model.extra = 3
    assert model.extra == 3 and "_gx_local" in vars(model) and "extra" not in vars(model)
    assert not hasattr(model, "__fspath__") and not hasattr(Model, "__fspath__")
    assert repr(model) == "Model(size=5)" and repr(Model) == "gx.Cls('Model')"
    assert Older.made == Older._raw.made


def test_instances_are_made_once() -> None:
    older = Older("n")
    before = Older._raw.made
    threads = [threading.Thread(target=older.get.local) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Older._raw.made == before + 1


def test_async_hooks_run_on_the_callers_loop() -> None:
    async def use(instance: Any) -> None:
        assert await instance.same_loop.local()
        assert [item async for item in instance.items.local()] == [True]

    asyncio.run(use(Async()))

    async def items_first(instance: Any) -> None:
        assert [item async for item in instance.items()] == [True]

    asyncio.run(items_first(Async()))
    assert Async().plain.local() is True

    async def plain(instance: Any) -> None:
        instance.plain()

    with pytest.raises(InvalidError, match="await an async method first"):
        asyncio.run(plain(Async()))


def test_hook_that_fails_is_tried_again() -> None:
    own = gx.App("again")

    @own.cls(serialized=True)
    class Flaky:
        tries = 0

        @gx.enter()
        def begin(self) -> None:
            type(self).tries += 1
            if self.tries == 1:
                raise ValueError("first")

        @gx.method()
        def m(self) -> int:
            return self.tries

    instance = Flaky()
    with pytest.raises(ValueError, match="first"):
        instance.m.local()
    assert instance.m.local() == 2


def test_plain_instances_of_the_users_class() -> None:
    """As in a unit test of the user's, who takes the class without its app."""
    base = Base(word="hi") if Base.__init__ is not object.__init__ else Base()
    base.word = "hi"
    assert base.greet("you") == "hi you"
    derived = Model._raw(size=2)
    assert derived.add(1) == 3


def test_class_as_base_of_a_class() -> None:
    own = gx.App("derived")

    @own.cls(serialized=True)
    class More(Model):
        extra: int = gx.parameter(default=0)

        @gx.method()
        def add(self, x: int, y: int = 0) -> int:
            return super().add(x, y) + self.extra

    assert More(size=1, extra=10).add(1) == 12
    assert [method["name"] for method in More._methods()][:2] == ["greet", "over"]
    assert issubclass(More._raw, Model._raw)
