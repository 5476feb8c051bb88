"""Processes that decode what takes long: they can be ended, and nobody waits for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.attacks import pictures as attacks
from inference.runner import Timing
from ops.decoder_pool import DecoderPool, is_costly
from ops.errors import ErrorKind, ServiceError
from ops.pictures.decoder import Decoder, GaveUpError
from ops.pictures.decoder_process import memory_for
from ops.pictures.picture import open_picture, pixels_of
from ops.pictures.pixel_budget import PixelBudget
from ops.request_state import Picture, RequestState
from ops.stages.request import RequestWorker
from settings.config import Limits
from tests.support import pictures
from tests.support.processes.decoders import decoders_among, is_at_work
from tests.support.service import wait_until

pytestmark = pytest.mark.attack
ROOT = Path(__file__).resolve().parents[2]
MAX_PIXELS = 50_000_000
# Estimated to take long, though it does not.
SEEMING = attacks.lossless_webp(1200, 1000)


@pytest.fixture(scope="module")
def endless():
    """A file that takes seconds, and its header."""
    data = attacks.jpeg_of_many_scans(100, 5000, 4000)
    return data, open_picture(data, MAX_PIXELS)


@pytest.fixture
def decoder():
    made = Decoder(memory_for(MAX_PIXELS))
    yield made
    made.close()


def of_this_process() -> list[psutil.Process]:
    """The decoders that this process has started."""
    return decoders_among(psutil.Process().children())


def kind_of(call, *arguments) -> ErrorKind:
    with pytest.raises(ServiceError) as caught:
        call(*arguments)
    return caught.value.kind


def always() -> bool:
    return True


def during(endless, decoder, attack) -> ErrorKind:
    """What becomes of a picture whose decoder is attacked while it is at work."""
    result: list[ErrorKind] = []
    thread = threading.Thread(
        target=lambda: result.append(kind_of(decoder.decode, *endless, 1, always))
    )
    thread.start()
    assert wait_until(lambda: of_this_process() and is_at_work(of_this_process()[0]), 60)
    attack(of_this_process()[0].pid)
    thread.join(60)
    assert result
    return result[0]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_process_gives_the_same_pixels(decoder, orientation):
    forms = ("JPEG", "AVIF", "TIFF", "HEIC")
    turned = [pictures.with_orientation(pictures.astronaut(), orientation, f) for f in forms]
    for data in (SEEMING, *turned, turned[0]):
        header = open_picture(data, MAX_PIXELS)
        expected = pixels_of(data, header)
        assert np.array_equal(decoder.decode(data, header, 1, always), expected)
    reduced = decoder.decode(data, header, 4, always)
    assert np.array_equal(reduced, pixels_of(data, header, 4))


def test_a_broken_picture_is_told_and_the_process_goes_on(decoder):
    header = open_picture(SEEMING, MAX_PIXELS)
    for _ in range(2):
        broken = SEEMING[: len(SEEMING) // 2]
        assert kind_of(decoder.decode, broken, header, 1, always) is ErrorKind.BROKEN_PICTURE
        (process,) = of_this_process()
        assert decoder.decode(SEEMING, header, 1, always).shape == (1000, 1200, 3)
        assert of_this_process() == [process]


def test_a_picture_that_nobody_waits_for_is_given_up(decoder, endless):
    asked = []

    def wanted() -> bool:
        asked.append(time.monotonic())
        return len(asked) < 5

    with pytest.raises(GaveUpError):
        decoder.decode(*endless, 1, wanted)
    assert not of_this_process()


def test_a_killed_process_makes_the_service_busy_and_the_next_picture_works(decoder, endless):
    assert during(endless, decoder, lambda pid: os.kill(pid, signal.SIGKILL)) is ErrorKind.BUSY
    header = open_picture(SEEMING, MAX_PIXELS)
    assert decoder.decode(SEEMING, header, 1, always).shape == (1000, 1200, 3)


def test_a_process_that_was_killed_while_idle_is_replaced(decoder):
    header = open_picture(SEEMING, MAX_PIXELS)
    for _ in range(3):
        assert decoder.decode(SEEMING, header, 1, always).shape == (1000, 1200, 3)
        (process,) = of_this_process()
        process.kill()
        # It stays a zombie until the decoder notices.
        assert wait_until(lambda p=process: p.status() == psutil.STATUS_ZOMBIE, 30)


def test_a_picture_that_crashes_its_decoder_is_a_broken_one(decoder, endless):
    kind = during(endless, decoder, lambda pid: os.kill(pid, signal.SIGSEGV))
    assert kind is ErrorKind.BROKEN_PICTURE


def test_a_picture_that_takes_too_much_processor_time_is_too_complex(decoder, endless):
    kind = during(endless, decoder, lambda pid: os.kill(pid, signal.SIGXCPU))
    assert kind is ErrorKind.PICTURE_TOO_COMPLEX


def test_the_kernel_ends_a_process_by_its_processor_time(decoder):
    header = open_picture(SEEMING, MAX_PIXELS)
    decoder.decode(SEEMING, header, 1, always)
    (process,) = of_this_process()
    soft, _ = psutil.Process(process.pid).rlimit(psutil.RLIMIT_CPU)
    assert 0 < soft < 60
    memory, hard = psutil.Process(process.pid).rlimit(psutil.RLIMIT_DATA)
    assert 0 < memory < hard < 3 * 1024**3


def test_a_picture_there_is_no_memory_for_makes_the_service_busy():
    decoder = Decoder(30_000_000)
    files = [
        attacks.jpeg_of_many_scans(20, 2500, 2500),
        attacks.lossless_webp(2500, 2500),
        attacks.png_of_random_pixels(2500, 2500),
    ]
    try:
        for data in files:
            header = open_picture(data, MAX_PIXELS)
            assert kind_of(decoder.decode, data, header, 1, always) is ErrorKind.BUSY
        header = open_picture(SEEMING, MAX_PIXELS)
        assert decoder.decode(SEEMING, header, 1, always).shape == (1000, 1200, 3)
    finally:
        decoder.close()


PARENT = """
import sys, threading, time
from ops.pictures.decoder import Decoder
from ops.pictures.picture import open_picture
data = open(sys.argv[1], "rb").read()
decoder = Decoder(10**9)
decode = lambda: decoder.decode(data, open_picture(data, 50_000_000), 1, lambda: True)
threading.Thread(target=decode, daemon=True).start()
time.sleep(600)
"""


def test_a_process_dies_with_a_parent_that_was_killed(tmp_path, endless):
    (tmp_path / "picture").write_bytes(endless[0])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "picture")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert wait_until(psutil.Process(parent.pid).children, 60)
        (child,) = psutil.Process(parent.pid).children()
        assert wait_until(lambda: is_at_work(child), 60)
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not child.is_running(), 30)


def test_what_is_often_attacked_is_decoded_apart_however_small():
    worker = worker_with(DecoderPool(1, 4, MAX_PIXELS, lambda: None))
    small = np.ascontiguousarray(pictures.astronaut()[::8, ::8])
    for data in (pictures.heic(small), pictures.encode(small, "AVIF"), pictures.tiff(small)):
        request = request_of(data)
        worker.run([request], Timing())
        assert request.costly
        assert request.postponed
        run_until_done(worker, request)
        assert request.pictures[0].rgb.shape == (64, 64, 3)


def request_of(*files: bytes, seconds: float = 60.0) -> RequestState:
    encoded = [Picture(encoded=pictures.base64_of(data)) for data in files]
    return RequestState(encoded, deadline=time.monotonic() + seconds)


def worker_with(decoders: DecoderPool, total: int = 100_000_000) -> RequestWorker:
    return RequestWorker(Limits(), PixelBudget(total, MAX_PIXELS), 0, decoders)


def run_until_done(worker: RequestWorker, request: RequestState) -> None:
    worker.run([request], Timing())
    while request.postponed and request.live:
        assert wait_until(lambda: worker.can_resume(request) or not request.live, 90)
        worker.run([request], Timing())


def test_costly_and_ordinary_pictures_of_a_request_come_back_in_order():
    woken = []
    worker = worker_with(DecoderPool(1, 4, MAX_PIXELS, lambda: woken.append(1)))
    small = pictures.encode(pictures.astronaut())
    request = request_of(small, SEEMING, b"none", SEEMING, small)
    worker.run([request], Timing())
    assert request.costly
    run_until_done(worker, request)
    assert [p.pixels is None for p in request.pictures] == [False, False, True, False, False]
    assert request.pictures[1].rgb.shape == (1000, 1200, 3)
    assert request.pictures[4].rgb.shape == (512, 512, 3)
    assert wait_until(lambda: woken, 10)


def test_the_cheapest_request_comes_next_and_one_too_many_is_refused():
    decoders = DecoderPool(1, 3, MAX_PIXELS, lambda: None)
    running, dear, cheap, much = (
        RequestState([Picture(data=b"", header=open_picture(SEEMING, MAX_PIXELS))] * count)
        for count in (1, 3, 2, 9)
    )
    assert all(is_costly(request.pictures[0]) for request in (running, dear))
    decoders.join(running)
    assert decoders.claim(running)
    for request in (dear, cheap, much):
        decoders.join(request)
        assert not decoders.claim(request)
    assert kind_of(decoders.join, RequestState([])) is ErrorKind.BUSY
    assert decoders.requests == 4
    decoders.forget(running)
    assert not decoders.claim(dear)
    assert decoders.claim(cheap)
    decoders.forget(cheap)
    dear.cancelled = True
    assert decoders.claim(much)
    for request in (dear, much):
        decoders.forget(request)
    assert decoders.requests == 0


def test_a_request_past_its_deadline_leaves_its_decoder_to_the_next(endless):
    worker = worker_with(DecoderPool(1, 4, MAX_PIXELS, lambda: None))
    late, next_one = request_of(endless[0], seconds=60), request_of(SEEMING)
    worker.run([late], Timing())
    assert late.decoding
    worker.run([next_one], Timing())
    assert next_one.postponed
    assert not worker.can_resume(next_one)
    late.deadline = 0.0
    run_until_done(worker, next_one)
    assert next_one.pictures[0].pixels is not None
    assert late.pictures[0].pixels is None


def test_ordinary_requests_pass_those_that_wait_for_a_decoder(endless):
    worker = worker_with(DecoderPool(1, 4, MAX_PIXELS, lambda: None))
    costly = [request_of(endless[0]) for _ in range(3)]
    for request in costly:
        worker.run([request], Timing())
        assert request.postponed
    for _ in range(5):
        quick = request_of(pictures.encode(pictures.astronaut()))
        worker.run([quick], Timing())
        assert not quick.postponed
        assert quick.pictures[0].pixels is not None
    assert any(request.decoding for request in costly)
    for request in costly:
        request.cancelled = True
        worker.give_up(request)
    assert wait_until(lambda: not any(request.decoding for request in costly), 30)
