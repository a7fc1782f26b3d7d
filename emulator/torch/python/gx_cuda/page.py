"""The page: a file of 16 KB that describes the container's cards.

The Go package emulator/page documents its layout. What does not change is read
with plain reads; the page is mapped when a card is first used, because a
process that has it mapped is not forked to make further containers.
"""

import mmap
import os
import struct

SIZE = 16384
_HEADER, _CARD, _SLOT, _SLOTS = 128, 512, 16, 16
_FAULT, _FIRST_SLOT, _OVERFLOW, _OPERATIONS, _PEAK = 188, 224, 480, 488, 496
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

# Values of the field "fault".
OUT_OF_MEMORY, ECC, ILLEGAL_ADDRESS, ASSERT, LAUNCH_FAILURE, LOST = 1, 2, 3, 4, 5, 15


class Facts:
    """What does not change of one card. Sizes in bytes."""

    def __init__(self, block):
        def text(begin, end):
            return block[begin:end].split(b"\0", 1)[0].decode("utf-8", "replace")

        def number(at):
            return _U32.unpack_from(block, at)[0]

        self.name = text(0, 64)
        self.uuid = text(64, 112)
        self.memory, self.reserved, self.cuda_memory = struct.unpack_from("<3Q", block, 112)
        self.bus = text(136, 160)
        self.power_limit = number(176)
        self.major, self.minor = divmod(number(180), 256)
        self.processors = number(216)
        self.clock = number(220)
        self.memory_clock, self.bus_width = number(504), number(508)


def read(path):
    """The driver's version, that of CUDA ("12.8"), and the Facts of all cards."""
    with open(path, "rb") as file:
        data = file.read(SIZE + 1)
    if len(data) != SIZE or data[:8] != b"gxgpu\0\0\0":
        raise RuntimeError(f"{path} does not describe emulated GPUs: its size or its beginning is not that of a page")
    version, count = struct.unpack_from("<2I", data, 8)
    if version != 1 or not 1 <= count <= 16:
        raise RuntimeError(f"{path} has version {version} and {count} cards; this gx_cuda knows version 1 and 1 to 16")
    driver = data[16:40].split(b"\0", 1)[0].decode("ascii", "replace")
    (cuda,) = _U32.unpack_from(data, 64)
    cards = [Facts(data[_HEADER + i * _CARD :][:_CARD]) for i in range(count)]
    return driver, f"{cuda // 1000}.{cuda % 1000 // 10}", cards


class Page:
    """The mapped page of this process."""

    def __init__(self, path):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.map = mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)
        self._slots = {}  # offset of this process's slot, by card

    def fault_at(self, card):
        """Where the first byte of a card's fault is in ``map``; read at each operation."""
        return _HEADER + card * _CARD + _FAULT

    def take_fault(self, card):
        """The card's fault; one for a single process is taken away."""
        at = self.fault_at(card)
        (fault,) = _U32.unpack_from(self.map, at)
        if fault != LOST:
            _U32.pack_into(self.map, at, 0)
        return fault

    def processes(self, card):
        """(pid, bytes) of all that say they use the card. What a killed process has left does not count."""
        begin = _HEADER + card * _CARD + _FIRST_SLOT
        found = []
        for at in range(begin, begin + _SLOTS * _SLOT, _SLOT):
            pid, _, used = struct.unpack_from("<2IQ", self.map, at)
            if pid and used and _exists(pid):
                found.append((pid, used))
        return found

    def used_by_others(self, card):
        """Bytes that other processes say they use."""
        own = os.getpid()
        (total,) = _U64.unpack_from(self.map, _HEADER + card * _CARD + _OVERFLOW)
        return total + sum(used for pid, used in self.processes(card) if pid != own)

    def tell(self, card, used):
        """Says how many bytes this process uses now."""
        begin, own = _HEADER + card * _CARD, os.getpid()
        at = self._slots.get((card, own))
        if at is None:
            at = self._slot(begin, own)
            if at is None:
                return  # the table is full; an overflow would stay after a process that was killed
            self._slots[card, own] = at
        _U64.pack_into(self.map, at + 8, used)
        peak = used + self.used_by_others(card)
        if peak > _U64.unpack_from(self.map, begin + _PEAK)[0]:
            _U64.pack_into(self.map, begin + _PEAK, peak)

    def _slot(self, begin, own):
        for at in range(begin + _FIRST_SLOT, begin + _FIRST_SLOT + _SLOTS * _SLOT, _SLOT):
            (pid,) = _U32.unpack_from(self.map, at)
            if pid in (0, own) or not _exists(pid):
                struct.pack_into("<2IQ", self.map, at, own, 0, 0)
                return at
        return None

    def count(self, card, operations):
        """Adds operations to those that were run on the card."""
        at = _HEADER + card * _CARD + _OPERATIONS
        _U64.pack_into(self.map, at, _U64.unpack_from(self.map, at)[0] + operations)

    def leave(self):
        """Frees the slots of this process."""
        for (_, pid), at in self._slots.items():
            if pid == os.getpid():
                struct.pack_into("<2IQ", self.map, at, 0, 0, 0)
        self._slots.clear()


def _exists(pid):
    # A slot that the host has filled, in the name of a program that is not in the container.
    return pid >= 1 << 22 or os.path.exists(f"/proc/{pid}")
