"""Who is believed to be on this machine: names, pages and addresses that are made up."""

from __future__ import annotations

import secrets
import socket

import httpx
import pytest

from ops.errors import ErrorKind
from tests.support.gateway.client import PICTURE, PRIVATE, document
from tests.support.pictures import ONE
from tests.support.service import Service, body, wait_until

pytestmark = pytest.mark.attack

ELSEWHERE = "http://evil.example"
OPEN_PATHS = ["/health", "/metrics", "/docs", "/openapi.json", "/", f"{PRIVATE}/app/list"]


def refused(answer: httpx.Response) -> bool:
    """Whether nothing but "no permission" is said."""
    assert answer.status_code in (200, 403)
    return bool(answer.json().get("error_code") == 6 and "Host" in answer.text)


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_a_page_whose_name_means_this_machine_reads_nothing_of_the_gateway(service, path):
    port = service.gateway_port
    for host in (f"evil.example:{port}", "evil.example", "localhost.evil.example", "a@127.0.0.1"):
        answer = httpx.get(f"{service.gateway_url}{path}", headers={"host": host}, timeout=30)
        assert refused(answer)
    for host in (f"127.0.0.1:{port}", f"LOCALHOST:{port}", "localhost.", f"[::1]:{port}"):
        answer = httpx.get(f"{service.gateway_url}{path}", headers={"host": host}, timeout=30)
        assert answer.status_code == 200


def test_pages_that_were_refused_by_their_name_are_noted(service):
    httpx.get(f"{service.gateway_url}/health", headers={"host": "evil.example"}, timeout=30)
    file = service.directory / "PipelineServingLogs" / "refusals.log"
    assert wait_until(lambda: file.exists() and '"path": "other"' in file.read_text(), 90)


def test_a_page_whose_name_means_this_machine_reads_nothing_of_the_pipeline(service):
    content = body((ONE,), {})
    for host in (f"evil.example:{service.http_port}", "x", "localhost.evil.example"):
        answer = httpx.post(service.url, json=content, headers={"host": host}, timeout=30)
        assert answer.status_code == 403
        assert answer.json()["err_no"] == ErrorKind.FOREIGN_PAGE.code
    for host in ("localhost", f"[::1]:{service.http_port}"):
        answer = httpx.post(service.url, json=content, headers={"host": host}, timeout=30)
        assert answer.json()["err_no"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": ELSEWHERE},
        {"origin": "null"},
        {"origin": ELSEWHERE, "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://localhost:3000"},
    ],
    ids=str,
)
def test_a_page_of_elsewhere_has_nothing_done_by_the_pipeline(service, headers):
    content = {"content-type": "text/plain", **headers}
    answer = httpx.post(service.url, content=b"{}", headers=content, timeout=30)
    assert answer.status_code == 403
    assert answer.json()["err_no"] == ErrorKind.FOREIGN_PAGE.code


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_programs_call_the_pipeline_with_any_content_type(service, kind):
    headers = {"content-type": kind}
    answer = httpx.post(service.url, json=body((ONE,), {}), headers=headers, timeout=30)
    assert answer.json()["err_no"] == 0


def exchange(port: int, *lines: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall("\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1"))
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_of_several_hosts_none_is_believed_and_none_at_all_is_a_program(service):
    port = service.gateway_port
    own, evil = "host: 127.0.0.1", "host: evil.example"
    for hosts in ((own, evil), (evil, own), (own, own)):
        assert b"403" in exchange(port, "GET /openapi.json HTTP/1.1", *hosts)[:20]
    target = "GET http://127.0.0.1/openapi.json HTTP/1.1"
    assert b"403" in exchange(port, target, evil)[:20]
    assert b"200" in exchange(port, target, own)[:20]
    assert b"200" in exchange(port, "GET /openapi.json HTTP/1.0")[:20]


def test_with_keys_any_name_will_do(access_service, insider):
    answer = insider.client.get(f"{PRIVATE}/app/list", headers={"host": "faces.example.org"})
    assert document(answer)["error_code"] == 0


def test_a_forged_address_is_not_written_down_as_the_senders(access_service: Service):
    headers = {
        "x-api-key": f"ak_{secrets.token_hex(12)}.{secrets.token_hex(32)}",
        "x-forwarded-for": "198.51.100.77",
    }
    path = f"{PRIVATE}/face/liveness"
    url = f"{access_service.gateway_url}{path}"
    answer = httpx.post(url, json=PICTURE, headers=headers, timeout=30)
    assert document(answer)["error_code"] in (18, 110)
    log = access_service.directory / "PipelineServingLogs" / "refusals.log"
    # The first of its kind is written at once, further ones within a minute.
    assert wait_until(lambda: log.exists() and path in log.read_text(), 90)
    assert "198.51.100.77" not in log.read_text()
