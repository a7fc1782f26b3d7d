"""A pretrained neural network that tells what a file is from its bytes alone.

    gx run examples/filetypes.py
    gx run examples/filetypes.py --path ~/Downloads --limit 500

The model (Magika, 200 file types) comes inside its package, so nothing is
downloaded when the function runs. Each container loads it once and is then
given batches of files; what travels is the beginning and the end of each file.
"""

import functools
from pathlib import Path

import gx

image = gx.Image.debian_slim(python_version="3.11").pip_install("magika==1.0.3")

app = gx.App("filetypes", image=image)

EDGE = 4096  # bytes of each end of a file that are looked at


@functools.lru_cache(maxsize=1)
def model():
    from magika import Magika

    return Magika()


@app.function(max_containers=4)
def identify(batch: "list[tuple[str, bytes]]") -> "list[tuple[str, str, float]]":
    """Names and contents in; names, kinds and certainties out."""
    found = []
    for name, content in batch:
        answer = model().identify_bytes(content)
        found.append((name, answer.output.description, answer.score))
    print(f"looked at {len(batch)} files")
    return found


def edges(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(EDGE)
        size = path.stat().st_size
        if size <= 2 * EDGE:
            return head + file.read()
        file.seek(size - EDGE)
        return head + file.read()


@app.local_entrypoint()
def main(path: str = ".", limit: int = 200):
    hidden = {".git", ".cache", "node_modules", "__pycache__"}
    files = [
        file
        for file in sorted(Path(path).expanduser().rglob("*"))
        if file.is_file() and not hidden & set(file.parts) and file.stat().st_size
    ][:limit]
    inputs = [(str(file), edges(file)) for file in files]
    batches = [inputs[i : i + 32] for i in range(0, len(inputs), 32)]

    kinds: "dict[str, int]" = {}
    unsure = []
    for answers in identify.map(batches):
        for name, kind, certainty in answers:
            kinds[kind] = kinds.get(kind, 0) + 1
            if certainty < 0.5:
                unsure.append((name, kind, certainty))

    for kind, count in sorted(kinds.items(), key=lambda item: -item[1]):
        print(f"{count:5}  {kind}")
    for name, kind, certainty in unsure[:5]:
        print(f"unsure: {name} looks like {kind} ({certainty:.0%})")
