"""Streams and events: everything happens at once and in order, in CPU time."""

import contextlib
import time

import torch
from gx_cuda import cards, faults

_ORIGINALS = {name: getattr(torch.cuda, name) for name in ("Stream", "Event")}


@contextlib.contextmanager
def originals():
    """A block in which torch.cuda has its own classes: TorchDynamo insists on their bases when it is imported."""
    ours = {name: getattr(torch.cuda, name) for name in _ORIGINALS}
    try:
        for name, kind in _ORIGINALS.items():
            setattr(torch.cuda, name, kind)
        yield
    finally:
        for name, kind in ours.items():
            setattr(torch.cuda, name, kind)


def synchronize(device=None):
    """torch.cuda.synchronize: everything is done already; tells of faults."""
    cards.initialize()
    cards.check(cards.index_of(device))
    faults.check()


class Stream:
    """torch.cuda.Stream"""

    _next = 0

    def __init__(self, device=None, priority=0, stream_id=None, device_index=None, device_type=None, **_):
        self.device_index = cards.index_of(device) if device_index is None else device_index
        self.device = torch.device("cuda", self.device_index)
        self.priority = priority
        if stream_id is None:
            Stream._next += 1
            stream_id = Stream._next
        self.stream_id = stream_id
        self.cuda_stream = stream_id
        self.device_type = 1

    @staticmethod
    def priority_range():
        return 0, -5

    def wait_event(self, event):
        """Everything before it is done."""

    def wait_stream(self, stream):
        """Everything on it is done."""

    def record_event(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def query(self):
        return True

    def is_capturing(self):
        return False

    @property
    def native_handle(self):
        return self.cuda_stream

    def synchronize(self):
        faults.check()

    @property
    def _as_parameter_(self):
        import ctypes

        return ctypes.c_void_p(self.cuda_stream)

    def __enter__(self):
        self._block = stream(self)
        self._block.__enter__()
        return self

    def __exit__(self, *error):
        return self._block.__exit__(*error)

    def __eq__(self, other):
        return isinstance(other, Stream) and (self.device_index, self.stream_id) == (other.device_index, other.stream_id)

    def __hash__(self):
        return hash((self.device_index, self.stream_id))

    def __repr__(self):
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """torch.cuda.ExternalStream"""

    def __init__(self, stream_ptr, device=None, **_):
        super().__init__(device, stream_id=stream_ptr)


class Event:
    """torch.cuda.Event: a moment in this process's time."""

    def __init__(self, enable_timing=False, blocking=False, interprocess=False, **_):
        self.enable_timing = enable_timing
        self.device = torch.device("cuda", cards.current())
        self._at = None

    def record(self, stream=None):
        self._at = time.perf_counter()

    def wait(self, stream=None):
        """It has happened."""

    def query(self):
        return True

    def elapsed_time(self, end_event):
        """Milliseconds of CPU time between two records, not those of the card."""
        if not (self.enable_timing and end_event.enable_timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._at is None or end_event._at is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._at - self._at) * 1000

    def synchronize(self):
        faults.check()

    def ipc_handle(self):
        from gx_cuda import refusals

        raise refusals.error("Sharing a CUDA event between processes", "it hands out a handle of the GPU's driver")

    def __repr__(self):
        return "<torch.cuda.Event uninitialized>" if self._at is None else f"<torch.cuda.Event {id(self):#x}>"


class _Current:
    """The current stream of each card."""

    def __init__(self):
        self.default = {}
        self.now = {}

    def of(self, index):
        return self.now.get(index) or self.default_of(index)

    def default_of(self, index):
        if index not in self.default:
            self.default[index] = Stream(device_index=index, stream_id=0)
        return self.default[index]


_current = _Current()


def current_stream(device=None):
    """torch.cuda.current_stream"""
    cards.initialize()
    return _current.of(cards.check(cards.index_of(device)))


def default_stream(device=None):
    """torch.cuda.default_stream"""
    cards.initialize()
    return _current.default_of(cards.check(cards.index_of(device)))


def set_stream(stream):
    """torch.cuda.set_stream"""
    if stream is not None:
        _current.now[stream.device_index] = stream


class StreamContext:
    """torch.cuda.stream: a block with another current stream, on its card."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        if self.stream is None:
            return
        index = self.stream.device_index
        self._before = cards.current(), _current.of(index)
        cards.set_current(index)
        _current.now[index] = self.stream

    def __exit__(self, *_):
        if self.stream is not None:
            current, before = self._before
            _current.now[self.stream.device_index] = before
            cards.set_current(current)


def stream(stream):
    """torch.cuda.stream"""
    return StreamContext(stream)


def _generic(original, ours, make):
    """torch.Stream or torch.Event: those of a card are ours."""

    class Meta(type):
        def __instancecheck__(cls, x):
            return isinstance(x, (original, ours))

    def new(cls, device=None, *args, **kwargs):
        if device is None or type(device) is int or torch.device(device).type == "cuda":
            return make(device, *args, **kwargs)
        return original(device, *args, **kwargs)

    return Meta(original.__name__, (), {"__new__": new, "__module__": "torch", "__doc__": original.__doc__})


def _event(device=None, **options):
    made = Event(**options)
    made.device = torch.device("cuda", cards.index_of(device))
    return made


def patch():
    """torch.Stream and torch.Event, which are of any device from 2.4 on."""
    if hasattr(torch, "Event"):
        torch.Stream = _generic(torch.Stream, Stream, Stream)
        torch.Event = _generic(torch.Event, Event, _event)
