"""Answers for the gateway while that is away: 503, and why."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from client.rest.error_numbers import ErrorNumber

_HEAD_S = 5.0
_HEAD_BYTES = 65_536
_CONNECTIONS = 256


class UnavailableServer:
    """Accepts on the gateway's own listening socket while there is no gateway.

    The socket is the parent's, and each gateway gets a copy: connections that come between the
    one and the other wait in its queue.
    """

    def __init__(self, listening: socket.socket, why: Callable[[], str]) -> None:
        """why: a sentence; asked for each answer."""
        self._listening = listening
        self._why = why
        self._loop = asyncio.new_event_loop()
        self._open = 0
        self._server: asyncio.AbstractServer | None = None
        threading.Thread(
            target=self._loop.run_forever, name="UnavailableServer", daemon=True
        ).start()

    def start(self) -> None:
        """Answer from now on."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Leave what comes to the gateway."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    async def _start(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._answer, sock=self._listening.dup(), limit=_HEAD_BYTES, backlog=1024
            )

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            with contextlib.suppress(OSError, asyncio.TimeoutError, ValueError, EOFError):
                await asyncio.wait_for(self._one(reader, writer), _HEAD_S)
        finally:
            self._open -= 1
            writer.transport.abort() if writer.is_closing() else writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return
        words = head.split(b"\r\n", 1)[0].split(b" ")
        path = words[1].partition(b"?")[0] if len(words) == 3 else b""
        if path == b"/health":
            content: dict[str, Any] = {
                "status": "unavailable",
                "reasons": [self._why()],
                "models": {},
            }
        else:
            content = {
                "error_code": ErrorNumber.PIPELINE,
                "error_msg": f"system busy: {self._why()}",
            }
        body = json.dumps(content).encode()
        writer.write(
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
            b"retry-after: 1\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + (b"" if words[0] == b"HEAD" else body)
        )
        await writer.drain()
        writer.write_eof()
        # What the client is still sending is read, or the answer would be lost on its way.
        while await reader.read(_HEAD_BYTES):
            pass
