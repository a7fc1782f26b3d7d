"""How frames are encoded, and the bodies that are JSON.

wire/wire.go says what the frames mean; wire/testdata/frames.json holds both
sides to the same bytes. Like everything on the way to the first line of a
user's code this imports only what the interpreter has in C.

A frame that was received is a tuple::

    (type, call, index, body, attempt, logged)

``body`` is any object with the buffer interface: bytes for most frames, a
writable private mapping for a payload that came as a descriptor. ``logged`` is
the sequence number of the last log line, 0 where there is none.
"""

from __future__ import annotations

from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Tuple, Union

    Frame = Tuple[int, int, int, Any, int, int]
    Buffer = Union[bytes, bytearray, memoryview]

PROTOCOL = 1

# Limits; MAX_* in bytes.
HEADER_SIZE = 16
MAX_BODY = 64 << 20
INLINE_MAX = 256 << 10
MAX_PAYLOAD = 4 << 30

# Types of frames.
HELLO, READY, OPEN, INPUT, END, RESULT, ERROR, ITEM, FAIL = 1, 2, 3, 4, 5, 6, 7, 8, 9
CANCEL, REQUEST, REPLY, START, STOP, BYE, FAILED, OPENED = 10, 11, 12, 13, 14, 15, 16, 17
BATCH, WITHIN, ASK, ANSWER = 18, 19, 20, 21
STAGE, STAGED, SWAP = 22, 23, 24
WEB_REQUEST, WEB_RESPONSE, WEB_DATA, WEB_END, WEB_MESSAGE, WEB_CREDIT, WEB_GONE, WEB_CONN = 30, 31, 32, 33, 34, 35, 36, 37
_TYPES = frozenset([*range(HELLO, ANSWER + 1), *range(WEB_REQUEST, WEB_CONN + 1)])
_PAYLOADS = (INPUT, RESULT, ERROR, ITEM, FAILED, ASK, ANSWER)

ALL_INPUTS = 0xFFFFFFFF
RUNNER_CALL = 0x80000000  # set in the numbers of calls that a runner opens

# Flags.
FLAG_FD, FLAG_MORE, FLAG_LOGGED = 1, 2, 4

HEADER = Struct("<IBBHII")  # size, type, flags, attempt, call, index
U32 = Struct("<I")
U64 = Struct("<Q")


class ProtocolError(Exception):
    """The other side broke the rules; the connection cannot be used any more."""


class TooLarge(ValueError):
    """A payload or body is larger than its limit."""


def encode_message(head: Any, data: Buffer = b"") -> bytes:
    """The body of an ASK or ANSWER: the head's length, the head as JSON, then the data."""
    text = to_json(head)
    return b"".join((U32.pack(len(text)), text, data))


def decode_message(body: Buffer) -> Tuple[Any, memoryview]:
    """Takes the body of an ASK or ANSWER apart: (head, data). Raises ProtocolError."""
    view = memoryview(body)
    if len(view) < 4:
        raise ProtocolError(f"a body with a head has {len(view)} bytes")
    end = 4 + U32.unpack_from(view)[0]
    if end > len(view):
        raise ProtocolError(f"the head of a body has {end - 4} bytes of {len(view) - 4}")
    return from_json(view[4:end]), view[end:]


def encode(
    type: int,
    call: int = 0,
    index: int = 0,
    body: Buffer = b"",
    attempt: int = 0,
    flags: int = 0,
    logged: int = 0,
) -> bytes:
    """One frame as bytes. With FLAG_LOGGED ``logged`` is put before the body."""
    if flags & FLAG_LOGGED:
        body = U64.pack(logged) + bytes(body)
    if len(body) > MAX_BODY:
        raise TooLarge(f"a frame's body of {len(body)} bytes; at most {MAX_BODY} are allowed")
    return HEADER.pack(len(body), type, flags, attempt, call, index) + body


def decode(data: Buffer) -> Tuple[List[Frame], int]:
    """The whole frames at the beginning of ``data``, and how many bytes they are.

    For tests and tools: pieces are not joined and descriptors are not looked
    for; the body of a frame with FLAG_FD is the payload's size, an int.
    Raises ProtocolError.
    """
    frames: List[Frame] = []
    at, end = 0, len(data)
    while end - at >= HEADER_SIZE:
        size, type, flags, attempt, call, index = HEADER.unpack_from(data, at)
        check_header(size, type, flags)
        stop = at + HEADER_SIZE + size
        if stop > end:
            break
        body, logged = split_body(bytes(data[at + HEADER_SIZE : stop]), flags)
        frames.append((type, call, index, body, attempt, logged))
        at = stop
    return frames, at


