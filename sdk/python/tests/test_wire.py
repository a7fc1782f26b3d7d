"""The codec: the same bytes as the host's, limits, payloads of every size, threads."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
import unittest
from pathlib import Path
from types import FrameType
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gx import _wire  # noqa: E402

VECTORS = json.loads((Path(__file__).resolve().parents[3] / "wire" / "testdata" / "frames.json").read_text())


def pair(**options: bool) -> tuple:
    """Two connected Connections, and a list for each of what its handler got."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    out = []
    for end in ends:
        got: list = []
        raw = socket.SocketType(fileno=end.detach())
        connection = _wire.Connection(raw, got.append, **options)
        out.append((connection, got))
    return out[0][0], out[0][1], out[1][0], out[1][1]


def send_fd(connection: _wire.Connection, data: list, fd: int) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
    connection.sock.sendmsg(data, rights)


class Vectors(unittest.TestCase):
    def test_good(self) -> None:
        for v in VECTORS["frames"]:
            with self.subTest(v["name"]):
                raw, body = bytes.fromhex(v["bytes"]), bytes.fromhex(v["body"])
                if v["flags"] & _wire.FLAG_FD:
                    body = struct.pack("<Q", v["file_size"])
                args = (v["type"], v["call"], v["index"], body, v["attempt"], v["flags"], v.get("logged", 0))
                self.assertEqual(_wire.encode(*args), raw)
                frames, used = _wire.decode(raw + raw[:10])
                self.assertEqual(used, len(raw))
                want = v["file_size"] if v["flags"] & _wire.FLAG_FD else body
                self.assertEqual(
                    frames, [(v["type"], v["call"], v["index"], want, v["attempt"], v.get("logged", 0))]
                )

    def test_bad(self) -> None:
        for v in VECTORS["bad"]:
            with self.subTest(v["name"]):
                with self.assertRaises(_wire.ProtocolError):
                    _wire.decode(bytes.fromhex(v["bytes"]))
                a, _, b, _ = pair()
                a.sock.sendall(bytes.fromhex(v["bytes"]))
                with self.assertRaises(_wire.ProtocolError):
                    b.wait(lambda: False, 5)
                with self.assertRaises(_wire.ProtocolError):  # sticky
                    b.wait(lambda: False, 5)
                a.close(), b.close()


