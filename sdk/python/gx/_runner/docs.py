"""FastAPI's page /docs, with files that the host has instead of a network's.

FastAPI takes the files of its page from an address on the Internet unless it is
told otherwise. The gateway has them below /__gx/swagger-ui/ of every address
that it serves (engine/gateway/swagger).
"""

from __future__ import annotations

import sys

_FILES = "/__gx/swagger-ui/"


def keep_local() -> None:
    """What FastAPI does if nobody says where the files are; those who do are not contradicted."""
    module = sys.modules.get("fastapi.openapi.docs")
    defaults = getattr(getattr(module, "get_swagger_ui_html", None), "__kwdefaults__", None)
    if not defaults:
        return  # there is no FastAPI, or one of another make
    for parameter, file in (
        ("swagger_js_url", "swagger-ui-bundle.js"),
        ("swagger_css_url", "swagger-ui.css"),
        ("swagger_favicon_url", "favicon-32x32.png"),
    ):
        if str(defaults.get(parameter, "")).startswith("https://"):
            defaults[parameter] = _FILES + file
