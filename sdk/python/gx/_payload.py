"""Values as payloads, and the memory files that large payloads travel in."""

from __future__ import annotations

import os
from _pickle import Pickler, PickleBuffer
from _pickle import loads as _unpickle
from _thread import allocate_lock

from gx._frames import INLINE_MAX, MAX_PAYLOAD, U32, U64, ProtocolError, TooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence, Tuple, Union

    from gx._frames import Buffer

    Payload = Union[bytes, "Parts"]

# A payload is a pickle of protocol 5, or, where large buffers lie beside their
# pickle so that nobody copies them: this mark (no pickle begins with 0), the
# number of buffers, the sizes of the pickle and of each buffer, and then these,
# each at a multiple of 64 bytes.
_MARK = b"\0gxb"


class Parts:
    """A payload that is larger than INLINE_MAX, as buffers that lie one after the other."""

    __slots__ = ("buffers", "size")

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers = buffers
        self.size = sum([len(b) for b in buffers])

    def __len__(self) -> int:
        return self.size


class _Pickling:
    """A pickler that is used again and again: as fast as pickle.dumps, without copying large parts."""

    __slots__ = ("pickler", "written", "outside", "write")

    def __init__(self) -> None:
        self.written: list = []
        self.outside: list = []
        self.write = self.written.append
        self.pickler = Pickler(self, 5, buffer_callback=self.buffer)

    def buffer(self, buffer: PickleBuffer) -> bool:
        """Called for each buffer that need not be in the pickle. True puts it there."""
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if view.nbytes < INLINE_MAX:
            return True
        self.outside.append(view)
        return False

    def dump(self, value: Any) -> Payload:
        pickler, written = self.pickler, self.written
        try:
            pickler.dump(value)
            if len(written) == 1 and not self.outside and len(written[0]) <= INLINE_MAX:
                small: bytes = written[0]
                return small
            # Large parts are written as the objects that have them.
            written[:] = [b.raw() if type(b) is PickleBuffer else b for b in written]
            if not self.outside:
                parts = Parts(list(written))
                return b"".join(parts.buffers) if parts.size <= INLINE_MAX else parts
            return self.beside()
        finally:
            pickler.clear_memo()
            written.clear()
            self.outside.clear()

    def beside(self) -> Parts:
        """The payload with its large buffers beside the pickle."""
        sizes = [sum([len(b) for b in self.written])] + [b.nbytes for b in self.outside]
        head = _MARK + U32.pack(len(self.outside)) + b"".join([U64.pack(n) for n in sizes])
        buffers: List[Buffer] = [head]
        at = len(head)
        for group, size in zip([list(self.written)] + [[b] for b in self.outside], sizes):
            buffers.append(bytes(-at % 64))
            buffers.extend(group)
            at += -at % 64 + size
        return Parts(buffers)


_picklings: List[_Pickling] = []  # not in use


def dumps(value: Any) -> Payload:
    """Pickles a value. Whatever its pickling raises goes through."""
    try:
        pickling = _picklings.pop()
    except IndexError:  # all are in use: by other threads, or by an object that is just being pickled
        pickling = _Pickling()
    try:
        payload = pickling.dump(value)
    except BaseException:
        raise  # a pickler that was interrupted is not used again
    _picklings.append(pickling)
    if len(payload) > MAX_PAYLOAD:
        raise TooLarge(f"a value of {len(payload)} bytes when pickled; at most {MAX_PAYLOAD} are allowed")
    return payload


def whole(payload: Union[Payload, Buffer]) -> Buffer:
    """A payload as one buffer."""
    return b"".join(payload.buffers) if isinstance(payload, Parts) else payload


def loads(payload: Buffer) -> Any:
    """Unpickles a payload. Arrays in a large one are not copied: they refer to ``payload``."""
    if len(payload) < 8 or payload[0] != 0:
        return _unpickle(payload)
    view = memoryview(payload)
    if view[:4] != _MARK:
        raise ProtocolError("a payload is no pickle")
    (count,) = U32.unpack_from(view, 4)
    at = 8 + 8 * (count + 1)
    if at > len(view):
        raise ProtocolError("a payload's head is cut off")
    parts = []
    for i in range(count + 1):
        (size,) = U64.unpack_from(view, 8 + 8 * i)
        at += -at % 64
        if at + size > len(view):
            raise ProtocolError("a payload's buffer is cut off")
        parts.append(view[at : at + size])
        at += size
    return _unpickle(parts[0], buffers=parts[1:])


