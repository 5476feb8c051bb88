"""Load generators' output, figures made of it, and requests at random times."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent import futures

import grpc
import numpy as np
import psutil
import pytest
from rich.console import Console

from bench.load import arrivals, generators, pressure, report, rpc
from bench.load.cpu import Meter, wait_until_idle
from bench.load.figures import Load, latencies_ms, median_load, ratio, steady_rate
from bench.load.pictures import make_sets


def test_h2loads_log_becomes_figures():
    # Two connections, answers after 100 ms each, for a second; one was refused.
    rows = [f"{1_000_000 + 100_000 * n}\t200\t100000" for n in range(10) for _ in range(2)]
    rows[-1] = "1900000\t503\t100000"
    said = "traffic: 1.2KB (1234) total, 100B (100) headers (space savings 5%), 1.0KB (1000) data\n"
    load, data = generators.read_h2load("\n".join(rows), said, 2, 1.0)
    assert load.errors == 1
    assert load.qps == pytest.approx(19, abs=1.5)
    assert load.latency_ms["p99"] == pytest.approx(100.0)
    assert data == 50.0


def test_nothing_that_was_answered_is_a_rate_of_zero():
    load, _ = generators.read_h2load("1000\t503\t5\n", "", 1, 1.0)
    assert (load.qps, load.errors, load.latency_ms) == (0.0, 1, {})


def test_wrks_line_becomes_figures():
    line = (
        '{"requests": 510, "microseconds": 5000000, "errors": 10, '
        '"p50": 1500, "p90": 2000, "p99": 9000, "max": 12000}'
    )
    load = generators.read_wrk(f"Running 5s test\n  Requests/sec: 102\n{line}\n", 16)
    assert (load.qps, load.errors, load.concurrency) == (100.0, 10, 16)
    assert load.latency_ms == {"p50": 1.5, "p90": 2.0, "p99": 9.0, "max": 12.0}


def test_heys_rows_become_figures():
    head = (
        "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
    )
    rows = [f"0.1000,0,0,0,0,0,200,{n / 10:.4f}" for n in range(10)]
    load = generators.read_hey("\n".join([head, *rows, "0.01,0,0,0,0,0,429,0.5"]), 1, 1.0)
    assert load.errors == 1
    assert load.qps == pytest.approx(10.0, abs=1.3)
    assert load.latency_ms["p50"] == pytest.approx(100.0)


def test_a_missing_generator_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(generators.shutil, "which", lambda _: None)
    with pytest.raises(RuntimeError, match="apt install nghttp2-client"):
        generators.available()


@pytest.mark.parametrize("name", generators.HTTP)
def test_a_generator_that_is_installed_reaches_the_service(name, service):
    if not shutil.which(name):
        pytest.skip(f"apt install {generators.PACKAGES[name]}")
    (pictures,) = make_sets(["aligned"])
    target = generators.Target(service.url, "", pictures.http_body(), b"")
    load = generators.http_load(name, target, 1.0, 2)
    assert load.generator == name
    assert load.qps > 0
    assert load.errors == 0
    assert 0 < load.latency_ms["p50"] <= load.latency_ms["p99"] <= load.latency_ms["max"]


def test_the_first_part_of_a_run_does_not_count():
    ends = np.arange(1, 101) / 10.0  # ten a second, and then what was under way at the end
    assert steady_rate([*ends, 10.5, 10.6], 0.0, 10.0) == pytest.approx(10.0)


def test_percentiles_are_in_milliseconds():
    figures = latencies_ms([0.001 * n for n in range(1, 101)])
    assert figures["p50"] == pytest.approx(50.5)
    assert figures["p99"] == pytest.approx(99.01)
    assert figures["max"] == pytest.approx(100.0)
    assert latencies_ms([]) == {}


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    # In the second round the machine was half as fast for both sides.
    assert ratio([90.0, 45.0, 80.0], [100.0, 50.0, 100.0]) == 0.9
    assert ratio([], []) is None


def test_the_median_run_has_the_median_of_each_figure():
    loads = [
        Load("HTTP", 8, qps, {"p50": p50}, cores={"pipeline": p50})
        for qps, p50 in ((10.0, 3.0), (30.0, 1.0), (20.0, 2.0))
    ]
    median = median_load(loads)
    assert (median.qps, median.latency_ms, median.cores) == (20.0, {"p50": 2.0}, {"pipeline": 2.0})


def test_processor_time_is_told_apart_by_process():
    code = "while True: pass"
    asleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen([sys.executable, "-c", code]) as busy, subprocess.Popen(asleep) as idle:
        try:
            meter = Meter({"busy": busy.pid, "idle": idle.pid})
            while sum(psutil.Process(busy.pid).cpu_times()[:2]) < 0.3:
                time.sleep(0.1)
            cores = meter.cores()
            with pytest.raises(RuntimeError, match="does not come to rest"):
                wait_until_idle({"busy": busy.pid}, seconds=0.5)
        finally:
            busy.kill()
            idle.kill()
    assert cores["busy"] > cores["idle"]


@pytest.fixture
def half_busy():
    """A gRPC server that refuses every second call; its address."""
    turns = iter(range(1_000_000))

    def inference(request, context):
        if next(turns) % 2:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
        return request

    _, service, method = rpc.METHOD.split("/")
    handler = grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(inference)}
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_random_arrivals_come_at_their_rate_and_refusals_are_counted(half_busy):
    side = arrivals.Side(half_busy, b"request", {})
    calls = rpc.run_apart(side.job(2.0, rate=100.0))
    assert 130 < len(calls.codes) < 280
    assert max(calls.starts) <= 2.0
    assert set(calls.codes) == {"OK", "RESOURCE_EXHAUSTED"}
    assert abs(len(calls.latencies()) - len(calls.latencies(None))) <= 1
    gaps = np.diff(sorted(calls.starts))
    assert 0.5 < gaps.std() / gaps.mean() < 1.6  # 1 where gaps are exponential, 0 where even


def test_a_closed_loop_keeps_its_concurrency_and_counts_errors(half_busy):
    load = rpc.closed_load(half_busy, b"request", 0.5, 3)
    assert load.qps > 0
    assert load.errors > 0
    assert load.concurrency == 3


def test_a_closed_loop_may_use_several_connections(half_busy):
    load = rpc.closed_load(half_busy, b"request", 0.5, 4, connections=4)
    assert load.qps > 0


def test_good_answers_of_a_flood_are_told_by_their_bytes():
    said = (
        "requests: 7856 total, 7920 started, 7856 done, 7856 succeeded, 0 failed, 0 errored\n"
        "traffic: 3.51MB (3678765) total, 478.33KB (489814) headers (x), 2.84MB (20500) data\n"
    )
    assert pressure.read(said, 2045) == pressure.Pressed(7856, 10.0)
    with pytest.raises(RuntimeError, match="h2load said"):
        pressure.read("no such option", 10)


@pytest.mark.skipif(not pressure.can_press(), reason="h2load is not installed")
def test_a_flood_keeps_its_rate_and_counts_what_was_good(half_busy):
    side = arrivals.Side(half_busy, b"request", {}, answer_bytes=len(b"request"))
    flood = arrivals._flood(side, 100.0, 2.0)
    assert 100 < flood.requests < 300
    assert 0.3 < flood.goodput * 2.0 / flood.requests < 0.7
    assert flood.codes(2.0).keys() == {"OK", "RESOURCE_EXHAUSTED"}


def test_an_overload_shows_goodput_refusals_and_memory_over_the_time(half_busy, monkeypatch):
    monkeypatch.setattr(arrivals, "REST_S", 0.5)
    monkeypatch.setattr(arrivals, "SINGLES_S", 0.5)
    side = arrivals.Side(half_busy, b"request", {"pipeline": os.getpid()})
    found = arrivals.overload(side, capacity=20.0, factor=4.0, seconds=2.0)
    assert set(found["codes"]) == {"OK", "RESOURCE_EXHAUSTED"}
    assert found["goodput"] > 0
    assert found["refused_in_time"] is not None
    assert len(found["memory"]) > 10
    assert found["memory_growth"]["name"] == "rss"
    report.show_overload("set", found, Console(width=120))
    kept = found["kept"]
    assert len(kept) == 4
    assert kept["goodput at least 0.9 of the capacity"] is (found["goodput/capacity"] >= 0.9)
    assert None not in kept.values()
