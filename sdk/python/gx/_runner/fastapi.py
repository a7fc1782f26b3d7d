"""fastapi_endpoint: a FastAPI application around one function of the user's."""

from __future__ import annotations

from gx._runner import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def application(target: Callable, settings: dict) -> Any:
    """An application whose only route is the function. Raises InvalidError if the image has no FastAPI."""
    name = getattr(target, "__qualname__", "the function")
    try:
        from fastapi import FastAPI  # type: ignore[import-not-found,unused-ignore]
        from fastapi.middleware.cors import CORSMiddleware  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError as error:
        if error.name != "fastapi":
            raise
        raise errors.make(
            "InvalidError",
            f"{name} is a fastapi_endpoint, and its image has no FastAPI: add it with "
            'image = gx.Image.debian_slim().pip_install("fastapi[standard]")',
        ) from None
    docs = bool(settings.get("docs"))
    app = FastAPI(
        title=name,
        openapi_url="/openapi.json" if docs else None,
        docs_url="/docs" if docs else None,
        redoc_url=None,
    )
    # Pages of other origins may call it, as they may on Modal.
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"], allow_headers=["*"]
    )
    app.add_api_route("/", target, methods=[settings.get("method") or "GET"])
    return app
