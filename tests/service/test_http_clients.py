"""What HTTP clients send, on both ports: wishes for an upgrade, and the protocol's corners."""

from __future__ import annotations

import gzip
import http.client
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.support.gateway.client import still_there
from tests.support.gateway.http_ports import Port

JSON = "application/json"
# Of Java's HttpClient, before it knows what the server speaks.
UPGRADE = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
}


@pytest.fixture
def connection(port: Port) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", port.number, timeout=60)) as made:
        yield made


def ask(connection: http.client.HTTPConnection, port: Port, **headers: str) -> tuple[int, bytes]:
    connection.request("POST", port.path, port.body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def exchange(port: Port, *parts: bytes) -> bytes:
    """All that comes back for raw bytes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port.number), timeout=60) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            client.sendall(part)
        return b"".join(iter(lambda: client.recv(65536), b""))


def bodies(answer: bytes) -> list[bytes]:
    """The bodies of answers that came one after the other, each in one line of JSON."""
    return [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 ")[1:]]


def test_a_wish_for_http_2_is_ignored_and_the_request_answered(port, connection):
    for headers in (UPGRADE, {}, UPGRADE):
        status, answer = ask(connection, port, **headers)
        assert status == 200
        assert port.is_good(answer)


def test_the_body_behind_a_wish_for_an_upgrade_may_come_in_pieces(port):
    wish = [f"{name}: {value}" for name, value in UPGRADE.items()]
    head = port.head(*wish, "Connection: close")
    whole = head + port.body
    answers = [
        exchange(port, *(whole[start : start + 997] for start in range(0, len(whole), 997))),
        exchange(port, head[:50], head[50:], port.body),
        exchange(
            port,
            port.head(*wish, "Connection: close", "Transfer-Encoding: chunked"),
            b"%x\r\n%b\r\n" % (len(port.body), port.body),
            b"0\r\n\r\n",
        ),
    ]
    for answer in answers:
        (body,) = bodies(answer)
        assert port.is_good(body)


def test_requests_behind_one_that_wishes_for_an_upgrade_are_answered_too(port):
    wish = [f"{name}: {value}" for name, value in UPGRADE.items()]
    one = port.head(*wish) + port.body
    answer = exchange(port, one + one + port.head("Connection: close") + port.body)
    assert [port.is_good(body) for body in bodies(answer)] == [True, True, True]


def test_a_web_socket_is_not_opened_and_the_connection_goes_on(port, connection):
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection.request("GET", port.path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 405
    assert json.loads(answer.read())[port.code] != 0
    assert ask(connection, port)[0] == 200


def test_a_wish_for_a_tunnel_is_refused(port, service):
    answer = exchange(
        port, b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\nSSH-2.0\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 4")
    still_there(service)


def test_very_many_wishes_for_an_upgrade_at_once_are_no_burden(port, service):
    wish = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    one = f"GET /none HTTP/1.1\r\nHost: 127.0.0.1\r\n{wish}\r\n".encode()
    last = b"GET /none HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    assert b"HTTP/1.1 404" in exchange(port, one * 500 + last)
    still_there(service)


def curl(*arguments: str, data: bytes = b"") -> bytes:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "-sS", "--noproxy", "*", "--max-time", "60", *arguments]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def test_curl_with_http2_is_answered(port):
    if b" HTTP2" not in curl("--version"):
        pytest.skip("this curl speaks no HTTP/2")
    for size in (0, 2_000_000):  # over a megabyte, curl asks first whether it may send
        said = ["--http2", "-H", f"Content-Type: {JSON}", "--data-binary", "@-", port.url]
        assert port.is_good(curl(*said, data=port.body + b" " * size))


def test_json_behind_a_byte_order_mark_is_read(port):
    assert port.is_good(port.post(b"\xef\xbb\xbf" + port.body, content_type=JSON).content)


def test_a_client_that_asks_whether_to_go_on_is_told_so(port):
    head = port.head("expect: 100-Continue", "Connection: close")
    with socket.create_connection(("127.0.0.1", port.number), timeout=60) as client:
        client.sendall(head)
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(port.body)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert port.is_good(bodies(answer)[0])


def test_a_client_that_asks_whether_to_go_on_with_too_much_is_told_no(port):
    head = port.head("Expect: 100-continue", "Connection: close", f"Content-Length: {10**9}")
    answer = exchange(port, head)
    assert b"100 Continue" not in answer
    assert (b" 413 " in answer) or (b"222304" in answer)


def test_http_1_0_is_answered_and_its_connection_closed(port):
    for lines in ((), ("Expect: 100-continue",)):
        answer = exchange(port, port.head(*lines, version="1.0") + port.body)
        assert answer.startswith(b"HTTP/1.1 200")
        assert port.is_good(bodies(answer)[0])


@pytest.mark.parametrize("value", ["close", "Close", "CLOSE", "TE, Close"])
def test_a_connection_is_closed_where_the_client_wants_it(port, value):
    answer = exchange(port, port.head(f"Connection: {value}") + port.body)
    assert b"connection: close" in answer
    assert port.is_good(bodies(answer)[0])


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_names_of_headers_are_read_in_any_case(port, change):
    content = gzip.compress(port.body)
    lines = [f"Content-Length: {len(content)}", "Content-Encoding: gzip", "Connection: close"]
    lines = [change(name) + ":" + value for name, _, value in (one.partition(":") for one in lines)]
    answer = exchange(port, port.head(*lines) + content)
    assert port.is_good(bodies(answer)[0])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_another_method_is_told_which_one_is_taken(port, method):
    with httpx.Client(timeout=60, trust_env=False) as client:
        answer = client.request(method, port.url)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
        assert bool(answer.content) is (method != "HEAD")
        assert client.post(port.url, content=port.body).status_code == 200


def test_a_slash_at_the_end_is_another_path_and_told_so(port):
    answer = httpx.post(port.url + "/", content=port.body, timeout=60)
    assert answer.status_code == 404
    assert answer.json()[port.code] != 0


def test_health_is_told_to_those_who_ask_for_the_head_only(service):
    answer = httpx.head(f"{service.gateway_url}/health", timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")
