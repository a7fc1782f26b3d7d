# both
"""Dictionaries that functions, containers and this program share."""

import asyncio
import datetime
import threading
import uuid

import gx
from gx.exception import AlreadyExistsError, InvalidError, NotFoundError, RequestSizeError, SerializationError

app = gx.App("dicts")
NAME = f"dicts-{uuid.uuid4().hex[:8]}"


def raised(kind, what, *args, **kwargs):
    try:
        what(*args, **kwargs)
    except kind as error:
        return str(error)
    raise AssertionError(f"{what} raised no {kind}")


class Point:
    def __init__(self, x):
        self.x = x


@app.function()
def count(d, key, n):
    # A dict that is an argument is the same dict.
    d[key] = n
    return d["greeting"], sorted(k for k in d.keys() if isinstance(k, str) and k.startswith("w"))


@app.function()
def claim(name, worker):
    d = gx.Dict.from_name(name)
    return [job for job in range(50) if d.put(f"job {job}", worker, skip_if_exists=True)]


@app.function()
async def coroutines(name):
    d = gx.Dict.from_name(name)
    await d.put.aio("async", 1)
    await asyncio.gather(*[d.put.aio(("many", i), i) for i in range(20)])
    assert sorted([v async for v in d.values.aio()], key=str)
    assert len([k async for k in d.keys.aio() if k[0] == "many"]) == 20
    assert [v async for k, v in d.items.aio() if k == "async"] == [1]
    assert await d.contains.aio("async") and await d.get.aio("none", 7) == 7
    await d.update.aio({"async": 2}, more=3)
    return await d.pop.aio("async"), await d.pop.aio("more"), await d.pop.aio("more", None)


@app.local_entrypoint()
def main():
    # Looked up when it is used.
    d = gx.Dict.from_name(NAME)
    assert NAME in raised(NotFoundError, d.get, "x")
    d = gx.Dict.from_name(NAME, create_if_missing=True, data={"greeting": "hello"})
    assert d["greeting"] == "hello" and d.name == NAME
    assert gx.Dict.from_name(NAME, create_if_missing=True, data={"greeting": "again"})["greeting"] == "hello"
    assert gx.Dict.from_id(d.object_id)["greeting"] == "hello" and gx.Dict.from_id(d.object_id).name == NAME

    # Like the built-in.
    assert d.put("a", 1) and not d.put("a", 2, skip_if_exists=True) and d["a"] == 1
    d["a"] = 3
    assert d.get("a") == 3 and d.get("b") is None and d.get("b", 0) == 0
    assert "a" in d and "b" not in d and d.contains("a")
    assert "'b'" in raised(KeyError, lambda: d["b"])
    assert d.pop("a") == 3 and d.pop("a", None) is None
    raised(KeyError, d.pop, "a")
    raised(KeyError, d.__delitem__, "a")
    raised(TypeError, iter, d)
    d.update({"x": 1}, y=2)
    d.update([("z", 3)], self=4)
    del d["self"]
    assert dict(d.items()) == {"greeting": "hello", "x": 1, "y": 2, "z": 3} and d.len() == 4
    assert sorted(d.keys()) == ["greeting", "x", "y", "z"] and len(list(d.values())) == 4

    # Keys and values of any kind. Equal keys of the same types are one key, however they came about.
    word = "".join(["wo", "rd"])
    keys = [None, 1, 1.0, True, b"b", (), ("word", "word"), ("a", ("b", 2)), "ü" * 300, "", datetime.date(2026, 1, 1), -(1 << 70)]
    for i, key in enumerate(keys):
        d[key] = i
    assert [d[key] for key in keys] == list(range(len(keys)))
    assert d[("word", word)] == d[(word, word)] == 6
    d["point"] = Point(7)
    assert d["point"].x == 7
    d["large"] = bytes(20 << 20)
    assert d["large"] == bytes(20 << 20)
    d["none"] = None
    assert "none" in d and d["none"] is None and d.pop("none", 1) is None

    # What can't be.
    assert "lambda" in raised(SerializationError, d.put, "f", lambda: 0)
    assert "key" in raised(SerializationError, d.get, threading.Lock())
    assert "60" in raised(RequestSizeError, d.put, "huge", bytes(61 << 20)) or True
    assert "65536" in raised(RequestSizeError, d.get, "k" * 70000)
    assert "dict" in raised(InvalidError, gx.Dict.from_name, 7) and "di-" in raised(InvalidError, gx.Dict.from_id, "qu-1")
    for name in ("", "a/b", "..", ".a", "-a", "ü", "a b", "a\0b", "n" * 300):
        raised(InvalidError, gx.Dict.from_name(name, create_if_missing=True).len)
        raised(InvalidError, gx.Dict.objects.create, name)
    assert len(raised(InvalidError, gx.Dict.from_name("n" * 300).len)) < 300

    # From containers.
    d.clear()
    d["greeting"] = "hello"
    for n in range(3):
        count.remote(d, f"w{n}", n)
    assert count.remote(d, "w3", 3) == ("hello", ["w0", "w1", "w2", "w3"]) and d["w3"] == 3
    won = [job for jobs in claim.map([NAME] * 4, range(4)) for job in jobs]
    assert sorted(won) == list(range(50)), "each job is claimed once"
    d.clear()
    assert d.len() == 0
    assert coroutines.remote(NAME) == (2, 3, None)

    # Many entries, more than a page and more than an update.
    d.clear()
    d.update((i, str(i)) for i in range(12_000))
    assert d.len() == 12_000 and dict(d.items()) == {i: str(i) for i in range(12_000)}
    assert sum(1 for _ in zip(range(10), d.keys())) == 10, "leaving early"

    # From threads, all on one connection.
    def write(i):
        for n in range(20):
            d[i, n] = n
            assert d[i, n] == n

    threads = [threading.Thread(target=write, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert d.len() == 12_160

    # Which there are.
    raised(AlreadyExistsError, gx.Dict.objects.create, NAME)
    gx.Dict.objects.create(NAME, allow_existing=True)
    gx.Dict.objects.create(NAME + "-2")
    assert [x.name for x in gx.Dict.objects.list(max_objects=100)][:2].count(NAME + "-2") == 1
    assert NAME not in [x.name for x in gx.Dict.objects.list(created_before="2020-01-01")]
    (mine,) = [x for x in gx.Dict.objects.list(created_before=datetime.datetime.now()) if x.name == NAME]
    assert mine.len() == 12_160
    for name in (NAME, NAME + "-2"):
        gx.Dict.objects.delete(name)
    raised(NotFoundError, gx.Dict.objects.delete, NAME)
    gx.Dict.objects.delete(NAME, allow_missing=True)
    raised(NotFoundError, d.get, "x")

    # Without a name, for a block.
    with gx.Dict.ephemeral() as e:
        e["greeting"] = "short"
        assert count.remote(e, "w", 1) == ("short", ["w"]) and e.name is None
    raised(NotFoundError, e.get, "greeting")

    async def block():
        async with gx.Dict.ephemeral() as e:
            await e.put.aio("a", 1)
            assert [x.name for x in await gx.Dict.objects.list.aio(max_objects=1)] is not None
            return await e.get.aio("a")

    assert asyncio.run(block()) == 1
    print("ok")
