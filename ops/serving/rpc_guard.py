"""Watches the connections of gRPC: whoever stalls, floods or sits idle has to go.

gRPC's own core bounds frames, headers and streams (see `ops/serving/rpc_server.py`). It has no
bound on the time that a message takes to arrive or an answer to be read, none on what half-sent
messages hold in memory, and its bound on connections turns newcomers away while the idle ones stay.
What is missing is made up for from outside: the connections' sockets are found among this process's
descriptors, asked what they have received and sent, and shut down where need be.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

from ops.errors import ErrorKind, ServiceError
from ops.serving.rpc_calls import Call, Calls

_LOGGER = logging.getLogger(__name__)
LOOK_S = 0.1
# So long a message may stand still on its way here, or an answer on its way out.
STALL_S = 10.0
# The same for an answer, once the server is to end.
LAST_STALL_S = 1.0
# Connections; an open one takes about 15 KB. Of more, those that have been silent longest go.
MOST_CONNECTIONS = 2048
_COUNT_EVERY = 10  # looks
_QUIET_LOOKS = 3
# Finding sockets may take so much of the loop's time at most.
_SHARE = 0.05
# In the kernel's struct tcp_info: last_data_recv (ms), bytes_acked, bytes_received.
_LAST_RECEIVED, _ACKED, _RECEIVED, _INFO = 52, 120, 128, 136


@dataclass
class _Seen:
    """A connection that a call has stood still on. moved: when bytes were last seen to move."""

    socket: socket.socket
    received: int
    acked: int
    moved: float
    first: int

    def look(self, now: float) -> None:
        """Ask the socket."""
        _, acked, received = _info(self.socket)
        if (acked, received) != (self.acked, self.received):
            self.acked, self.received, self.moved = acked, received, now


class Guard:
    """Looks at a server's calls and connections ten times a second, once it is started.

    port: of the server. timeout_s: for a whole message to arrive, or a whole answer to be read.
    upload_bytes: of all messages together that are on their way here.
    """

    def __init__(self, calls: Calls, port: int, timeout_s: float, upload_bytes: int) -> None:
        self._calls = calls
        self._port = port
        self._timeout_s = timeout_s
        self._upload_bytes = upload_bytes
        self._seen: dict[str, _Seen] = {}
        self._next_search = 0.0
        self._looks = 0
        self._stall_s = STALL_S
        self._ending = False
        self._quiet_looks = 0

    def start(self) -> None:
        """Begin to look; in the running event loop."""
        asyncio.get_running_loop().call_later(LOOK_S, self._run)

    def hurry(self) -> None:
        """From now on nothing that stands still is waited for: the server is to end."""
        self._ending = True
        self._stall_s = LAST_STALL_S

    def _run(self) -> None:
        try:
            self._look(time.monotonic())
        except OSError:  # no descriptor left for looking
            _LOGGER.warning("the connections cannot be looked at", exc_info=True)
        self.start()

    def _look(self, now: float) -> None:
        waiting = [call for call in self._calls.waiting if now - call.since > LOOK_S]
        leaving = [call for call in self._calls.leaving if now - call.since > LOOK_S]
        self._watch({call.peer for call in (*waiting, *leaving)}, now)
        for seen in self._seen.values():
            seen.look(now)
        for call in waiting:
            if self._ending:
                self._end(call, ServiceError(ErrorKind.SHUTTING_DOWN))
            elif self._is_stuck(call, now):
                self._end(call, ServiceError(ErrorKind.TIMEOUT, "The message did not arrive."))
        for peer in {call.peer for call in leaving if self._is_stuck(call, now)}:
            self._hang_up(peer, "it does not take its answers")
        self._bound_uploads()
        if self._ending:
            self._let_go()
        self._looks += 1
        if self._looks % _COUNT_EVERY == 0 and _descriptors() > MOST_CONNECTIONS:
            self._bound_connections()

    def _end(self, call: Call, error: ServiceError) -> None:
        del self._calls.waiting[call]
        self._calls.leave(call)
        call.end(error)

    def _is_stuck(self, call: Call, now: float) -> bool:
        if now - call.since > self._timeout_s:
            return True
        seen = self._seen.get(call.peer)
        return seen is not None and now - max(seen.moved, call.since) > self._stall_s

    def _watch(self, peers: set[str], now: float) -> None:
        """Have the sockets of these connections at hand, and of no others."""
        for peer in [peer for peer in self._seen if peer not in peers]:
            self._seen.pop(peer).socket.close()
            self._calls.delivered.pop(peer, None)
        missing = peers - self._seen.keys()
        if not missing or now < self._next_search:
            return
        for peer, found in _sockets(self._port):
            if peer in missing:
                # Not `found.dup()`, which would make the socket wait, gRPC's own with it.
                kept = socket.socket(fileno=os.dup(found.fileno()))
                _, acked, received = _info(kept)
                self._seen[peer] = _Seen(kept, received, acked, now, received)
                self._calls.delivered[peer] = 0
        took = time.monotonic() - now
        self._next_search = now + took / _SHARE

    def _bound_uploads(self) -> None:
        """End the calls of whoever has most on its way, until the rest is not too much."""
        pending = {
            peer: seen.received - seen.first - self._calls.delivered[peer]
            for peer, seen in self._seen.items()
        }
        while pending and sum(pending.values()) > self._upload_bytes:
            peer = max(pending, key=lambda one: pending[one])
            del pending[peer]
            for call in [call for call in self._calls.waiting if call.peer == peer]:
                self._end(call, ServiceError(ErrorKind.BUSY, "Too much is being uploaded."))
            seen = self._seen[peer]
            seen.first, self._calls.delivered[peer] = seen.received, 0

    def _let_go(self) -> None:
        """At the end, when no calls are left: hang up on clients that do not.

        gRPC asks each by a PING whether it has understood, and waits 20 s for its word.
        """
        self._quiet_looks = 0 if self._calls.here else self._quiet_looks + 1
        if self._quiet_looks >= _QUIET_LOOKS:
            for _, found in _sockets(self._port):
                _shut_down(found)

    def _bound_connections(self) -> None:
        silent = []
        count = 0
        for peer, found in _sockets(self._port):
            count += 1
            if peer not in self._calls.here:
                silent.append((_info(found)[0], peer))
        # Some more than need be, so that this is not done for every one that comes.
        gone = sorted(silent, reverse=True)[: max(count - MOST_CONNECTIONS * 3 // 4, 0)]
        if count > MOST_CONNECTIONS and gone:
            chosen = {peer for _, peer in gone}
            for peer, found in _sockets(self._port):
                if peer in chosen:
                    _shut_down(found)
            _LOGGER.warning("%d of %d gRPC connections were closed", len(chosen), count)

    def _hang_up(self, peer: str, why: str) -> None:
        _LOGGER.warning("a gRPC connection is closed: %s", why)
        seen = self._seen.get(peer)
        if seen is not None:
            _shut_down(seen.socket)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _sockets(port: int) -> Iterator[tuple[str, socket.socket]]:
    """This process's connections to a port of its own, as gRPC names them; closed after use.

    A copy of the descriptor is asked, so that gRPC may close its own at any time.
    """
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as copy:
                is_ip = copy.family in (socket.AF_INET, socket.AF_INET6)
                if is_ip and copy.getsockname()[1] == port:
                    yield _name(copy.getpeername()), copy
        except OSError:  # closed meanwhile, or a listening one
            continue


def _name(address: tuple[str, int]) -> str:
    """As `context.peer()` names the other end."""
    host = address[0]
    if host.startswith("::ffff:") and "." in host:
        host = host[len("::ffff:") :]
    if ":" in host:
        return f"ipv6:{urllib.parse.quote(f'[{host}]', safe=':')}:{address[1]}"
    return f"ipv4:{host}:{address[1]}"


def _info(one: socket.socket) -> tuple[int, int, int]:
    """Milliseconds since bytes came; bytes that the other end has taken, and that came."""
    data = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO)
    data = data.ljust(_INFO, b"\0")
    (silent,) = struct.unpack_from("=I", data, _LAST_RECEIVED)
    acked, received = struct.unpack_from("=QQ", data, _ACKED)
    return silent, acked, received


def _shut_down(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:  # gone already
        return
