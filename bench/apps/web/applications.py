"""What is served: by gx, and by uvicorn as `applications:bare` and so on."""


async def bare(scope, receive, send):
    """The least that an application can do."""
    if scope["type"] == "websocket":
        return await echo(receive, send)
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"hello":"world"}'})


async def echo(receive, send):
    """A WebSocket that says what it hears."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def fast():
    """A small JSON endpoint of FastAPI."""
    from fastapi import FastAPI

    web = FastAPI()

    @web.get("/")
    async def hello(x: int = 1):
        return {"hello": "world", "x": x}

    return web


def __getattr__(name):  # for uvicorn, which wants the application itself
    if name == "web":
        return fast()
    raise AttributeError(name)
