# both
"""Queues that functions, containers and this program share."""

import asyncio
import queue
import threading
import time
import uuid

import gx
from gx.exception import InvalidError, NotFoundError, RequestSizeError

app = gx.App("queues")
NAME = f"queues-{uuid.uuid4().hex[:8]}"


def raised(kind, what, *args, **kwargs):
    try:
        what(*args, **kwargs)
    except kind as error:
        return str(error)
    raise AssertionError(f"{what} raised no {kind}")


@app.function()
def produce(q, worker, n):
    for i in range(n):
        q.put((worker, i))


@app.function()
def consume(name):
    q = gx.Queue.from_name(name)
    got = []
    while (item := q.get()) is not None:
        got.append(item)
    return got


@app.function()
def echo(name):
    q = gx.Queue.from_name(name)
    while (word := q.get(partition="in")) != "end":
        q.put(word.upper(), partition="out")


@app.function()
async def coroutines(q):
    waiting = asyncio.ensure_future(q.get.aio(partition="async"))
    await q.put_many.aio([1, 2, 3], partition="async")
    assert await waiting == 1
    assert [v async for v in q.iterate.aio(partition="async")] == [2, 3]
    assert await q.len.aio(partition="async") == 2
    # Who does not wait any more takes nothing.
    gone = asyncio.ensure_future(q.get.aio(partition="empty"))
    await asyncio.sleep(0.05)
    gone.cancel()
    try:
        await gone
    except asyncio.CancelledError:
        pass
    await q.len.aio()  # the host has heard of it
    await q.put.aio("kept", partition="empty")
    assert await q.get.aio(partition="empty", timeout=10) == "kept"
    try:
        await q.get.aio(timeout=0.05, partition="empty")
    except queue.Empty:
        return await q.get_many.aio(5, partition="async")


@app.local_entrypoint()
def main():
    assert NAME in raised(NotFoundError, gx.Queue.from_name(NAME).len)
    q = gx.Queue.from_name(NAME, create_if_missing=True)
    assert q.name == NAME and q.len() == 0

    # First in, first out.
    q.put(1)
    q.put_many([2, "three", None])
    assert q.len() == 4
    assert [q.get(), q.get_many(2), q.get(), q.get(block=False)] == [1, [2, "three"], None, None]
    assert q.get_many(3, block=False) == []
    q.put_many([])
    began = time.monotonic()
    raised(queue.Empty, q.get, timeout=0.2)
    raised(queue.Empty, q.get_many, 2, timeout=0)
    assert 0.15 < time.monotonic() - began < 5

    # Partitions.
    q.put("a", partition="p")
    q.put("b", partition="q", partition_ttl=60)
    assert q.len() == 0 and q.len(partition="p") == 1 and q.len(total=True) == 2
    assert q.get(partition="q") == "b" and q.get(block=False) is None
    raised(InvalidError, q.put, 1, partition="")
    raised(InvalidError, q.put, 1, partition="p" * 65)
    raised(InvalidError, q.len, partition="p", total=True)
    raised(InvalidError, q.clear, partition="p", all=True)
    raised(InvalidError, q.put, 1, partition_ttl=0)
    raised(InvalidError, q.put, 1, partition_ttl=8 * 24 * 3600)
    raised(InvalidError, q.get_many, 0)
    q.put("x", partition="ü/../\0")
    assert q.get(partition="ü/../\0") == "x", "a partition's name is bytes to the host"

    # Without taking.
    q.put_many(range(250), partition="p")
    assert list(q.iterate(partition="p")) == ["a", *range(250)] and q.len(partition="p") == 251
    later = threading.Timer(0.1, lambda: q.put("later", partition="i"))
    later.start()
    assert list(q.iterate(partition="i", item_poll_timeout=1.0)) == ["later"]
    q.clear(partition="p")
    assert q.len(partition="p") == 0 and q.len(total=True) == 1
    q.clear(all=True)
    assert q.len(total=True) == 0

    # Full.
    q.put_many(range(5000))
    raised(queue.Full, q.put, 1, block=False)
    raised(queue.Full, q.put, 1, timeout=0.05)
    assert "5000" in raised(RequestSizeError, q.put_many, range(5001))
    assert "1048576" in raised(RequestSizeError, q.put, bytes(1 << 20), partition="large")
    room = threading.Thread(target=q.put, args=("last",))
    room.start()
    assert q.get_many(5000)[0] == 0
    room.join()
    assert q.get() == "last"

    # Between this program and containers, both ways.
    call = echo.spawn(NAME)
    for word in ("one", "two"):
        q.put(word, partition="in")
        assert q.get(partition="out", timeout=30) == word.upper()
    q.put("end", partition="in")
    call.get()
    assert coroutines.remote(q) == [2, 3]

    # Several producers and consumers: each item once, and those of a producer in order.
    consumers = [consume.spawn(NAME) for _ in range(3)]
    producers = [produce.spawn(q, worker, 100) for worker in range(3)]
    for producer in producers:
        producer.get()
    q.put_many([None] * 3)
    parts = [consumer.get() for consumer in consumers]
    assert sorted(item for part in parts for item in part) == [(worker, i) for worker in range(3) for i in range(100)]
    for part in parts:
        for worker in range(3):
            mine = [i for w, i in part if w == worker]
            assert mine == sorted(mine)

    # A waiter is woken when the queue is deleted.
    woken = []

    def wait():
        try:
            q.get(partition="deleted")
        except NotFoundError as error:
            woken.append(str(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.1)  # so that it probably waits; it is the same if it does not yet
    gx.Queue.objects.delete(NAME)
    waiter.join()
    assert len(woken) == 1
    assert NAME not in [x.name for x in gx.Queue.objects.list()]

    with gx.Queue.ephemeral() as e:
        e.put("short")
        assert e.get() == "short"
    raised(NotFoundError, e.len)
    print("ok")
