"""Odd paths, what is no HTTP, and bodies that are bombs: refused, and the service goes on."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.support.gateway.client import (
    DETECT,
    FACE,
    PICTURE,
    PRIVATE,
    App,
    document,
    head,
    new_app,
    still_there,
)
from tests.support.gateway.guarded_service import REQUEST_BYTES
from tests.support.pictures import encode
from tests.support.service import Service

JSON = {"content-type": "application/json"}


def exchange(service: Service, request: bytes) -> bytes:
    """What comes back for raw bytes, until the service closes or has said the status."""
    address = httpx.URL(service.gateway_url)
    with socket.create_connection((address.host, address.port), timeout=30) as client:
        client.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = client.recv(65536)
            if not part:
                break
            answer += part
    return answer


PATHS = [
    b"/../../etc/passwd",
    b"/docs/../../../../etc/passwd",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/face-api/v3/..%2f..%2f..%2fetc%2fpasswd",
    b"/face-api/v3/%2e%2e/%2e%2e/config.yml",
    b"//etc/passwd",
    b"//face-api/v3/nothing",
    b"/face-api/v3/\x00",
    b"/face-api/v3/%00",
    b"/docs%00.html",
    b"/..\\..\\config.yml",
    b"/\xff\xfe",
    b"/%ff%fe%",
    b"/" + b"a" * 60_000,
    b"/" + b"a/" * 20_000,
    b"http://127.0.0.1:1/face-api",
    b"*",
    b"",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path[:24]))
def test_an_odd_path_is_a_clients_error_and_shows_no_file(service, path):
    answer = exchange(
        service, b"GET " + path + b" HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    )
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
    assert b"root:" not in answer
    assert b"Traceback" not in answer
    still_there(service)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: [::]\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    ],
    ids=["tls", "version", "method", "header", "headers", "length", "lengths", "chunks"],
)
def test_what_is_no_http_is_refused(service, request_bytes):
    address = httpx.URL(service.gateway_url)
    with closing(socket.create_connection((address.host, address.port), timeout=30)) as client:
        try:
            client.sendall(request_bytes)
            answer = client.recv(65536)
        except ConnectionError:
            answer = b""
    assert not answer or b" 4" in answer[:12], answer[:200]
    still_there(service)


def pour(client: socket.socket, count: int) -> None:
    """Send so many bytes without a line's end. Raises ConnectionError once it is cut off."""
    for _ in range(count // 65536):
        client.sendall(b"a" * 65536)


@pytest.mark.parametrize(
    "start",
    [b"GET /", b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\nx"],
    ids=["path", "value", "name"],
)
def test_a_head_that_never_ends_is_cut_off(service, start):
    address = httpx.URL(service.gateway_url)
    with closing(socket.create_connection((address.host, address.port), timeout=30)) as client:
        client.sendall(start)
        with pytest.raises(ConnectionError):
            pour(client, 1000 * 65536)
    still_there(service)


def posted(
    service: Service, content: Any, kind: str = "application/json", path: str = DETECT
) -> dict[str, Any]:
    """The answer to a body as it is."""
    answer = httpx.post(
        f"{service.gateway_url}{path}",
        content=content,
        headers={"content-type": kind},
        timeout=60,
    )
    return document(answer)


BODIES = {
    "nested arrays": b"[" * 5_000_000 + b"]" * 5_000_000,
    "nested arrays, never closed": b"[" * 10_000_000,
    "nested objects": b'{"a":' * 2_000_000 + b"1" + b"}" * 2_000_000,
    "no json": b"{not json",
    "no utf-8": b'{"image": "\xff\xfe"}',
    "a word": b'"word"',
    "a number": b"5",
    "null": b"null",
    "infinity": b'{"max_face_num": 1e999}',
    "not a number": b'{"max_face_num": NaN}',
    "two documents": b"{}{}",
    "nul": b"\0\0\0\0",
    "utf-16": '{"image": "x"}'.encode("utf-16"),
    "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "an array where an object belongs": b"[{}]",
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_no_request_is_an_invalid_parameter(service, case):
    assert posted(service, BODIES[case])["error_code"] == 216100
    still_there(service)


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "application/octet-stream", "", "x", "image/png"]
)
def test_json_is_understood_under_any_content_type(service, kind):
    assert posted(service, json.dumps(PICTURE).encode(), kind)["error_code"] == 0


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 5000,
        "application/x-www-form-urlencoded; charset=utf-7",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "text/html",
    ],
)
def test_a_body_of_another_type_than_it_says_is_refused(service, kind):
    answer = posted(service, b"--b\r\nhello, world", kind)
    assert answer["error_code"] in (216100, 222001)
    still_there(service)


