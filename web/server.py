"""uvicorn as the service's processes use it: connections that sit idle, an end, no signals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IDLE_S = 30.0  # a connection without a request for so long, up to twice, is closed
HEAD_BYTES = 65_536  # of a request's address and headers
HEADER_BYTES = 32  # what a header costs beside its text
# A body of more pieces than this has so many bytes in each on the average. A body in chunks of a
# byte would cost a hundred times what its bytes do.
PIECES = 1000
PIECE_BYTES = 64
# At the end: so long a request may still arrive, and an answer may stand still on its way out.
_LAST_S = 0.25
_LAST_STALL_S = 1.0


def _words(value: bytes) -> list[bytes]:
    """The words of a header that lists some."""
    return [word.strip() for word in value.lower().split(b",")]


class _Parser(httptools.HttpRequestParser):
    """httptools' parser for a connection that is upgraded to nothing.

    A request that asks for an upgrade is answered as if it did not (RFC 9110, 7.8); Java's client
    asks with every first one for HTTP/2. httptools ends it behind its headers, whatever body
    follows: another parser is given the head again, without the wish, and goes on from there.
    """

    def __init__(self, connection: _Protocol) -> None:
        super().__init__(connection)
        self._connection = connection
        # As uvicorn has it: a request may be sent before the last one's answer closes all.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        parse = super().feed_data
        left = memoryview(data)
        while left:
            try:
                parse(left)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if not self._connection.parser.ignores_upgrade():
                    raise
                left = left[upgrade.args[0] :]
                head = self._connection.head_without_upgrade()
                fresh = self._connection.parser = _Parser(self._connection)
                parse = super(_Parser, fresh).feed_data
                parse(head)

    def ignores_upgrade(self) -> bool:
        """Whether the request's head is not the one to go by; CONNECT is an upgrade by itself."""
        return self.should_upgrade() and self.get_method() != b"CONNECT"


class _Protocol(HttpToolsProtocol):
    """uvicorn's connection, closed when it sits idle or sends its headers drop by drop.

    Also when a request's address and headers are longer than any that is meant well: httptools
    collects them without end.
    """

    parser: _Parser
    _ending = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.parser = _Parser(self)

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
        if name.lower() == b"connection" and b"close" in _words(value):
            value = b"close"  # as uvicorn looks for it
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.ignores_upgrade():
            return
        self._in_head = False
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.ignores_upgrade():
            super().on_message_complete()

    def head_without_upgrade(self) -> bytes:
        """The request's head as it was sent, but for the header Upgrade."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % pair for pair in self.headers if pair[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

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

    def _watch(self, seen: object, unsent: int = 0) -> None:
        """Close a connection that was waiting for the same request at the last look already.

        And break one whose client has not taken a byte of its answer since then.
        """
        left = self.transport.get_write_buffer_size()
        if left and left == unsent:
            self.transport.abort()
            return
        if self.transport.is_closing():
            if left:
                self.loop.call_later(IDLE_S, self._watch, seen, left)
            return
        # Before the first request there is no cycle yet, whatever its annotation says.
        cycle: Any = self.cycle
        mark = None if cycle and not cycle.response_complete else (cycle or self)
        if mark is not None and mark is seen:
            self.transport.close()
            mark = None
        self.loop.call_later(IDLE_S, self._watch, mark, left)

    def shutdown(self) -> None:
        """The server ends: so does a connection, after the requests that have arrived."""
        self._ending = True
        cycle: Any = self.cycle
        if cycle is None:
            # Whoever has just connected is about to ask.
            self.loop.call_later(_LAST_S, self._end_unused)
        else:
            super().shutdown()
        self.loop.call_later(_LAST_S, self._let_go)
        self.loop.call_later(_LAST_STALL_S, self._hurry, -1)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._ending and not self.pipeline:
            self.transport.close()

    def _end_unused(self) -> None:
        cycle: Any = self.cycle
        if cycle is None:
            super().shutdown()

    def _let_go(self) -> None:
        """Do without what has not arrived by now."""
        cycle: Any = self.cycle
        if self.pipeline:
            newest, _ = self.pipeline[0]
            if newest.more_body:
                self.pipeline.popleft()
        elif cycle and cycle.more_body and not cycle.response_complete:
            self.transport.close()

    def _hurry(self, unsent: int) -> None:
        """Break a connection whose client does not take its answer."""
        if self not in self.connections:
            return
        left = self.transport.get_write_buffer_size()
        if left and left == unsent:
            self.transport.abort()
        self.loop.call_later(_LAST_STALL_S, self._hurry, left)


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
