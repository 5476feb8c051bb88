"""The running service and pictures that were made to keep it busy."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import psutil
import pytest

from bench.attacks import pictures as attacks
from ops.errors import ErrorKind
from tests.support.pictures import ONE, base64_of
from tests.support.processes.decoders import decoders_among, is_at_work
from tests.support.service import MESSAGES, document, faces, wait_until

pytestmark = [pytest.mark.attack, pytest.mark.service]

REFUSED = {
    "scans": (lambda: attacks.jpeg_of_many_scans(6000), ErrorKind.PICTURE_TOO_COMPLEX),
    "markers": (lambda: attacks.jpeg_of_many_markers(3_000_000), ErrorKind.PICTURE_TOO_COMPLEX),
    "chunks": (lambda: attacks.png_of_many_chunks(1_000_000), ErrorKind.PICTURE_TOO_COMPLEX),
}


@pytest.fixture(scope="module")
def slow() -> str:
    """A picture of 40 megapixels that no header limit refuses and that takes seconds."""
    return base64_of(attacks.jpeg_of_many_scans(100, 8000, 5000))


def decoders(service) -> list[psutil.Process]:
    return decoders_among(service.processes())


def busy(service) -> list[psutil.Process]:
    return [process for process in decoders(service) if is_at_work(process)]


def ask(service, picture: str, seconds: float = 60.0):
    """The gRPC answer, or the status of its refusal."""
    request = MESSAGES.Request(key=["image"], value=[picture])
    try:
        return service.stub().inference(request, timeout=seconds)
    except grpc.RpcError as error:
        return error.code()


@pytest.mark.parametrize("case", REFUSED)
def test_a_picture_of_too_many_parts_is_refused_and_the_service_goes_on(service, case):
    make, kind = REFUSED[case]
    answer = service.post(base64_of(make()))
    assert answer["err_no"] == kind.code
    assert answer["err_msg"].startswith(kind.name)
    assert len(faces(service.post(ONE))) == 1
    assert not busy(service)


def test_others_are_answered_while_pictures_that_take_seconds_are_decoded(service, slow):
    request = MESSAGES.Request(key=["image"], value=[slow])
    stub = service.stub()
    asked = [stub.inference.future(request, timeout=60) for _ in range(8)]
    assert wait_until(lambda: busy(service), 60)
    for _ in range(5):
        assert len(faces(service.call(ONE))) == 1
    # Whoever had to wait for them would be the last.
    assert not all(one.done() for one in asked)
    for one in asked:
        one.cancel()
    assert wait_until(lambda: not busy(service), 30)
    assert len(decoders(service)) <= (os.cpu_count() or 1)
    assert len(faces(service.post(ONE))) == 1


def test_a_deadline_ends_the_decoder(service, slow):
    answer = ask(service, slow, 1.0)
    assert answer is grpc.StatusCode.DEADLINE_EXCEEDED
    assert wait_until(lambda: not busy(service), 30)
    assert len(faces(service.post(ONE))) == 1


def test_a_client_that_hangs_up_ends_the_decoder(service, slow):
    content = json.dumps({"key": ["image"], "value": [slow]}).encode()
    lines = (
        "POST /ArcFace/prediction HTTP/1.1",
        "host: localhost",
        f"content-length: {len(content)}",
    )
    head = "\r\n".join((*lines, "\r\n"))
    with socket.create_connection(("127.0.0.1", service.http_port), timeout=60) as client:
        client.sendall(head.encode() + content)
        assert wait_until(lambda: busy(service), 60)
        (process,) = busy(service)
    assert wait_until(lambda: not process.is_running(), 30)
    assert len(faces(service.post(ONE))) == 1


def test_a_killed_decoder_is_an_error_of_one_request(service, slow):
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            httpx.post, service.url, json={"key": ["image"], "value": [slow]}, timeout=60
        )
        assert wait_until(lambda: busy(service), 60)
        (process,) = busy(service)
        process.send_signal(signal.SIGKILL)
        answer = asked.result()
    assert answer.status_code == 429
    assert answer.json()["err_no"] == ErrorKind.BUSY.code
    webp = base64_of(attacks.lossless_webp(1200, 1000))
    assert document(service.post(webp))["images"][0]["width"] == 1200


def test_pictures_that_announce_more_than_is_allowed_together_take_no_memory(service):
    before = service.memory()
    most = [before]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            most[0] = max(most[0], service.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answer = service.post(*[base64_of(attacks.webp_of_one_colour(7000, 7000))] * 16)
    finally:
        ended.set()
        watcher.join()
    assert answer["err_no"] == ErrorKind.REQUEST_TOO_LARGE.code
    assert most[0] - before < 100_000_000


def test_a_large_picture_gives_its_memory_back(service):
    picture = base64_of(attacks.webp_of_one_colour(7000, 7000))
    assert document(service.post(picture))["images"][0]["faces"] == []
    before = service.pipeline().memory_info().rss
    service.post(picture)
    assert wait_until(lambda: service.pipeline().memory_info().rss < before + 100_000_000, 60), (
        "the pixels of one picture are 147 MB"
    )
