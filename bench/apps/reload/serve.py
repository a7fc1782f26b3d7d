"""The API as a web endpoint."""

import gx
import shop

app = gx.App("bench-reload")
image = gx.Image.debian_slim().pip_install("fastapi", "uvicorn[standard]")


@app.function(image=image, max_containers=1, min_containers=1)
@gx.concurrent(max_inputs=100)
@gx.asgi_app()
def api():
    return shop.create()
