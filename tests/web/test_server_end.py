"""The end of an HTTP server: who has just connected is still answered."""

from __future__ import annotations

import asyncio
import socket

from web import server
from web.server import HttpServer


async def app(scope, receive, send) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


async def ended_before_the_request() -> bytes:
    """What a client reads that connects before the end begins, and asks after it has begun."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        http = HttpServer(app, 30_000)
        serving = asyncio.ensure_future(http.serve(sockets=[listening]))
        while not http.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        while not http.server_state.connections:
            await asyncio.sleep(0.01)
        (connection,) = http.server_state.connections
        http.should_exit = True
        while not connection._ending:
            await asyncio.sleep(0.01)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await serving
        return answer


def test_a_request_that_was_on_its_way_is_answered_and_the_connection_is_closed(monkeypatch):
    # So that no machine is too busy for it.
    monkeypatch.setattr(server, "_LAST_S", 60.0)
    answer = asyncio.run(ended_before_the_request())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"ok")
