"""uvicorn as the service's processes use it: sockets, connections that sit idle, no signals."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Literal

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IDLE_S = 30.0  # a connection without a request for so long, up to twice, is closed
HEAD_BYTES = 65_536  # of a request's address and headers
HEADER_BYTES = 32  # what a header costs beside its text
# A body of more pieces than this has so many bytes in each on the average. A body in chunks of a
# byte would cost a hundred times what its bytes do.
PIECES = 1000
PIECE_BYTES = 64


class _Protocol(HttpToolsProtocol):
    """uvicorn's connection, closed when it sits idle or sends its headers drop by drop.

    Also when a request's address and headers are longer than any that is meant well: httptools
    collects them without end.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin_head()
        self.loop.call_later(IDLE_S, self._watch, None)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # The parser tells of a name or a value when that is complete, which it may never be.
        if self._in_head:
            self._count(len(data))

    def on_message_begin(self) -> None:
        self._begin_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(HEADER_BYTES)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        self._pieces += 1
        self._body_bytes += len(body)
        if self._pieces > PIECES and self._body_bytes < self._pieces * PIECE_BYTES:
            self.transport.close()
            return
        super().on_body(body)

    def _begin_head(self) -> None:
        self._pieces = self._body_bytes = 0
        self._in_head = True
        self._head_bytes = 0

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.transport.close()

    def _watch(self, seen: object) -> None:
        """Close a connection that was waiting for the same request at the last look already."""
        if self.transport.is_closing():
            return
        # Before the first request there is no cycle yet, whatever its annotation says.
        cycle: Any = self.cycle
        mark = None if cycle and not cycle.response_complete else (cycle or self)
        if mark is not None and mark is seen:
            self.transport.close()
        else:
            self.loop.call_later(IDLE_S, self._watch, mark)


class HttpServer(uvicorn.Server):
    """uvicorn without its own handling of signals: the process has it."""

    def __init__(self, app: Any, timeout_ms: int, lifespan: Literal["on", "off"] = "off") -> None:
        """timeout_ms: in which a request is answered, so that an end waits as long for those."""
        settings = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan=lifespan,
            access_log=False,
            # It would believe X-Forwarded-For of every program of this machine.
            proxy_headers=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=timeout_ms // 1000 + 1,
        )
        super().__init__(settings)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int, shared: bool) -> socket.socket:
    """A listening socket; with `shared`, replicas may listen on the port as well.

    Raises OSError where the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on: answers would wait 40 ms for an
    # acknowledgement that the client's system holds back.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind((host, port))
        made.listen(1024)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made
