"""Random numbers: the cards draw from the CPU's generator, so seeds repeat runs, and give other numbers than a card."""

import torch
from gx_cuda import cards

_Generator = torch._C.Generator
_real_device = torch.device


class _Meta(type):
    def __instancecheck__(cls, x):
        return isinstance(x, _Generator)

    def __subclasscheck__(cls, other):
        return type.__subclasscheck__(cls, other) or other is _Generator


class CudaGenerator(_Generator):
    """A generator of the CPU's kind that says it is a card's."""

    index = 0

    @property
    def device(self):
        return _real_device("cuda", self.index)


class Generator(metaclass=_Meta):
    """torch.Generator"""

    def __new__(cls, device="cpu"):
        device = _real_device("cuda", device) if type(device) is int else _real_device(device)
        if device.type != "cuda":
            return _Generator(device=device)
        made = CudaGenerator()
        made.index = cards.check(cards.index_of(device))
        return made


def _of(device):
    cards.index_of(device)
    return torch.default_generator


def get_rng_state(device="cuda"):
    """torch.cuda.get_rng_state"""
    return _of(device).get_state()


def set_rng_state(new_state, device="cuda"):
    """torch.cuda.set_rng_state"""
    _of(device).set_state(new_state.cpu() if new_state.is_cuda else new_state)


def get_rng_state_all():
    """torch.cuda.get_rng_state_all"""
    return [get_rng_state(index) for index in range(cards.count())]


def set_rng_state_all(new_states):
    """torch.cuda.set_rng_state_all"""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)


def manual_seed(seed):
    """torch.cuda.manual_seed"""
    if cards.count():
        torch.default_generator.manual_seed(int(seed))


manual_seed_all = manual_seed


def seed():
    """torch.cuda.seed"""
    torch.default_generator.seed()


seed_all = seed


def initial_seed():
    """torch.cuda.initial_seed"""
    cards.initialize()
    return torch.default_generator.initial_seed()


class DefaultGenerators:
    """torch.cuda.default_generators: a card's draws from the CPU's."""

    def __getitem__(self, index):
        cards.check(index)
        return torch.default_generator

    def __len__(self):
        return cards.count()
