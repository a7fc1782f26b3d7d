# both
# limit: 240
"""Mounts, as older programs declare them, and where they are used: functions, Dockerfiles, copies."""

import pathlib

import gx

if gx.is_local():
    for name, text in {
        "prompts.yaml": "greeting: hello",
        "build_context/requirements.txt": "one\ntwo\n",
        "build_context/inner/data.json": "{}",
        "Dockerfile.ml": "FROM python:3.11-slim\nCOPY build_context/requirements.txt /requirements.txt\nRUN wc -l < /requirements.txt > /lines\n",
        "data/a.txt": "a",
        "data/b.csv": "b",
        "data/sub/c.txt": "c",
        "mylib/__init__.py": "from mylib.inner import VALUE\n",
        "mylib/inner.py": "VALUE = 42\n",
    }.items():
        pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(name).write_text(text)

app = gx.App("mounts")
dockerfile_image = gx.Image.from_dockerfile(
    path="./Dockerfile.ml",
    context_mount=gx.Mount.from_local_dir(
        "./build_context",
        remote_path="/build_context",
    ),
)
text_only = gx.Mount.from_local_dir("data", remote_path="/data", condition=lambda path: path.endswith(".txt"))


@app.function(mounts=[gx.Mount.from_local_file("./prompts.yaml", remote_path="/app/prompts.yaml")])
def prompts():
    return pathlib.Path("/app/prompts.yaml").read_text()


@app.function(image=dockerfile_image, mounts=[text_only.add_local_file("prompts.yaml")], include_source=True)
def built():
    data = sorted(str(path) for path in pathlib.Path("/data").rglob("*") if path.is_file())
    return pathlib.Path("/lines").read_text().strip(), data, pathlib.Path("/root/prompts.yaml").read_text()


@app.function(mounts=[gx.Mount.from_local_python_packages("mylib")])
def packages():
    import mylib

    return mylib.VALUE, mylib.__file__


@app.function(image=gx.Image.debian_slim().copy_local_dir("data", "/copied").copy_local_file("prompts.yaml", "/copied/").run_commands("ls /copied > /seen"))
def copied():
    return pathlib.Path("/seen").read_text().split()


@app.local_entrypoint()
def main():
    assert prompts.remote() == "greeting: hello"
    assert built.remote() == ("2", ["/data/a.txt", "/data/sub/c.txt"], "greeting: hello"), built.remote()
    assert packages.remote() == (42, "/root/mylib/__init__.py")
    assert copied.remote() == ["a.txt", "b.csv", "prompts.yaml", "sub"]
    print("ok")