# --- memory files ---------------------------------------------------------

_F_ADD_SEALS, _F_GET_SEALS, _F_SEAL_SHRINK = 1033, 1034, 2


def _write_file(fd: int, buffers: Sequence[Buffer]) -> None:
    """Writes buffers to the beginning of a file, with few system calls."""
    at = 0
    pending = [memoryview(b).cast("B") for b in buffers if len(b)]
    while pending:
        n = os.pwritev(fd, pending[:512], at)
        at += n
        while pending and n >= len(pending[0]):
            n -= len(pending.pop(0))
        if n:
            pending[0] = pending[0][n:]


def map_file(fd: int, size: int) -> Buffer:
    """The first ``size`` bytes of a payload's file: mapped, so that they are not copied.

    Writing to the mapping changes it for this process only. A file that
    somebody could cut short under the mapping is read instead.
    """
    if size == 0:
        return b""
    info = os.fstat(fd)
    if info.st_size < size or (info.st_mode & 0o170000) != 0o100000:
        raise ProtocolError(f"a payload of {size} bytes is announced, its descriptor has {info.st_size}")
    try:
        from fcntl import fcntl

        sealed = fcntl(fd, _F_GET_SEALS) & _F_SEAL_SHRINK
    except (ImportError, OSError):
        sealed = 0
    if sealed:
        import mmap

        return memoryview(mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE))
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        n = os.preadv(fd, [view[at:]], at)
        if n == 0:
            raise ProtocolError("a payload's file was cut short")
        at += n
    return data


class Files:
    """Memory files for payloads, used again when nobody else has them open any more.

    Fresh pages are what a large payload costs; a file that is used again has
    its pages. Whether the receiver, and arrays that refer to its mapping, are
    done with a file is asked of the kernel: a write lease is granted only if
    no other description of the file is open or mapped anywhere.
    """

    KEEP = 2  # files
    KEEP_BYTES = 128 << 20  # in all files that are kept

    def __init__(self) -> None:
        self.kept: List[Tuple[int, int]] = []  # (descriptor, size); given out, perhaps free again
        self.lock = allocate_lock()

    def write(self, buffers: Sequence[Buffer], size: int) -> int:
        """A new descriptor of a file with these bytes. The caller closes it."""
        fd = self._take(size)
        try:
            _write_file(fd, buffers)
            passed = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return fd  # without /proc: give the only descriptor away
        self._keep(fd, size)
        return passed

    def _take(self, size: int) -> int:
        with self.lock:
            for i, (fd, had) in enumerate(self.kept):
                # A file that is much too large is left for a payload of its size.
                if size // 4 <= had and self._free(fd):
                    del self.kept[i]
                    return fd
        fd = os.memfd_create("gx-payload", os.MFD_CLOEXEC | 2)  # MFD_ALLOW_SEALING, no name for it in 3.9
        try:
            from fcntl import fcntl

            fcntl(fd, _F_ADD_SEALS, _F_SEAL_SHRINK)
            # Only a description that was opened counts as a writer for the lease.
            again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        except (ImportError, OSError):
            return fd
        os.close(fd)
        return again

    @staticmethod
    def _free(fd: int) -> bool:
        try:
            import fcntl

            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
        return True

    def _keep(self, fd: int, size: int) -> None:
        size = max(size, os.fstat(fd).st_size)
        with self.lock:
            self.kept.append((fd, size))
            while (
                len(self.kept) > self.KEEP or sum([s for _, s in self.kept]) > self.KEEP_BYTES and self.kept
            ):
                os.close(self.kept.pop(0)[0])

    def close(self) -> None:
        with self.lock:
            for fd, _ in self.kept:
                os.close(fd)
            self.kept.clear()