def check_header(size: int, type: int, flags: int) -> None:
    """Holds a header to the limits; raises ProtocolError."""
    if type not in _TYPES:
        raise ProtocolError(f"unknown type of frame {type}")
    if size > MAX_BODY:
        raise ProtocolError(f"a frame announces a body of {size} bytes; at most {MAX_BODY} are allowed")
    if flags:
        extra = 8 if flags & FLAG_LOGGED else 0
        if flags > 7 or type not in _PAYLOADS and (type != FAIL or flags != FLAG_LOGGED):
            raise ProtocolError(f"a frame of type {type} has flags {flags:#x}")
        if flags & FLAG_FD and (flags & FLAG_MORE or size != 8 + extra) or size < extra:
            raise ProtocolError(f"a frame with flags {flags:#x} has a body of {size} bytes")


def split_body(body: Any, flags: int) -> Tuple[Any, int]:
    """Takes off what the flags put before a body: (body or size of the payload, logged)."""
    logged = 0
    if flags & FLAG_LOGGED:
        (logged,) = U64.unpack_from(body)
        body = body[8:]
    if flags & FLAG_FD:
        (body,) = U64.unpack(body)
        if body > MAX_PAYLOAD:
            raise ProtocolError(f"a payload of {body} bytes; at most {MAX_PAYLOAD} are allowed")
    return body, logged


# --- JSON bodies ----------------------------------------------------------


class _Context:
    """What the C scanner of the json module asks its decoder for."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict = {}


def from_json(body: Buffer) -> Any:
    """Decodes a JSON body; an empty one is {}. Raises ProtocolError.

    The json module takes longer to import than a container takes to start its
    Python, so its scanner, which is in C, is used without it.
    """
    if not len(body):
        return {}
    try:
        text = str(body, "utf-8").strip()
        value, end = _scan(text, 0)
    except (ValueError, StopIteration, RecursionError) as error:
        raise ProtocolError(f"a JSON body is not JSON: {error!r}") from None
    if end != len(text):
        raise ProtocolError("a JSON body goes on after its end")
    return value


def to_json(value: Any) -> bytes:
    """Encodes str, int, float, bool, None, bytes (as base64), lists and dicts with str keys.

    Raises ValueError for a float that is no number, TypeError for what has no JSON form.
    """
    return "".join(_pieces(value, 0)).encode()


def _base64(value: Any) -> str:
    """What the encoder asks about a value that it does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        from binascii import b2a_base64

        return b2a_base64(value, newline=False).decode()
    raise TypeError(f"{type(value).__name__} has no JSON form")


try:
    from _json import encode_basestring_ascii as _quoted
    from _json import make_encoder as _make_encoder
    from _json import make_scanner as _make_scanner

    _scan: Any = _make_scanner(_Context)  # type: ignore[arg-type]
    _pieces: Any = _make_encoder(None, _base64, _quoted, None, ":", ",", False, False, False)
except (ImportError, TypeError):  # a Python with another json module
    import json as _json_module

    _scan = _json_module.JSONDecoder().raw_decode

    def _pieces(value: Any, _: int) -> Any:
        return _json_module.JSONEncoder(default=_base64, separators=(",", ":"), allow_nan=False).iterencode(value)


def error_body(head: dict, pickled: Buffer = b"") -> bytes:
    """The body of ERROR and FAILED; ``head`` has the fields of wire.ErrorBody."""
    text = to_json(head)
    return U32.pack(len(text)) + text + pickled


def read_error_body(body: Buffer) -> Tuple[dict, Buffer]:
    """Takes the body of ERROR and FAILED apart: (head, pickled exception or b"")."""
    view = memoryview(body)
    if len(view) < 4 or U32.unpack_from(view)[0] > len(view) - 4:
        raise ProtocolError("the head of an error is cut off")
    end = 4 + U32.unpack_from(view)[0]
    head = from_json(view[4:end])
    if not isinstance(head, dict):
        raise ProtocolError("the head of an error is not an object")
    return head, view[end:]
