"""FastAPI's pages /docs and /redoc, with files that the host has instead of a network's.

FastAPI takes the files of its pages from addresses on the Internet unless it is
told otherwise. The gateway has them below /__gx/ of every address that it
serves (engine/gateway/apidocs).
"""

from __future__ import annotations

import sys

_FILES = "/__gx/"
_PAGES = {
    "get_swagger_ui_html": {
        "swagger_js_url": "swagger-ui/swagger-ui-bundle.js",
        "swagger_css_url": "swagger-ui/swagger-ui.css",
        "swagger_favicon_url": "swagger-ui/favicon-32x32.png",
    },
    "get_redoc_html": {
        "redoc_js_url": "redoc/redoc.standalone.js",
        "redoc_favicon_url": "swagger-ui/favicon-32x32.png",
    },
}


def keep_local() -> None:
    """What FastAPI does if nobody says where the files are; those who do are not contradicted."""
    module = sys.modules.get("fastapi.openapi.docs")
    for page, files in _PAGES.items():
        defaults = getattr(getattr(module, page, None), "__kwdefaults__", None)
        if not defaults:
            continue  # there is no FastAPI, or one of another make
        for parameter, file in files.items():
            if str(defaults.get(parameter, "")).startswith("https://"):
                defaults[parameter] = _FILES + file
        if defaults.get("with_google_fonts") is True:
            defaults["with_google_fonts"] = False
