"""HTTP/2 and gRPC written by hand: what a client's library would not send.

Frames as bytes, and a connection that sends them as they are.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Sequence

from paddle_fence.messages import METHOD

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
INITIAL_WINDOW = 4  # the setting
# What may wait in this process for the server to read it.
_SEND_BUFFER = 1 << 16
# How long a connection waits for the server, in seconds.
PATIENCE_S = 10.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field, neither indexed nor compressed (RFC 7541, 6.2.2)."""
    return b"\x00" + text(name) + text(value)


def text(value: str) -> bytes:
    """A string of a header block, not Huffman-coded (RFC 7541, 5.2)."""
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


def begin(stream: int, block: bytes | None = None, flags: int = END_HEADERS) -> bytes:
    """The HEADERS frame of a call whose message does not come with it."""
    return frame(HEADERS, flags, stream, call_headers() if block is None else block)


def message(data: bytes, compressed: bool = False) -> bytes:
    """A gRPC message with its prefix of five bytes."""
    return struct.pack(">BI", compressed, len(data)) + data


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame of (identifier, value)."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def data_frames(stream: int, data: bytes) -> bytes:
    """All DATA frames of a call, the last of which ends it."""
    size = 16_384
    parts = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    last = len(parts) - 1
    return b"".join(
        frame(DATA, END_STREAM if place == last else 0, stream, part)
        for place, part in enumerate(parts)
    )


class Connection:
    """One connection that has sent its preface, with `pairs` of settings.

    answer: what has been read of the server's frames, without what `drain` threw away.
    ended: the calls that the server has reset.
    """

    def __init__(self, port: int, *pairs: tuple[int, int], preface: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
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
        except OSError:  # reset, closed, or not read for `PATIENCE_S`
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
            self.socket.settimeout(PATIENCE_S)
        return bool(data)

    def flood(self, parts: Iterable[bytes], seconds: float, reads: bool = False) -> int:
        """Send one part after the other for so long; how many were sent.

        reads: whether the server's answers are taken off the socket.
        """
        end, sent = time.monotonic() + seconds, 0
        self.socket.settimeout(min(PATIENCE_S, seconds))
        for part in parts:
            if time.monotonic() > end or not self.send(part) or (reads and not self.drain()):
                break
            sent += 1
        return sent

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def call(
    port: int, data: bytes, seconds: float = PATIENCE_S, more: Sequence[tuple[str, str]] = ()
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
