"""Memory of the cards: what is in use, the most that was, and what no longer fits.

Each storage of an emulated tensor is counted once, when a tensor first comes
with it, rounded up to 512 bytes as CUDA's caching allocator does, and until it
is freed. Memory is reserved from the card in steps of 2 MiB and kept until
empty_cache(). Not counted: fragmentation, and what kernels need while they run.
"""

import weakref

import torch
from gx_cuda import cards, page

_state = cards.state
_ROUND, _STEP = 512, 2 << 20
_TELL = 1 << 20  # what the page says may be wrong by so many bytes

VERSION = tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in torch.__version__.split("+")[0].split(".")[:2])

# From 2.1 on a storage has one Python object as long as it exists, whose end a
# weak reference tells.
TRACKED = VERSION >= (2, 1)

OutOfMemoryError = getattr(torch.cuda, "OutOfMemoryError", RuntimeError)


class Entry(weakref.ref):
    """A storage that is counted."""

    __slots__ = ("key", "size", "card")


_YOUNG = 64  # so many storages are counted before it is looked at which of them are gone, before 2.1

live = {}  # Entry by id(storage); before 2.1 (weak handle, size, card) by address
_young = []  # before 2.1: keys of those that were counted last, of which most are gone soon


def freed(entry):
    if live.pop(entry.key, None) is not None:
        card = entry.card
        card.used -= entry.size
        card.freed += entry.size
        card.frees += 1


def _round(size):
    return (size + _ROUND - 1) // _ROUND * _ROUND


def _note_tracked(tensor, index):
    """Counts a tensor's storage, if it is new."""
    try:
        storage = tensor.untyped_storage()
    except (RuntimeError, NotImplementedError):
        return _note_parts(tensor, index)
    key = id(storage)
    if key in live:
        return
    card = _state.cards[index] if _state.initialized else cards.use(index)
    if not card.begun:
        cards.use(index)
    size = (storage.nbytes() + 511) & -512
    entry = Entry(storage, freed)
    entry.key, entry.size, entry.card = key, size, card
    live[key] = entry
    card.used += size
    if card.used > card.alert:
        look(entry)


def look(entry):
    """Looks whether a storage that was just counted fits; it counts no more if it does not."""
    try:
        _look(entry.card, entry.size)
    except OutOfMemoryError:
        freed(entry)
        raise


def _note_polled(tensor, index):
    try:
        storage = tensor._storage()
    except (RuntimeError, NotImplementedError):
        return _note_parts(tensor, index)
    key = storage._cdata
    if key in live:
        return
    card = _state.cards[index] if _state.initialized else cards.use(index)
    if not card.begun:
        cards.use(index)
    size = (storage.nbytes() + 511) & -512
    live[key] = (storage._weak_ref(), size, card)
    _young.append(key)
    card.used += size
    if len(_young) >= _YOUNG or card.used > card.alert:
        keys = _young[:]
        del _young[: len(keys)]
        _sweep(keys)
        card.sweeps += 1
        if card.used > card.alert or not card.sweeps & 63:
            collect()
            if card.used > card.alert:
                try:
                    _look(card, size)
                except OutOfMemoryError:
                    _forget(key)
                    raise


note = _note_tracked if TRACKED else _note_polled


def _note_parts(tensor, index):
    """The same for a tensor that has no storage of its own: a sparse one."""
    cards.use(index)
    if tensor.layout is torch.sparse_coo:
        parts = tensor._indices(), tensor._values()
    elif tensor.layout in (getattr(torch, "sparse_csr", 0), getattr(torch, "sparse_bsr", 0)):
        parts = tensor.crow_indices(), tensor.col_indices(), tensor.values()
    else:
        return
    for part in parts:
        note(part, index)


def storage_of(tensor):
    """The untyped storage of a tensor, and its key in ``live``. The hook must be off."""
    if TRACKED:
        storage = tensor.untyped_storage()
        return storage, id(storage)
    storage = tensor._storage()
    return storage, storage._cdata


