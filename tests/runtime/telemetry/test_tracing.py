"""Traces in one process: what is made and sent, and what is lost without holding anybody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="traces need OpenTelemetry's packages")

from gateway.errors import ApiError, ErrorCode
from runtime.ports import free_ports
from runtime.telemetry import tracing
from settings.config import Tracing
from tests.support.processes.otlp_receiver import Receiver, receiver
from tests.support.service import wait_until

PARENT = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
SOON_S = 30


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    tracing.close(0.1)


@pytest.fixture
def receiving() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def sent(receiving: Receiver, count: int) -> list[Any]:
    assert wait_until(lambda: len(receiving.spans) >= count, SOON_S)
    return receiving.spans


def test_without_an_endpoint_there_are_no_spans():
    tracing.set_up(Tracing(), "gateway")
    assert not tracing.is_on()
    with tracing.request("request", [PARENT]) as request, tracing.span("part") as part:
        assert request is part is None
        assert tracing.CURRENT.get() is None
    assert tracing.counts() == {"sent": 0, "failed": 0, "dropped": 0}


def test_a_part_outside_of_a_request_makes_no_span(receiving):
    tracing.set_up(Tracing(endpoint=receiving.url), "gateway")
    with tracing.span("part") as part:
        assert part is None


def test_parts_lie_in_the_part_that_is_at_work_and_nowhere_else(receiving):
    tracing.set_up(Tracing(endpoint=receiving.url), "gateway")

    def work() -> None:
        with tracing.request("request", [PARENT]):
            with tracing.span("first"), tracing.call("inner"):
                pass
            with tracing.span("second"):
                pass

    copy_context().run(work)
    assert tracing.CURRENT.get() is None
    spans = {span.name: span for span in sent(receiving, 4)}
    ids = {span.id: span.name for span in spans.values()}
    parents = {name: ids.get(span.parent, span.parent) for name, span in spans.items()}
    assert parents == {
        "request": "b7ad6b7169203331",
        "first": "request",
        "inner": "first",
        "second": "request",
    }
    # Counted when the receiver's answer is here.
    assert wait_until(lambda: tracing.counts()["sent"] == 4, SOON_S)


def fail_in_a_part() -> None:
    with suppress(ValueError), tracing.span("part"):
        raise ValueError("secret")
    raise ApiError(ErrorCode.DATABASE, "detail")


def test_a_fault_has_its_kind_and_not_its_text(receiving):
    tracing.set_up(Tracing(endpoint=receiving.url), "gateway")
    with pytest.raises(ApiError), tracing.request("request", [PARENT]):
        fail_in_a_part()
    faults = {span.name: span.fault for span in sent(receiving, 2)}
    assert faults == {"request": "DATABASE", "part": "ValueError"}


def test_a_trace_that_is_named_twice_is_none():
    tracing.set_up(Tracing(endpoint="http://127.0.0.1:9/"), "gateway")
    with tracing.request("request", [PARENT, PARENT]) as request:
        assert request is not None
        ((name, told),) = request.headers()
    assert name == "traceparent"
    assert PARENT[1][3:35] not in told


def test_headers_of_bytes_are_taken_as_those_of_text_and_the_state_goes_on():
    tracing.set_up(Tracing(endpoint="http://127.0.0.1:9/"), "gateway")
    headers = [(b"traceparent", PARENT[1].encode()), (b"tracestate", b"a=1,b=2")]
    with tracing.request("request", headers) as request:
        assert request is not None
        told = dict(request.headers())
    assert told["traceparent"][3:35] == PARENT[1][3:35]
    assert told["traceparent"] != PARENT[1]
    assert told["tracestate"] == "a=1,b=2"


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (0.5, 100), (1.0, 200)])
def test_as_many_requests_are_traced_as_the_ratio_says(receiving, ratio, expected):
    tracing.set_up(Tracing(endpoint=receiving.url, sample_ratio=ratio), "gateway")
    for _ in range(200):
        with tracing.request("request", []):
            pass
    tracing.close(SOON_S)
    assert abs(len(receiving.spans) - expected) <= (60 if 0 < ratio < 1 else 0)


def test_spans_beyond_the_bound_are_dropped_and_counted_while_the_receiver_hangs(
    receiving, monkeypatch
):
    monkeypatch.setattr("runtime.telemetry.span_export.MOST_WAITING", 300)
    monkeypatch.setattr("runtime.telemetry.spans._SEND_S", 60.0)
    receiving.hangs.set()
    tracing.set_up(Tracing(endpoint=receiving.url), "gateway")
    for _ in range(1000):
        with tracing.request("request", [PARENT]):
            pass
    assert tracing.counts() == {"sent": 0, "failed": 0, "dropped": 700}


def test_an_end_waits_no_longer_than_it_is_told_for_a_receiver_that_hangs(receiving, monkeypatch):
    monkeypatch.setattr("runtime.telemetry.spans._SEND_S", 120.0)
    receiving.hangs.set()
    tracing.set_up(Tracing(endpoint=receiving.url), "gateway")
    with tracing.request("request", [PARENT]):
        pass
    ending = threading.Thread(target=tracing.close, args=(0.2,), daemon=True)
    ending.start()
    # Far less than an attempt to send takes, and more than a machine stands still.
    ending.join(40)
    assert not ending.is_alive()
    assert not tracing.is_on()


def test_a_receiver_that_is_away_is_told_of_once_and_once_more_when_it_is_back(caplog):
    with receiver() as made:
        made.answer = 500
        tracing.set_up(Tracing(endpoint=made.url), "gateway")
        for count in (1, 2):
            with tracing.request("request", [PARENT]):
                pass
            assert wait_until(lambda: tracing.counts()["failed"] >= count, SOON_S)  # noqa: B023
        made.answer = 200
        with tracing.request("request", [PARENT]):
            pass
        assert wait_until(lambda: tracing.counts()["sent"] == 1, SOON_S)
        assert wait_until(lambda: "taken again" in caplog.text, SOON_S)
    told = [one.getMessage() for one in caplog.records]
    assert len([one for one in told if one.endswith(made.url)]) == 2


def test_a_receiver_that_nobody_runs_costs_the_request_nothing():
    port, _ = free_ports()
    tracing.set_up(Tracing(endpoint=f"http://127.0.0.1:{port}/v1/traces"), "gateway")
    for _ in range(3):
        with tracing.request("request", [PARENT]):
            pass
        time.sleep(0)
    assert wait_until(lambda: tracing.counts()["failed"] == 3, SOON_S)


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "http://", "http:///x"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint):
    with pytest.raises(ValueError, match="endpoint"):
        Tracing(endpoint=endpoint)
