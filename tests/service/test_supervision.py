"""Children that die, again and again or by standing still, and an end among clients that stall."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import httpx
import psutil
import pytest

from bench.attacks import calls as attack_grpc
from ops.errors import ErrorKind
from runtime import child as children
from runtime.child import Child, Program
from runtime.heartbeat import (
    BEAT_S,
    NOTICE,
    READY,
    Notice,
    read_notice,
    say_ready,
    wait_for_place,
)
from tests.support.pictures import ONE
from tests.support.service import ROOT, Service, faces, wait_until

pytestmark = pytest.mark.attack
SOON_S = 120  # for what takes seconds on a machine that is not busy
SILENCE_S = 5


class ImpatientService(Service):
    """A service that takes a child for hung after a few seconds."""

    program = (
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import runtime.child, web_service; "
        f"runtime.child.SILENCE_S = {SILENCE_S}; sys.exit(web_service.main())",
    )


@pytest.fixture(scope="module")
def running(models, tmp_path_factory):
    """A service that these tests do harm to."""
    one = ImpatientService(tmp_path_factory.mktemp("supervision"), gateway=True).start()
    yield one
    one.kill()


def process(service: Service, module: str) -> psutil.Process:
    return next(p for p in service.processes() if module in " ".join(p.cmdline()))


def health(service: Service) -> tuple[int, str]:
    answer = httpx.get(f"{service.gateway_url}/health", timeout=30)
    return answer.status_code, " ".join(answer.json()["reasons"])


def is_well(service: Service) -> bool:
    return health(service)[0] == 200


def test_while_the_gateway_is_away_its_health_and_its_api_are_answered_503(running):
    process(running, "gateway.server").kill()
    assert wait_until(lambda: "gateway" in health(running)[1], SOON_S)
    status, reason = health(running)
    # It may have come back in this very moment.
    assert status == 200 or "is being started again" in reason
    assert wait_until(lambda: is_well(running), SOON_S)
    assert running.process.poll() is None


def test_a_gateway_that_keeps_dying_is_started_later_each_time_and_503_is_answered(running):
    for _ in range(3):
        wait_until(lambda: any("gateway" in " ".join(p.cmdline()) for p in running.processes()), 60)
        process(running, "gateway.server").kill()
        time.sleep(0.2)
    said = "the gateway ended with status -9; it is started again in 2 s"
    assert wait_until(lambda: said in "".join(running.output), SOON_S)
    url = f"{running.gateway_url}/face-api/v3/face/detect"
    answer = httpx.post(url, json={"image": ONE}, timeout=60)
    assert answer.status_code in (200, 503)
    assert "error_code" in answer.json()
    assert wait_until(lambda: is_well(running), SOON_S)


def test_the_gateways_health_says_that_the_pipeline_is_being_started_again(running):
    running.pipeline().kill()
    assert wait_until(lambda: "pipeline is being started again" in health(running)[1], SOON_S)
    assert wait_until(lambda: is_well(running), SOON_S)
    assert len(faces(running.post(ONE))) == 1


@pytest.mark.parametrize("module", ["ops.serving", "gateway.server"])
def test_a_child_that_is_stopped_is_killed_and_started_again(running, module):
    stopped = process(running, module)
    stopped.send_signal(signal.SIGSTOP)
    assert wait_until(lambda: not stopped.is_running(), SOON_S)
    assert "is silent and is killed" in "".join(running.output)
    assert wait_until(lambda: is_well(running), SOON_S)


def test_an_end_waits_for_no_client_that_stalls(make_service):
    service = make_service(gateway=True)
    body = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{"
    stalled = []
    for port in (service.http_port, service.gateway_port):
        path = b"/ArcFace/prediction" if port == service.http_port else b"/compare"
        for number in range(100):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(body.replace(b"/x", path) if number % 2 else b"")
            stalled.append(client)
    idle = httpx.Client(timeout=60)
    idle.get(f"{service.gateway_url}/health")
    with (
        attack_grpc.calls_without_message(service.rpc_port, 64) as calls,
        attack_grpc.silent_connections(service.rpc_port, 20, preface=True),
    ):
        started = time.monotonic()
        assert service.stop() == 0
        # A request may take 30 s, and each of these would have been waited for as long.
        assert time.monotonic() - started < 25
        calls[0].receive()
        assert b"%d SHUTTING_DOWN" % ErrorKind.SHUTTING_DOWN.code in calls[0].answer
    for client in stalled:
        client.close()


def test_a_second_signal_ends_it_at_once(make_service):
    service = make_service()
    service.pipeline().send_signal(signal.SIGSTOP)
    processes = service.processes()
    service.process.send_signal(signal.SIGTERM)
    service.process.send_signal(signal.SIGTERM)
    service.wait(60)
    assert wait_until(lambda: not any(p.is_running() for p in processes), 30)


class Clock:
    """In the place of time.monotonic."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    one = Clock()
    monkeypatch.setattr(children.time, "monotonic", one.monotonic)
    return one


def test_deaths_put_the_next_start_off_up_to_a_minute_and_a_long_life_makes_good(clock):
    one = Child(Program("pipeline", "x", ()))
    one._started = clock.now
    assert [one.delay() for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    clock.now += 1000
    assert one.delay() == 0


def test_a_child_is_not_silent_while_its_parent_stood_still(clock):
    one = Child(Program("pipeline", "x", ()))
    one.ready, one._looked = True, clock.now
    clock.now += 10_000
    one.listen()
    assert not one.is_silent
    for _ in range(100):
        clock.now += 0.5
        one.listen()
    assert one.is_silent


def test_a_process_whose_work_hangs_keeps_silent(monkeypatch):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setenv(READY, str(writing))
    well = True

    async def live() -> tuple[bytes, bytes]:
        nonlocal well
        say_ready(lambda: well)
        first = os.read(reading, 100)
        well = False
        await asyncio.sleep(1.5 * BEAT_S)
        try:
            return first, os.read(reading, 100)
        except BlockingIOError:
            return first, b""

    assert asyncio.run(live()) == (b".", b"")
    os.close(reading)
    os.close(writing)


def test_a_notice_is_read_as_it_was_written_last(monkeypatch):
    notice = Notice()
    monkeypatch.setenv(NOTICE, str(notice.file))
    assert read_notice() == ""
    notice.write("The pipeline is being started again in 8 s.")
    notice.write("The pipeline is away.")
    assert read_notice() == "The pipeline is away."
    notice.write("")
    assert read_notice() == ""


def test_who_is_started_again_accepts_nothing_until_the_parent_stands_in_for_it_no_more(
    monkeypatch,
):
    notice = Notice()
    monkeypatch.setenv(NOTICE, str(notice.file))

    async def start() -> bool:
        notice.stand_in(True)
        waiting = asyncio.ensure_future(wait_for_place())
        await asyncio.sleep(0.1)
        waited = not waiting.done()
        notice.write("x" * 1000)
        notice.stand_in(False)
        await waiting
        return waited

    assert asyncio.run(start())
    monkeypatch.delenv(NOTICE)
    asyncio.run(wait_for_place())
