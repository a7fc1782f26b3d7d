"""A parallel map over a real corpus: the source of Python's standard library.

    gx run examples/census.py
    gx run examples/census.py --top 20

Every machine that runs Python has the corpus: some hundreds of modules, ten
million characters. Each module is sent to a container, where radon measures it,
and the answers are put together here as they arrive.
"""

import sysconfig
from pathlib import Path

import gx

image = gx.Image.debian_slim().pip_install("radon==6.0.1")

app = gx.App("census", image=image)


@app.function()
def measure(name: str, source: str) -> "dict[str, object]":
    """Lines of code and the most complex function of one module."""
    from radon.complexity import cc_visit
    from radon.raw import analyze

    raw = analyze(source)
    blocks = cc_visit(source)
    worst = max(blocks, key=lambda block: block.complexity, default=None)
    return {
        "name": name,
        "code": raw.sloc,
        "comments": raw.comments,
        "functions": len(blocks),
        "worst": f"{name}.{worst.fullname}" if worst else "",
        "complexity": worst.complexity if worst else 0,
    }


def corpus() -> "list[tuple[str, str]]":
    root = Path(sysconfig.get_paths()["stdlib"])
    modules = []
    for path in sorted(root.rglob("*.py")):
        part = path.relative_to(root)
        if {"site-packages", "dist-packages", "test", "tests", "lib2to3"} & set(part.parts):
            continue
        try:
            modules.append((".".join(part.with_suffix("").parts), path.read_text("utf-8")))
        except UnicodeDecodeError:
            continue  # a handful of modules are not UTF-8 on purpose
    return modules


@app.local_entrypoint()
def main(top: int = 10):
    modules = corpus()
    rows = []
    failed = 0
    for answer in measure.starmap(modules, return_exceptions=True):
        if isinstance(answer, Exception):
            failed += 1  # source that this Python's parser does not take
        else:
            rows.append(answer)

    print(f"{len(rows)} modules, {sum(row['code'] for row in rows):,} lines of code, "
          f"{sum(row['functions'] for row in rows):,} functions, {failed} not parsed")
    print("the most complex functions:")
    for row in sorted(rows, key=lambda row: -row["complexity"])[:top]:
        print(f"  {row['complexity']:4}  {row['worst']}")