class Json(unittest.TestCase):
    def test_round_trip(self) -> None:
        value = {
            "a": [1, -2, 1.5, True, False, None, "ü\ud83d\ude00\n\x00"],
            "b": {},
            "c": [],
            "d": {"e": "f"},
        }
        self.assertEqual(_wire.from_json(_wire.to_json(value)), json.loads(json.dumps(value)))
        self.assertEqual(json.loads(_wire.to_json(value)), json.loads(json.dumps(value)))
        self.assertEqual(_wire.from_json(b'  {"x": NaN} \n')["x"] != 0, True)
        self.assertEqual(_wire.from_json(b""), {})
        self.assertEqual(_wire.to_json(b"\x00\xff"), b'"AP8="')

    def test_bad(self) -> None:
        for bad in (b"{", b"nope", b"\xff", b"{} {}", b"[" * 100000, b'{"a":}'):
            with self.subTest(bad[:10]), self.assertRaises(_wire.ProtocolError):
                _wire.from_json(bad)
        for value in (object(), {"a": [object()]}, {object(): 1}):
            with self.assertRaises(TypeError):
                _wire.to_json(value)
        for number in (float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                _wire.to_json({"a": number})

    def test_error_body(self) -> None:
        head, pickled = _wire.read_error_body(_wire.error_body({"type": "ValueError", "line": 3}, b"abc"))
        self.assertEqual((head, bytes(pickled)), ({"type": "ValueError", "line": 3}, b"abc"))
        for bad in (b"", b"\1\0\0", b"\5\0\0\0{}", b"\2\0\0\0[]", b"\2\0\0\0{{"):
            with self.subTest(bad), self.assertRaises(_wire.ProtocolError):
                _wire.read_error_body(bad)


class Payloads(unittest.TestCase):
    def check(self, value: object) -> object:
        payload = _wire.dumps(value)
        back = _wire.loads(_wire.whole(payload))
        self.assertEqual(back, value)
        return payload

    def test_values(self) -> None:
        for value in (
            None,
            1,
            ((2,), {"a": 1}),
            "x" * 1000,
            list(range(100000)),
            b"y" * (1 << 20),
            {"a": b"z" * 300000, "b": bytearray(400000), "c": [b"w" * 70000] * 3},
        ):
            self.check(value)
        self.assertIsInstance(self.check(b"y" * _wire.INLINE_MAX), _wire.Parts)
        self.assertIsInstance(self.check(b"y" * 1000), bytes)

    def test_large_bytes_are_not_copied(self) -> None:
        value = b"x" * (4 << 20)
        payload = _wire.dumps(value)
        self.assertTrue(any(b is value for b in payload.buffers))

    def test_buffers_beside(self) -> None:
        class Array:  # as numpy's: its buffer goes beside the pickle
            def __init__(self, data: object) -> None:
                self.data = data

            def __reduce_ex__(self, protocol: int) -> tuple:
                return Array, (pickle.PickleBuffer(self.data),)

        Array.__qualname__, Array.__module__ = "Array", __name__
        globals()["Array"] = Array
        for size in (10, 100000, 300000, 5000000):
            arrays = [
                Array(bytearray(os.urandom(16) + bytes(size))),
                Array(bytes(size)),
                Array(bytearray(size + 7)),
            ]
            payload = _wire.dumps(arrays)
            data = bytearray(_wire.whole(payload))
            back = _wire.loads(data)
            self.assertEqual([bytes(a.data) for a in back], [bytes(a.data) for a in arrays])
            if size > _wire.INLINE_MAX:
                back[0].data[0] = 7  # writable, and refers to the payload
                self.assertIn(7, [data[i] for i in range(0, len(data), 64)])

    def test_pickling_in_pickling(self) -> None:
        class Nested:
            def __reduce__(self) -> tuple:
                return bytes, (_wire.whole(_wire.dumps([1, 2])),)

        self.assertEqual(_wire.loads(_wire.loads(_wire.whole(_wire.dumps([Nested(), 5])))[0]), [1, 2])

    def test_failed_pickling_leaves_nothing(self) -> None:
        for _ in range(3):
            with self.assertRaises(Exception):
                _wire.dumps([1, 2, lambda: 0])
            self.assertEqual(_wire.loads(_wire.dumps(3)), 3)

    def test_bad_payloads(self) -> None:
        for bad in (
            b"\0gxb\0\0\0\0",
            b"\0gxb\xff\xff\xff\xff" + bytes(20),
            b"\0abcdefgh",
            b"\0gxb\1\0\0\0" + struct.pack("<QQ", 1 << 60, 1),
        ):
            with self.subTest(bad), self.assertRaises(_wire.ProtocolError):
                _wire.loads(bad)


class Connections(unittest.TestCase):
    def exchange(self, values: list, **options: bool) -> list:
        a, _, b, got = pair(**options)

        def send() -> None:
            for i, value in enumerate(values):
                a.send_payload(_wire.INPUT, 7, i, _wire.dumps(value), attempt=1)

        thread = threading.Thread(target=send)
        thread.start()
        self.assertTrue(b.wait(lambda: len(got) == len(values), 60))
        thread.join()
        self.assertEqual(
            [f[:3] + f[4:] for f in got], [(_wire.INPUT, 7, i, 1, 0) for i in range(len(values))]
        )
        back = [_wire.loads(f[3]) for f in got]
        got.clear()
        self.assertEqual(back, values)
        del back
        a.close(), b.close()
        return []

    VALUES = [
        1,
        "x" * 100,
        b"y" * 40000,
        b"z" * 130000,
        b"w" * 262144,
        b"v" * 3000000,
        list(range(500000)),
        2,
        b"u" * 20_000_000,
        3,
    ]

    def test_descriptors(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        self.exchange(self.VALUES * 2, descriptors=True)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_pieces(self) -> None:
        self.exchange(self.VALUES, descriptors=False)

    def test_memory_file_is_reused_only_when_free(self) -> None:
        a, _, b, got = pair(descriptors=True)
        kept = []
        for i in range(6):
            value = bytes([i]) * 500_000
            a.send_payload(_wire.INPUT, 1, i, _wire.dumps(value))
            self.assertTrue(b.wait(lambda: got, 5))
            kept.append((value, got.pop()[3]))
        for value, body in kept:  # what was received did not change as more was sent
            self.assertEqual(_wire.loads(body), value)
        kept.clear()
        del body
        inodes = set()
        for i in range(6):
            a.send_payload(_wire.INPUT, 1, i, _wire.dumps(bytes(500_000)))
            self.assertTrue(b.wait(lambda: got, 5))
            got.clear()
            inodes |= {os.fstat(fd).st_ino for fd, _ in a._files.kept}
        self.assertLessEqual(len(inodes), 3)
        a.close(), b.close()

    def test_large_frame_takes_linear_time(self) -> None:
        """A body of 48 MB in one frame, coming in small pieces."""
        a, _, b, got = pair()
        size = 48 << 20
        frame = _wire.encode(_wire.INPUT, 1, 0, bytes(size))
        thread = threading.Thread(
            target=lambda: [a.sock.sendall(frame[i : i + 65536]) for i in range(0, len(frame), 65536)]
        )
        start = time.perf_counter()
        thread.start()
        self.assertTrue(b.wait(lambda: got, 60))
        self.assertLess(time.perf_counter() - start, 5)  # a buffer that grows by copying takes half a minute
        self.assertEqual(len(got[0][3]), size)
        thread.join()
        a.close(), b.close()

    def test_every_cut(self) -> None:
        """Frames arrive however they are cut."""
        stream = b"".join(_wire.encode(_wire.INPUT, 1, i, bytes([i]) * (i * 7)) for i in range(20))
        for step in (1, 2, 3, 15, 16, 17, 50):
            a, _, b, got = pair()
            for at in range(0, len(stream), step):
                a.sock.sendall(stream[at : at + step])
                while b.serve() and len(got) < 20 and at + step >= len(stream):
                    pass
            self.assertEqual(
                [(f[2], bytes(f[3])) for f in got], [(i, bytes([i]) * (i * 7)) for i in range(20)]
            )
            a.close(), b.close()

    def test_ends(self) -> None:
        a, _, b, got = pair()
        a.send(_wire.encode(_wire.BYE))
        a.close()
        with self.assertRaises(_wire.Closed):
            b.wait(lambda: False, 5)
        self.assertEqual(len(got), 1)
        with self.assertRaises(_wire.Closed):
            b.send(_wire.encode(_wire.BYE))
        b.close()
        a, _, b, got = pair()
        a.sock.sendall(_wire.encode(_wire.INPUT, 1, 1, b"x" * 100)[:50])
        a.close()
        with self.assertRaises(_wire.Closed):
            b.wait(lambda: False, 5)
        b.close()

    def test_descriptor_that_did_not_come(self) -> None:
        a, _, b, _ = pair()
        a.sock.sendall(_wire.encode(_wire.RESULT, 1, 1, struct.pack("<Q", 5), flags=_wire.FLAG_FD))
        with self.assertRaises(_wire.ProtocolError):
            b.wait(lambda: False, 5)
        a.close(), b.close()

    def test_descriptor_is_too_short(self) -> None:
        a, _, b, _ = pair()
        with open(__file__, "rb") as file:
            send_fd(
                a,
                [_wire.encode(_wire.RESULT, 1, 1, struct.pack("<Q", 1 << 30), flags=_wire.FLAG_FD)],
                file.fileno(),
            )
        with self.assertRaises(_wire.ProtocolError):
            b.wait(lambda: False, 5)
        a.close(), b.close()

    def test_unsealed_file_is_read_not_mapped(self) -> None:
        a, _, b, got = pair()
        fd = os.memfd_create("t")
        os.write(fd, b"abc" * 100)
        send_fd(a, [_wire.encode(_wire.RESULT, 1, 1, struct.pack("<Q", 300), flags=_wire.FLAG_FD)], fd)
        self.assertTrue(b.wait(lambda: got, 5))
        os.ftruncate(fd, 0)
        self.assertEqual(bytes(got[0][3]), b"abc" * 100)
        os.close(fd)
        a.close(), b.close()

    def test_threads_wait_together(self) -> None:
        """Many threads wait, each for its own frame; each gets it whoever reads."""
        a, _, b, _ = pair()
        answers: dict = {}
        b.handler = lambda frame: answers.__setitem__(frame[2], frame)

        def echo() -> None:
            try:
                a.wait(lambda: False)
            except _wire.Closed:
                pass

        a.handler = lambda frame: a.send(_wire.encode(_wire.RESULT, 1, frame[2], frame[3]))
        failed = []

        def caller(me: int) -> None:
            for i in range(200):
                index = me * 1000 + i
                b.send(_wire.encode(_wire.INPUT, 1, index, b"x"))
                if not b.wait(lambda: index in answers, 20):
                    failed.append(index)

        echoer = threading.Thread(target=echo)
        echoer.start()
        callers = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
        [t.start() for t in callers]
        [t.join() for t in callers]
        b.close()
        echoer.join()
        self.assertEqual(failed, [])
        self.assertEqual(len(answers), 1600)
        a.close()

    def test_all_waiters_hear_of_the_end(self) -> None:
        a, _, b, _ = pair()
        heard = []

        def wait() -> None:
            try:
                b.wait(lambda: False, 20)
            except _wire.Closed:
                heard.append(1)

        threads = [threading.Thread(target=wait) for _ in range(5)]
        [t.start() for t in threads]
        a.close()
        [t.join() for t in threads]
        self.assertEqual(len(heard), 5)
        b.close()

    def test_timeout(self) -> None:
        a, _, b, _ = pair()
        start = time.monotonic()
        self.assertFalse(b.wait(lambda: False, 0.05))
        self.assertLess(time.monotonic() - start, 20)
        a.close(), b.close()

    def test_exception_of_a_signal_handler_tears_no_frame(self) -> None:
        a, _, b, got = pair()

        class Interrupt(Exception):
            pass

        def handler(_: int, frame: Optional[FrameType]) -> None:
            # Only what is in the midst of sending is interrupted, not the test around it.
            while frame is not None and frame.f_code is not sending:
                frame = frame.f_back
            if frame is not None and not a.guarded(threading.get_ident()):
                raise Interrupt

        sending = _wire.Connection.send.__code__

        # Where the exception falls into a callback of the collector, nobody can catch it. What tells of that
        # must not be Python code, which would be interrupted in its turn.
        self.addCleanup(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = id
        old = signal.signal(signal.SIGALRM, handler)
        reader = threading.Thread(target=lambda: b.wait(lambda: got and got[-1][2] == 1 << 20, 60))
        reader.start()
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        interrupted = index = 0
        try:
            while interrupted < 200 and index < 3000:
                try:
                    while True:
                        a.send(_wire.encode(_wire.INPUT, 1, index, b"x" * 100_000))
                        index += 1
                        if index >= 3000:
                            break
                except Interrupt:
                    interrupted += 1
        finally:
            while True:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    signal.signal(signal.SIGALRM, old)
                    break
                except Interrupt:
                    pass
        a.send(_wire.encode(_wire.BYE, 1, 1 << 20))
        reader.join()
        self.assertTrue(all(f[0] in (_wire.INPUT, _wire.BYE) for f in got))
        self.assertGreater(interrupted, 0)
        a.close(), b.close()

    def test_forked_child_is_mute(self) -> None:
        a, _, b, got = pair()
        child = os.fork()
        if child == 0:
            try:
                a.send(_wire.encode(_wire.BYE, 99))
            except _wire.Closed:
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        a.send(_wire.encode(_wire.BYE, 1))
        self.assertTrue(b.wait(lambda: got, 5))
        self.assertEqual([f[1] for f in got], [1])
        a.close(), b.close()


if __name__ == "__main__":
    unittest.main()
