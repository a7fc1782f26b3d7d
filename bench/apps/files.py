"""A container with a large tree of local files, whose folder is BENCH_TREE."""

import os

import gx

tree = os.environ.get("BENCH_TREE", "/")
app = gx.App("bench-files", image=gx.Image.debian_slim().add_local_dir(tree, "/tree", ignore=[]))


@app.function()
def look(name):
    return os.path.getsize(f"/tree/{name}")


@app.local_entrypoint()
def main(name: str):
    print(look.remote(name))