def card_of_storage(storage):
    """The index of the card that an untyped storage is on, or -1."""
    entry = live.get(id(storage) if TRACKED else storage._cdata)
    if entry is None:
        return -1
    card = entry.card if TRACKED else entry[2]
    return cards.cards().index(card)


def claim(storage, index):
    """Says that an untyped storage is on a card."""
    note(torch.empty(0, dtype=torch.uint8).set_(storage), index)


def release(tensor):
    """A tensor's storage is not on a card any more. The hook must be off."""
    _, key = storage_of(tensor)
    if TRACKED:
        entry = live.get(key)
        if entry is not None:
            freed(entry)
    else:
        _forget(key)


def _forget(key):
    entry = live.pop(key, None)
    if entry is not None:
        handle, size, card = entry
        card.used -= size
        card.freed += size
        card.frees += 1
        _storage_class()._free_weak_ref(handle)


def _storage_class():
    return getattr(torch, "UntypedStorage", None) or torch._UntypedStorage


def collect():
    """Notices which storages are gone; from 2.1 on that is known already."""
    if not TRACKED:
        _young.clear()
        _sweep(list(live))


def _sweep(keys):
    """Forgets those of these storages that are gone. Each is taken out of ``live`` meanwhile: another thread may be at it, too."""
    kind = _storage_class()
    expired, let_go = kind._expired, kind._free_weak_ref
    for key in keys:
        entry = live.pop(key, None)
        if entry is None:
            continue
        handle, size, card = entry
        if expired(handle):
            let_go(handle)
            card.used -= size
            card.freed += size
            card.frees += 1
        else:
            live[key] = entry


