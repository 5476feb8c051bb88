"""Clients that stall, hang up, do not read, or send too much at once: others go on."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx

from tests.support.gateway.client import DETECT, PICTURE, App, new_app, still_there
from tests.support.gateway.guarded_service import REQUEST_S
from tests.support.service import Service, wait_until


@contextmanager
def stalled(service: Service, count: int, start: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent so much and no more."""
    address = httpx.URL(service.gateway_url)
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = socket.create_connection((address.host, address.port), timeout=60)
            stack.callback(client.close)
            client.sendall(start)
            clients.append(client)
        yield clients


def test_clients_that_send_drop_by_drop_hold_up_nobody(access_service, insider):
    key = insider.client.headers["x-api-key"].encode()
    headers = b"POST " + DETECT.encode() + b" HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: " + key
    body = headers + b"\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{"
    with stalled(access_service, 50, headers) as slow, stalled(access_service, 50, body) as slower:
        end = time.monotonic() + 4 * REQUEST_S
        waiting = slower
        while waiting and time.monotonic() < end:
            assert insider.code("face/detect", **PICTURE) == 0
            for client in slow:
                drip(client)
            waiting = [client for client in waiting if drip(client)]
        # A body has as long as a request may take; headers have a minute.
        assert not waiting


def drip(client: socket.socket) -> bool:
    """Send one more byte; False once the service has answered or hung up."""
    client.settimeout(0.001)
    try:
        client.send(b"x")
        client.recv(65536)
    except (TimeoutError, BlockingIOError):
        return True
    except OSError:
        pass
    return False


def test_idle_connections_hold_up_nobody(service):
    with stalled(service, 500, b""):
        still_there(service)


def test_a_client_that_does_not_read_its_answers_holds_up_nobody(service):
    request = b"GET /openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 200
    with stalled(service, 20, request):
        still_there(service)


def test_clients_that_hang_up_leave_nothing_behind(service):
    content = json.dumps(PICTURE).encode()
    request = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n" % (
        DETECT.encode(),
        len(content),
    )
    for _ in range(3):
        with stalled(service, 30, request + content):
            pass
    assert wait_until(
        lambda: App(service.gateway_url, "any").code("face/detect", **PICTURE) == 0, 30
    )


def test_many_large_requests_at_once_are_answered_or_refused(service):
    app = App(service.gateway_url, new_app())
    large = "A" * 15_000_000

    def ask(_: int) -> int:
        return app.code("face/detect", image=large, image_type="BASE64")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) <= {222203, 18}
    still_there(service)