def test_what_a_packed_body_unpacks_to_is_read_like_any_other(service):
    answer = httpx.post(
        f"{service.gateway_url}{DETECT}",
        content=gzip.compress(bytes(30_000_000)),
        headers={**JSON, "content-encoding": "gzip"},
        timeout=60,
    )
    assert document(answer)["error_code"] == 216100


def test_very_many_form_fields_are_refused(service):
    fields = b"&".join(b"f%d=1" % number for number in range(500_000))
    assert posted(service, fields, "application/x-www-form-urlencoded")["error_code"] == 216100
    still_there(service)


@pytest.mark.parametrize("path", [DETECT, "/compare"])
def test_a_multipart_body_of_very_many_parts_is_refused(service, path):
    part = b'--b\r\ncontent-disposition: form-data; name="f"\r\n\r\nx\r\n'
    answer = httpx.post(
        f"{service.gateway_url}{path}",
        content=part * 200_000 + b"--b--\r\n",
        headers={"content-type": "multipart/form-data; boundary=b"},
        timeout=60,
    )
    assert answer.status_code < 500
    if path == DETECT:
        assert document(answer)["error_code"] == 216100
    else:
        assert answer.status_code >= 400
    still_there(service)


@pytest.mark.parametrize("path", [DETECT, "/compare"])
def test_a_multipart_part_that_never_ends_is_refused(service, path):
    start = b'--b\r\ncontent-disposition: form-data; name="image1"; filename="x"\r\n\r\n'
    answer = httpx.post(
        f"{service.gateway_url}{path}",
        content=start + bytes(8_000_000),
        headers={"content-type": "multipart/form-data; boundary=b"},
        timeout=60,
    )
    assert answer.status_code < 500
    still_there(service)


@pytest.mark.parametrize("name", ["../../x.jpg", "/etc/passwd", "a\0b", "x" * 5000])
def test_a_files_name_is_no_matter(service, name):
    files = {"image1": (name, encode(head())), "image2": ("b.jpg", encode(head()))}
    answer = httpx.post(f"{service.gateway_url}/compare", files=files, timeout=60)
    assert answer.status_code in (200, 400)
    still_there(service)


@pytest.mark.parametrize(
    "length", [REQUEST_BYTES + 1, 10**12, 10**30], ids=["a byte", "a terabyte", "no end"]
)
def test_a_request_over_the_limit_is_refused_unread(access_service, insider, length):
    key = insider.client.headers["x-api-key"]
    head_ = (
        f"POST {DETECT} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    answer = exchange(access_service, head_.encode())
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 4")), answer[:200]
    assert insider.code("group/list") == 0


def test_a_chunked_request_over_the_limit_is_refused(insider):
    def chunks() -> Iterator[bytes]:
        yield b'{"image": "'
        for _ in range(2 * REQUEST_BYTES // 65536):
            yield b"A" * 65536

    try:
        answer = insider.client.post(DETECT, content=chunks(), headers=JSON)
    except httpx.WriteError:
        pass  # it hung up while more was sent, which is as good
    else:
        assert document(answer)["error_code"] == 222304
    assert insider.code("group/list") == 0


@pytest.mark.parametrize(
    "value",
    [
        "a\0b",
        "staff\n",
        "../etc",
        "staff'; DROP TABLE face; --",
        "%s%s%n",
        "${HOME}",
        "😀",
    ],
)
def test_odd_characters_in_ids_are_format_errors(service, value):
    app = App(service.gateway_url, new_app())
    assert app.code("group/add", group_id=value) == 222006
    assert app.code("user/get", group_id="@ALL", user_id=value) == 222007
    assert app.groups() == []


def test_half_a_surrogate_pair_is_refused(service):
    content = (
        b'{"group_id": "staff", "user_id": "a", "user_info": "\\ud800", "image_type": "BASE64",'
    )
    content += b' "image": "' + FACE.encode() + b'"}'
    answer = posted(service, content, path=f"{PRIVATE}/face/add")
    assert answer["error_code"] in (216100, 222010)