def _look(card, size):
    """More is in use than ever before: is it more than is reserved, or than there is?"""
    if card.used > card.reserved:
        allowed = _allowed(card)
        if card.used > allowed:
            import gc

            gc.collect()  # what only a cycle keeps is not missed
            collect()
            if card.used > allowed:
                card.used -= size
                try:
                    _fail(card, size)
                finally:
                    card.used += size
        card.reserved = max(card.reserved, min((card.used + _STEP - 1) // _STEP * _STEP, allowed))
        card.peak_reserved = max(card.peak_reserved, card.reserved)
        if card.reserved - card.told >= _TELL:
            tell(card)
    card.peak = max(card.peak, card.used)
    card.alert = card.peak


def tell(card):
    """Writes to the page what this process has reserved."""
    if cards.state.page is not None:
        cards.state.page.tell(card.number, card.reserved + card.context)
        card.told = card.reserved


def _allowed(card):
    """Bytes that tensors of this process may occupy."""
    others = cards.state.page.used_by_others(card.number) if cards.state.page is not None else 0
    return min(card.total - card.context - others, int(card.total * card.fraction))


def free(card):
    """Bytes that are free on the card, as the driver sees it."""
    others = cards.state.page.used_by_others(card.number) if cards.state.page is not None else 0
    own = card.reserved + card.context if card.begun else 0
    return max(0, card.total - others - own)


def room(index, size):
    """Raises the out-of-memory error if ``size`` more bytes do not fit a card, before any are taken."""
    if size < _STEP:
        return
    card = cards.use(index)
    size = _round(size)
    if card.used + size > _allowed(card):
        import gc

        gc.collect()
        collect()
        if card.used + size > _allowed(card):
            _fail(card, size)
    _machine(card, size)


def _machine(card, size):
    """Raises an error of its own if the card has room and this container has not."""
    limit = _container_limit()
    if limit and size > limit:
        raise MemoryError(
            f"the emulated {card.facts.name} has room for {_bytes(size)} more, but this container has only "
            f"{_bytes(limit)} of memory in all. {_ADVICE}"
        )


_ADVICE = (
    "Give the function more memory (memory=...), use a smaller model, or run it on a machine with a real card: gx run --host NAME"
)


def exhausted(index, text):
    """The CPU had no memory for an operation: raises the card's error if it has none either, else one of its own."""
    words = text.split("tried to allocate ")
    size = int(words[1].split(" ")[0]) if len(words) > 1 and words[1].split(" ")[0].isdigit() else 0
    room(index, size)
    raise MemoryError(
        f"the emulated {cards.use(index).facts.name} has room for {_bytes(size)} more, but this machine has not. {_ADVICE}"
    )


def _container_limit():
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return 0


def refuse_next(card, size=_STEP):
    """Raises the error that an allocation on a full card raises."""
    _fail(card, size)


def _bytes(n):
    """A size as the allocator's messages have it."""
    if n <= 1024:
        return f"{n} bytes"
    if n <= 1 << 20:
        return f"{n / 1024:.2f} KiB"
    if n <= 1 << 30:
        return f"{n / (1 << 20):.2f} MiB"
    return f"{n / (1 << 30):.2f} GiB"


def _fail(card, size):
    """Raises the error of the running version, with this card's numbers."""
    import os

    card.ooms += 1
    index = cards.cards().index(card)
    allocated = card.used
    reserved = max(card.reserved, allocated)
    card.reserved = reserved
    # What is asked of the card is a multiple of 2 MiB, and so the message says.
    wanted = (size + _STEP - 1) // _STEP * _STEP if size > 1 << 20 else _STEP
    left = free(card)
    in_use = reserved + card.context
    if VERSION < (2, 1):
        text = (
            f"CUDA out of memory. Tried to allocate {_bytes(wanted)} (GPU {index}; {_bytes(card.total)} total capacity; "
            f"{_bytes(allocated)} already allocated; {_bytes(left)} free; {_bytes(reserved)} reserved in total by PyTorch) "
            "If reserved memory is >> allocated memory try setting max_split_size_mb to avoid fragmentation.  "
            "See documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF"
        )
        raise OutOfMemoryError(text)
    others = "".join(
        f"Process {pid} has {_bytes(used)} memory in use. " for pid, used in _processes(card) if pid != os.getpid()
    )
    allowed = f"{_bytes(int(card.total * card.fraction))} allowed; " if card.fraction < 1 else ""
    if VERSION >= (2, 2):
        advice = "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
        host = "docs.pytorch.org/docs" if VERSION >= (2, 9) else "pytorch.org/docs"
        see = f"See documentation for Memory Management  (https://{host}/stable/notes/cuda.html#environment-variables)"
        total = "capacity"
    else:
        advice = "max_split_size_mb to avoid fragmentation."
        see, total = "See documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF", "capacty"
    raise OutOfMemoryError(
        f"CUDA out of memory. Tried to allocate {_bytes(wanted)}. GPU {index} has a total {total} of {_bytes(card.total)} "
        f"of which {_bytes(left)} is free. {others}Including non-PyTorch memory, this process has {_bytes(in_use)} memory "
        f"in use. {allowed}Of the allocated memory {_bytes(allocated)} is allocated by PyTorch, and "
        f"{_bytes(reserved - allocated)} is reserved by PyTorch but unallocated. If reserved but unallocated memory is "
        f"large try setting {advice}  {see}"
    )


def _processes(card):
    return cards.state.page.processes(card.number) if cards.state.page is not None else []


# ---- what torch.cuda.memory_* answer -----------------------------------------------------


def _settle(device):
    collect()
    card = cards.cards()[cards.check(cards.index_of(device))]
    if card.used > card.peak:
        card.peak = card.used
    return card


def memory_allocated(device=None):
    return _settle(device).used if cards.state.initialized else 0


def max_memory_allocated(device=None):
    return _settle(device).peak if cards.state.initialized else 0


def memory_reserved(device=None):
    return _settle(device).reserved if cards.state.initialized else 0


def max_memory_reserved(device=None):
    return _settle(device).peak_reserved if cards.state.initialized else 0


def reset_peak_memory_stats(device=None):
    card = _settle(device)
    card.peak = card.alert = card.used
    card.peak_reserved = card.reserved


def reset_accumulated_memory_stats(device=None):
    card = _settle(device)
    card.frees = card.freed = card.ooms = 0


def empty_cache():
    if not cards.state.initialized:
        return
    collect()
    for card in cards.cards():
        card.reserved = (card.used + _STEP - 1) // _STEP * _STEP
        card.alert = min(card.alert, card.used)
        tell(card)


def mem_get_info(device=None):
    index = cards.check(cards.index_of(device))
    card = cards.use(index)
    collect()
    return free(card), card.total


def set_per_process_memory_fraction(fraction, device=None):
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    _settle(device).fraction = fraction
    _settle(device).alert = 0


def get_per_process_memory_fraction(device=None):
    return _settle(device).fraction


def memory_stats(device=None):
    """The numbers that are known; others of the real function are 0."""
    from collections import OrderedDict

    if not cards.state.initialized:
        return OrderedDict()
    card = _settle(device)
    freed, total = card.freed, card.freed + card.used
    count = sum((entry.card if TRACKED else entry[2]) is card for entry in list(live.values()))
    stats = OrderedDict()
    for name, now, peak, ever in (
        ("active_bytes", card.used, card.peak, total),
        ("allocated_bytes", card.used, card.peak, total),
        ("requested_bytes", card.used, card.peak, total),
        ("reserved_bytes", card.reserved, card.peak_reserved, card.reserved),
        ("inactive_split_bytes", 0, 0, 0),
        ("active", count, count, count + card.frees),
        ("allocation", count, count, count + card.frees),
        ("segment", 0, 0, 0),
        ("inactive_split", 0, 0, 0),
    ):
        for pool in ("all", "large_pool", "small_pool"):
            known = pool == "all"
            stats[f"{name}.{pool}.current"] = now if known else 0
            stats[f"{name}.{pool}.peak"] = peak if known else 0
            stats[f"{name}.{pool}.allocated"] = ever if known else 0
            stats[f"{name}.{pool}.freed"] = (freed if "bytes" in name else card.frees) if known else 0
    stats["num_alloc_retries"] = 0
    stats["num_ooms"] = card.ooms
    stats["num_sync_all_streams"] = stats["num_device_alloc"] = stats["num_device_free"] = 0
    stats["max_split_size"] = -1
    for name in ("oversize_allocations", "oversize_segments"):
        for part in ("current", "peak", "allocated", "freed"):
            stats[f"{name}.{part}"] = 0
    return stats


def memory_stats_as_nested_dict(device=None):
    nested = {}
    for name, value in memory_stats(device).items():
        at = nested
        *path, last = name.split(".")
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return nested


def memory_summary(device=None, abbreviated=False):
    card = _settle(device)
    index = cards.cards().index(card)
    rows = [("Allocated memory", card.used, card.peak), ("GPU reserved memory", card.reserved, card.peak_reserved)]
    width = 75
    lines = ["=" * width, f"PyTorch CUDA memory summary, device ID {index} (emulated)".center(width), "=" * width]
    lines.append(f"{'Metric':<25}{'Cur Usage':>25}{'Peak Usage':>25}")
    lines += [f"{name:<25}{_bytes(now):>25}{_bytes(peak):>25}" for name, now, peak in rows]
    lines.append(f"{'CUDA OOMs':<25}{card.ooms:>25}")
    return "\n".join([*lines, "=" * width, ""])


def memory_snapshot(*_, **__):
    return []


def list_gpu_processes(device=None):
    card = _settle(device)
    index = cards.cards().index(card)
    lines = [f"GPU:{index}"]
    for pid, used in _processes(card):
        lines.append(f"process {pid:>10d} uses {used / (1 << 20):>12.3f} MB GPU memory")
    return "\n".join(lines if len(lines) > 1 else [*lines, "no processes are running"])
