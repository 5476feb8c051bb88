"""The running service under load: same answers, bounded memory, clear refusals."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from ops.errors import ErrorKind
from tests import pictures
from tests.pictures import ONE, blank, crowd
from tests.service import Service, difference, faces, wait_until


@pytest.mark.timeout(900)
def test_under_load_every_answer_is_the_one_that_the_picture_gets_alone(service):
    mixed = [ONE, crowd(2), crowd(4, 3), blank(), blank(1920, 1080), "!", pictures.base64_of(b"x")]
    alone = [service.post(picture) for picture in mixed]
    requests = [i % len(mixed) for i in range(2000)]
    random.Random(5).shuffle(requests)
    before = {p.pid for p in service.processes()}
    local = threading.local()

    def send(number: int) -> tuple[int, dict]:
        if not hasattr(local, "client"):
            local.client = httpx.Client(timeout=120)
        content = {"key": ["image"], "value": [mixed[number]]}
        response = local.client.post(service.url, json=content)
        assert response.status_code == 200, response.text
        return number, response.json()

    def run(numbers: list[int]) -> None:
        with ThreadPoolExecutor(16) as pool:
            for number, answer in pool.map(send, numbers):
                assert answer["err_no"] == alone[number]["err_no"]
                if answer["err_no"] == 0:
                    assert difference(faces(answer), faces(alone[number])) < 0.02

    run(requests[:400])
    memory = service.memory()
    run(requests[400:])
    assert service.memory() <= memory * 1.05
    assert {p.pid for p in service.processes()} == before


def test_more_requests_than_the_queue_takes_are_told_busy_and_the_rest_are_answered(make_service):
    def change(settings):
        settings["limits"]["queue_length"] = 4

    small = make_service(change)
    picture = crowd(4, 3)

    def send(_):
        content = {"key": ["image"], "value": [picture]}
        return httpx.post(small.url, json=content, timeout=120)

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(send, range(96)))
    codes = {answer.status_code for answer in answers}
    assert codes == {200, 429}
    busy = next(answer for answer in answers if answer.status_code == 429)
    assert str(ErrorKind.BUSY.code) in busy.text
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert all(answer["err_no"] == 0 for answer in good)
    assert len(faces(small.post(ONE))) == 1


def test_a_request_past_its_time_is_told_so_and_the_service_goes_on(make_service):
    def change(settings):
        settings["limits"]["request_timeout_ms"] = 40

    hurried = make_service(change, ready=False)
    assert wait_until(lambda: _answered(hurried), 60)
    with pytest.raises(grpc.RpcError) as caught:
        hurried.call(*[crowd(8, 6)] * 8)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert str(ErrorKind.TIMEOUT.code) in caught.value.details()
    assert wait_until(lambda: _answered(hurried), 30)


def _answered(service: Service) -> bool:
    try:
        return service.call(blank(16, 16)).err_no == 0
    except grpc.RpcError:
        return False
