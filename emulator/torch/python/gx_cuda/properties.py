"""Facts of the cards, as torch.cuda tells them."""

import torch
from gx_cuda import cards, memory


class _CudaDeviceProperties:
    """What get_device_properties returns."""

    def __init__(self, card):
        facts = card.facts
        self.name = facts.name
        self.major, self.minor = facts.major, facts.minor
        self.total_memory = card.total
        self.multi_processor_count = facts.processors
        self.is_integrated = self.is_multi_gpu_board = 0
        self.max_threads_per_multi_processor = 1024 if (facts.major, facts.minor) == (7, 5) else (
            2048 if facts.minor == 0 and facts.major < 12 else 1536
        )
        self.max_threads_per_block = 1024
        self.warp_size = 32
        self.regs_per_multiprocessor = 65536
        self.shared_memory_per_block = 49152
        kib = {(7, 5): 64, (8, 0): 164, (8, 6): 100, (8, 9): 100, (12, 0): 100}.get((facts.major, facts.minor), 228)
        self.shared_memory_per_multiprocessor = kib << 10
        self.shared_memory_per_block_optin = (kib - 1) << 10 if kib > 64 else kib << 10
        self.L2_cache_size = {(7, 5): 4, (8, 0): 40, (8, 6): 6, (8, 9): 48}.get((facts.major, facts.minor), 50) << 20
        self.gcnArchName = facts.name
        self.clock_rate = facts.clock * 1000
        self.memory_clock_rate = facts.memory_clock * 1000
        self.memory_bus_width = facts.bus_width
        self.uuid = facts.uuid[len("GPU-") :]
        domain, bus, device = (facts.bus.split(":") + ["0", "0", "0"])[:3]
        self.pci_domain_id, self.pci_bus_id = int(domain or "0", 16), int(bus or "0", 16)
        self.pci_device_id = int(device.partition(".")[0] or "0", 16)

    def __repr__(self):
        text = (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory // (1 << 20)}MB, multi_processor_count={self.multi_processor_count}"
        )
        if memory.VERSION >= (2, 5):
            text += f", uuid={self.uuid}, L2_cache_size={self.L2_cache_size >> 20}MB"
        return text + ")"


def get_device_properties(device=None):
    """torch.cuda.get_device_properties"""
    index = cards.index_of(device, optional=True)
    cards.initialize()
    if not 0 <= index < cards.count():
        raise AssertionError("Invalid device id")
    return _CudaDeviceProperties(cards.cards()[index])


def get_device_name(device=None):
    """torch.cuda.get_device_name"""
    return get_device_properties(device).name


def get_device_capability(device=None):
    """torch.cuda.get_device_capability"""
    found = get_device_properties(device)
    return found.major, found.minor


def is_available():
    """torch.cuda.is_available: does not count as use."""
    return not cards.state.bad_fork and cards.count() > 0


def device_count():
    """torch.cuda.device_count"""
    return cards.count()


def current_device():
    """torch.cuda.current_device"""
    cards.initialize()
    return cards.current()


def set_device(device):
    """torch.cuda.set_device"""
    index = cards.index_of(device)
    if index >= 0:
        cards.initialize()
        cards.set_current(cards.check(index))


class device:
    """torch.cuda.device: a block with another current card."""

    def __init__(self, device):
        self.idx = cards.index_of(device, optional=True)
        self.prev_idx = -1

    def __enter__(self):
        if self.idx >= 0:
            self.prev_idx = cards.current()
            cards.set_current(cards.check(self.idx))
            cards.initialize()

    def __exit__(self, *_):
        if self.idx >= 0:
            cards.set_current(self.prev_idx)
        return False


class device_of(device):
    """torch.cuda.device_of: the card of a tensor, if it is on one."""

    def __init__(self, obj):
        index = obj.get_device() if getattr(obj, "is_cuda", False) else -1
        super().__init__(torch.device("cuda", index) if index >= 0 else torch.device("cpu"))


def is_bf16_supported(including_emulation=True):
    """torch.cuda.is_bf16_supported"""
    if not cards.count():
        return False
    major = get_device_capability()[0]
    return major >= 8 or bool(including_emulation) and memory.VERSION >= (2, 4)


def get_arch_list():
    """torch.cuda.get_arch_list: those of all cards that gx knows."""
    return ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"] if cards.count() else []


def can_device_access_peer(device, peer_device):
    """torch.cuda.can_device_access_peer"""
    for index in (cards.index_of(device), cards.index_of(peer_device)):
        if not 0 <= index < cards.count():
            raise AssertionError("Invalid device id")
    return cards.index_of(device) != cards.index_of(peer_device)


def _reading(device, offset, default):
    """A number that the host keeps in the page."""
    import struct

    card = cards.use(cards.check(cards.index_of(device)))
    (value,) = struct.unpack_from("<I", cards.state.page.map, card.fault_at - 188 + offset)
    return value or default


def utilization(device=None):
    """torch.cuda.utilization, percent"""
    return _reading(device, 160, 0)


def memory_usage(device=None):
    """torch.cuda.memory_usage, percent of the time its memory was in use"""
    return _reading(device, 164, 0)


def temperature(device=None):
    """torch.cuda.temperature, degrees Celsius"""
    return _reading(device, 168, 35)


def power_draw(device=None):
    """torch.cuda.power_draw, mW"""
    return _reading(device, 172, 0)


def clock_rate(device=None):
    """torch.cuda.clock_rate, MHz"""
    return _reading(device, 200, 0)
