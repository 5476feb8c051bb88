"""Starting and ending: by signal, by accident, and when it cannot start."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import psutil
import pytest

from tests.support import pictures
from tests.support.service import MESSAGES, ROOT, Service, document, faces, is_free, wait_until

ONE = pictures.base64_of(pictures.encode(pictures.astronaut()))
MIG = "MIG-5a2b1c3d-0000-4000-8000-00000000000a"


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def complaints(service: Service) -> list[str]:
    """What it printed, but for the lines on what runs, on fallbacks and on licences."""
    usual = ("has not been converted", "models run on ", "for research only")
    return [line for line in service.output if not any(words in line for words in usual)]


def ports_free(service: Service) -> bool:
    return is_free(service.rpc_port) and is_free(service.http_port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_with_status_0(make_service, number):
    service = make_service()
    processes = service.processes()
    service.process.send_signal(number)
    assert service.wait(30) == 0
    assert gone(processes)
    assert ports_free(service)


def test_a_request_under_way_is_finished_on_sigterm(make_service):
    service = make_service(lambda settings: settings["limits"].update(request_timeout_ms=300_000))
    head = pictures.astronaut()[0:256, 96:352]
    crowd = pictures.base64_of(pictures.encode(np.tile(head, (3, 4, 1))))
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(service.post, *[crowd] * 4, max_faces=100) for _ in range(4)]
        time.sleep(0.5)
        assert not all(answer.done() for answer in answers)
        service.process.send_signal(signal.SIGTERM)
        for answer in answers:
            assert answer.result()["err_no"] == 0
            assert len(document(answer.result())["images"]) == 4
    assert service.wait(60) == 0


def test_work_that_nobody_waits_for_any_more_does_not_abort_the_end(make_service):
    service = make_service(whole=True)
    head = pictures.astronaut()[0:256, 96:352]
    crowd = pictures.base64_of(pictures.encode(np.tile(head, (5, 8, 1))))
    request = MESSAGES.Request(key=["image"] * 4, value=[crowd] * 4)
    calls = [service.stub().inference.future(request) for _ in range(12)]
    # With the first answer the stages are in the midst of the others.
    assert wait_until(lambda: any(call.done() for call in calls), 120)
    for call in calls:
        call.cancel()
    assert service.stop() == 0
    assert not [line for line in complaints(service) if not line.startswith("ready")]


def test_the_service_goes_on_when_nobody_reads_what_it_says(make_service):
    service = make_service(start=False)
    command = [sys.executable, str(ROOT / "web_service.py"), "--config", str(service.config)]
    pipe, end = os.pipe()
    os.close(pipe)
    process = subprocess.Popen(command, stdout=end, stderr=end, cwd=service.directory)
    os.close(end)
    try:
        assert wait_until(lambda: process.poll() is not None or answers(service), 120)
        assert faces(service.post(ONE))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()


def answers(service: Service) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return service.post(ONE)["err_no"] == 0
    return False


def test_killing_the_parent_leaves_no_process_and_no_port(make_service):
    service = make_service()
    processes = service.processes()
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    assert wait_until(lambda: gone(processes) and ports_free(service), 5)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_child_that_dies_is_started_again_and_it_is_said(make_service, replicas):
    service = make_service(lambda settings: settings.update(replicas=replicas))
    processes = service.processes()
    assert len(processes) == 1 + replicas
    processes[-1].kill()
    assert wait_until(lambda: "it is started again" in "".join(service.output), 10)
    picture = pictures.base64_of(pictures.encode(pictures.astronaut()))

    def answers():
        try:
            return service.post(picture)["err_no"] == 0
        except httpx.TransportError:
            return False

    assert wait_until(answers, 60)
    assert "ended with status -9; it is started again" in "".join(service.output)
    # The other replica may have answered before.
    assert wait_until(lambda: len(service.processes()) == 1 + replicas, 60)
    assert service.stop() == 0


def test_a_second_service_on_the_ports_ends_with_one_line(make_service):
    first = make_service()

    def same_ports(key):
        def change(settings):
            settings[key] = getattr(first, key)

        return change

    for key in ("rpc_port", "http_port"):
        second = make_service(same_ports(key), ready=False)
        assert second.wait(30) == 2
        (line,) = complaints(second)
        assert f"{key}: cannot listen" in line
    assert first.post(pictures.base64_of(pictures.encode(pictures.astronaut())))["err_no"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.update(models_dir="/nowhere"), "make it with: .venv/bin/python -m convert"),
        (lambda s: s["op"]["Detection"].update(concurrency=0), "op.Detection.concurrency"),
        (lambda s: s["op"]["Detection"].update(devices="0"), "op.Detection.devices: gpu:0"),
        (lambda s: s["op"]["ArcFace"].update(devices=MIG), f"op.ArcFace.devices: gpu:{MIG}"),
        (lambda s: s["op"]["Detection"].update(model="facemesh"), "is for landmark"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_a_line(make_service, change, words):
    service = make_service(change, ready=False)
    assert service.wait(60) == 2
    (line,) = complaints(service)
    assert words in line
    assert ports_free(service)


@pytest.mark.parametrize("damage", ["empty", "cut", "missing"])
def test_a_damaged_model_is_named_in_a_line(make_service, models, tmp_path, damage):
    copies = tmp_path / "models"
    shutil.copytree(models, copies)
    weights = copies / "blazeface" / "serving_server" / "inference.pdiparams"
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[: 0 if damage == "empty" else 1000])
    service = make_service(lambda s: s.update(models_dir=str(copies)), ready=False)
    assert service.wait(60) != 0
    lines = [line for line in complaints(service) if line.startswith("web_service: ")]
    assert len(lines) == 1
    assert "blazeface" in lines[0]


def test_logs_are_rotated(make_service):
    def change(settings):
        settings["log"].update(max_bytes=10_000, backups=2)

    service = make_service(change)
    picture = pictures.base64_of(pictures.encode(np.zeros((8, 8, 3), np.uint8)))
    logs = service.directory / "PipelineServingLogs"

    def rotated() -> bool:
        service.post(picture)
        return (logs / "pipeline.tracer.1").exists()

    assert wait_until(rotated, 60)
    assert all(path.stat().st_size <= 10_500 for path in logs.iterdir())


def test_a_fresh_service_stands_a_burst_from_many_threads(make_service):
    picture = pictures.base64_of(pictures.encode(pictures.astronaut()))
    service = make_service(whole=True)
    want = ["embedding", "attributes", "liveness"]
    for threads in (4, 48):
        with ThreadPoolExecutor(threads) as pool:
            answers = pool.map(lambda _: service.post(picture, want=want), range(96))
            assert all(len(document(answer)["images"][0]["faces"]) == 1 for answer in answers)
    assert len(service.processes()) == 2
