"""Pages for the tests, written from the documented layout and not with the package's own code."""

import struct

# name, memory (MiB, NVML), memory (GiB, CUDA), capability, multiprocessors
CARDS = {
    "T4": ("Tesla T4", 15360, 14.56, (7, 5), 40),
    "A10G": ("NVIDIA A10G", 23028, 22.06, (8, 6), 80),
    "A100-80GB": ("NVIDIA A100-SXM4-80GB", 81920, 79.14, (8, 0), 108),
    "H100": ("NVIDIA H100 80GB HBM3", 81559, 79.11, (9, 0), 132),
}


def write(path, cards):
    """Writes a page of cards, each a name of CARDS."""
    page = bytearray(16384)
    page[:8] = b"gxgpu\0\0\0"
    struct.pack_into("<2I", page, 8, 1, len(cards))
    page[16:26] = b"570.124.06"
    struct.pack_into("<I", page, 64, 12080)
    for i, card in enumerate(cards):
        name, nvml, cuda, (major, minor), processors = CARDS[card]
        at = 128 + 512 * i
        uuid = f"GPU-{i:08x}-0000-4000-8000-000000000000"
        page[at : at + len(name)] = name.encode()
        page[at + 64 : at + 64 + len(uuid)] = uuid.encode()
        struct.pack_into("<3Q", page, at + 112, nvml << 20, 300 << 20, int(cuda * 2**30))
        page[at + 136 : at + 152] = b"00000000:3B:00.0"
        struct.pack_into("<2I", page, at + 176, 300000, major * 256 + minor)
        struct.pack_into("<2I", page, at + 216, processors, 1410)
    with open(path, "wb") as file:
        file.write(page)


def card(path, index):
    """The 512 bytes of a card."""
    with open(path, "rb") as file:
        return file.read()[128 + 512 * index :][:512]


def slots(path, index):
    """{pid: bytes} of a card's processes."""
    block = card(path, index)
    found = (struct.unpack_from("<2IQ", block, 224 + 16 * i) for i in range(16))
    return {pid: used for pid, _, used in found if pid}


def fault(path, index, number):
    """Gives a card a fault."""
    with open(path, "r+b") as file:
        file.seek(128 + 512 * index + 188)
        file.write(struct.pack("<I", number))


def occupy(path, index, slot, pid, size):
    """Has another process use memory; pid 0 frees it."""
    with open(path, "r+b") as file:
        file.seek(128 + 512 * index + 224 + 16 * slot)
        file.write(struct.pack("<2IQ", pid, 0, size))
