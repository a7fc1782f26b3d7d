"""Says whether the volumes that write.py has left are whole: every version that is kept, with all that was acknowledged."""

import collections

import gx
from gx._ask import ask
from gx.exception import NotFoundError


def content(generation, k):
    return f"{generation} " * (1 + 3000 * k)


def tree(volume, version):
    """Path to content of all files of a version."""
    found, after = {}, ""
    while True:
        page, _ = ask("volume.ls", id=volume.object_id, path="/", recursive=True, version=version, after=after)
        for e in page["entries"]:
            if e["type"] == "file":
                read, data = ask("volume.read", id=volume.object_id, path=e["path"], version=version, offset=0, length=1 << 20)
                assert read["size"] == len(data) == e["size"], e
                found[e["path"]] = bytes(data).decode()
        after = page["next"]
        if not after:
            return found


def generations(files, prefix, version):
    """The one generation that the five files with a prefix have, 0 if there are none."""
    mine = {p: text for p, text in files.items() if p.startswith(prefix)}
    if not mine:
        return 0
    assert set(mine) == {f"{prefix}{k}" for k in range(5)}, (version, sorted(mine))
    generation = int(mine[f"{prefix}0"])
    for k in range(5):
        assert mine[f"{prefix}{k}"] == content(generation, k), f"version {version}: {prefix}{k} is not of generation {generation}"
    return generation


def versions(volume):
    listed = ask("volume.history", id=volume.object_id)[0]["versions"]
    numbers = [v["version"] for v in listed]
    assert numbers == list(range(numbers[0], numbers[0] - len(numbers), -1)), numbers
    return listed[:12]


acknowledged, committed = {}, collections.Counter()
for line in open("acks"):
    what, a, generation = line.split()
    if what == "commit":
        committed[a] = int(generation)
    else:
        acknowledged[int(a)] = int(generation)
looked = 0
for name in ("commits", "puts"):
    volume = gx.Volume.from_name(name)
    try:
        listed = versions(volume)
    except NotFoundError:
        assert not (acknowledged if name == "puts" else committed), name
        continue
    for i, v in enumerate(listed):
        files = tree(volume, v["version"])
        assert len(files) == v["files"] and sum(len(t) for t in files.values()) == v["bytes"], (name, v)
        looked += 1
        if name == "puts":
            generation = generations(files, "folder/", v["version"])
            assert acknowledged.get(v["version"], generation) == generation, v
            continue
        for worker in ("0", "1"):
            generation = generations(files, f"{worker}-", v["version"])
            assert i > 0 or generation >= committed[worker], (worker, generation, committed)
    if name == "puts" and acknowledged:
        assert listed[0]["version"] >= max(acknowledged), (listed[0], max(acknowledged))
print(f"{looked} versions are whole; {len(acknowledged)} puts and restores, commits up to {dict(committed)}")
