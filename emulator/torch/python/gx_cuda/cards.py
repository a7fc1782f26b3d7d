"""The cards of this process: which there are, which is current, first use, forks."""

import atexit
import os
import threading

from gx_cuda import VARIABLE, page

MIB = 1 << 20

# Device memory that a process's first use of a card takes for itself (the CUDA
# context), by compute capability: measured values differ by driver and build.
_CONTEXT = {7: 120 * MIB, 8: 250 * MIB, 9: 450 * MIB, 10: 500 * MIB, 12: 400 * MIB}
_CONTEXT_8_0 = 415 * MIB


class Card:
    """One card as this process sees it. Memory in bytes."""

    def __init__(self, number, facts):
        self.number = number  # in the page
        self.facts = facts
        self.total = facts.cuda_memory or facts.memory - facts.reserved
        self.context = _CONTEXT_8_0 if (facts.major, facts.minor) == (8, 0) else _CONTEXT.get(facts.major, 300 * MIB)
        self.used = 0  # by tensors, each rounded up to 512
        self.reserved = 0
        self.alert = 0  # from which use on one looks closer: a peak or the limit
        self.peak = self.peak_reserved = 0
        self.fraction = 1.0
        self.told = 0  # what the page was told
        self.frees = self.freed = self.sweeps = 0  # storages and bytes that were freed; see memory
        self.ooms = 0
        self.operations = 0
        self.broken = 0  # the fault that has ended this process's context
        self.fault_at = 0
        self.begun = False


class State:
    """What there is one of in a process."""

    def __init__(self):
        self.initialized = False
        self.bad_fork = False
        self.page = None
        self.map = b"\0" * page.SIZE
        self.cards = None
        self.driver = self.cuda = ""
        self.lock = threading.RLock()


state = State()
_local = threading.local()


def cards():
    """The cards that CUDA_VISIBLE_DEVICES leaves; read when they are first asked for, and again until first use."""
    if state.cards is None or not state.initialized:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        key = (os.environ.get(VARIABLE), visible)
        if state.cards is None or getattr(state, "key", None) != key:
            state.driver, state.cuda, facts = page.read(os.environ[VARIABLE])
            state.cards = [Card(number, facts[number]) for number in _visible(visible, facts)]
            state.key = key
    return state.cards


def _visible(value, facts):
    """Numbers of the page's cards, as CUDA reads the variable: up to the first that is none."""
    if value is None:
        return list(range(len(facts)))
    found = []
    for word in value.split(","):
        word = word.strip()
        if word.startswith("GPU-"):
            matches = [i for i, card in enumerate(facts) if card.uuid.startswith(word)]
            number = matches[0] if len(matches) == 1 else -1
        else:
            number = int(word) if word.isdigit() else -1
        if not 0 <= number < len(facts):
            break
        if number in found:
            return []  # CUDA sees no card then
        found.append(number)
    return found


def count():
    """How many cards there are."""
    return len(cards())


def current():
    """The index of this thread's current card."""
    return getattr(_local, "card", 0)


def set_current(index):
    """Makes a card this thread's current one; it is a valid index."""
    _local.card = index


_BAD_FORK = (
    "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, "
    "you must use the 'spawn' start method"
)


def initialize():
    """The first use of a card: from now on this process must not be forked and use one."""
    if state.initialized:
        return
    if state.bad_fork:
        raise RuntimeError(_BAD_FORK)
    with state.lock:
        if state.initialized:
            return
        if not cards():
            raise RuntimeError("No CUDA GPUs are available")
        state.page = page.Page(os.environ[VARIABLE])
        state.map = state.page.map
        for card in state.cards:
            card.fault_at = state.page.fault_at(card.number)
        state.initialized = True
        atexit.register(_leave)
        os.register_at_fork(after_in_child=_forked)
    from gx_cuda import names

    names.run_queued_calls()


def use(index):
    """The card of an index, whose context now exists."""
    card = cards()[index]
    if not card.begun:
        initialize()
        card.begun = True
    return card


def _leave():
    if state.page is not None:
        for card in state.cards:
            if card.operations:
                state.page.count(card.number, card.operations)
                card.operations = 0
        state.page.leave()


def _forked():
    if state.initialized:
        state.bad_fork = True
        state.initialized = False
        state.page = None
        # Tensors of the parent are there, and CUDA could not use them: their
        # next operation initialises.
        for card in state.cards:
            card.begun = False
            card.fault_at = _POISONED
        state.map = _Poison()


_POISONED = -1


class _Poison:
    """In the place of the map, in a child: using a card is an error."""

    def __getitem__(self, at):
        raise RuntimeError(_BAD_FORK)


def index_of(device, optional=False):
    """The card that a device, an int, a string or None (the current card) means.

    Raises what torch.cuda raises for what is no card.
    """
    import torch

    if device is None:
        return current()
    if type(device) is str:
        device = torch.device(device)
    if type(device) is int:
        index = device if device >= 0 else current()
    elif getattr(device, "type", None) == "cuda":
        index = current() if device.index is None else device.index
    elif optional and getattr(device, "type", None) == "cpu":
        return -1
    elif hasattr(device, "type"):
        raise ValueError(f"Expected a cuda device, but got: {device}")
    else:
        return current()
    return index


def check(index):
    """Returns the index of a card that there is; raises CUDA's error for others."""
    if index >= len(cards()):
        if not cards():
            raise RuntimeError("No CUDA GPUs are available")
        from gx_cuda import faults

        raise faults.error("invalid device ordinal")
    return index
