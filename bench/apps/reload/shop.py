"""A small JSON API, the same for gx serve and for uvicorn --reload."""

from prices import price


def create():
    from fastapi import FastAPI

    web = FastAPI()

    @web.get("/")
    async def answer(x: int = 1):
        return {"version": 0, "price": price(x)}

    return web
