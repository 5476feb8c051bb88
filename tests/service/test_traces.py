"""Traces of real requests: through gateway, pipeline and stages, to a real receiver."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateway.client import CLOUD, DETECT, FACE, PICTURE, PRIVATE
from tests.support.processes.otlp_receiver import Received, Receiver, receiver
from tests.support.service import MESSAGES, ROOT, Service, body, wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
STAGES = ["Request", "Detection", "Landmark", "ArcFace", "Response"]
_SERVER, _CLIENT = 2, 3
SOON_S = 60


@pytest.fixture(scope="module")
def traced(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service that sends its traces to a receiver."""
    with receiver() as receiving:

        def change(settings: dict[str, Any]) -> None:
            settings["tracing"] = {"endpoint": receiving.url, "service_name": "doors"}
            settings["gateway"]["request_timeout_ms"] = 10_000

        service = Service(tmp_path_factory.mktemp("traced"), change, gateway=True).start()
        yield service, receiving
        service.kill()


def ask(service: Service, path: str, headers: dict[str, str], **parameters: Any) -> dict[str, Any]:
    content = {"appid": "till", **parameters}
    answer = httpx.post(service.gateway_url + path, json=content, headers=headers, timeout=60)
    return dict(answer.json())


def spans_of(receiving: Receiver, trace: str, ended: str = "POST ") -> list[Received]:
    """The spans of a trace, once the one that is above all has come."""

    def found() -> list[Received]:
        return [span for span in receiving.spans if span.trace == trace]

    def all_there() -> bool:
        named = {span.name for span in found()}
        return any(name.startswith(ended) for name in named) and "stage Response" in named

    assert wait_until(all_there, SOON_S), receiving.spans
    return found()


def tree(spans: list[Received]) -> dict[str, str]:
    """Name to the parent's name."""
    names = {span.id: span.name for span in spans}
    return {span.name: names.get(span.parent, span.parent) for span in spans}


def test_a_request_is_one_trace_through_gateway_library_pipeline_and_every_stage(traced):
    service, receiving = traced
    assert ask(service, f"{PRIVATE}/group/add", {}, group_id="staff")["error_code"] == 0
    added = ask(service, f"{PRIVATE}/face/add", {}, **PICTURE, group_id="staff", user_id="ann")
    assert added["error_code"] == 0
    headers = {
        "traceparent": f"00-{TRACE}-{CALLER}-01",
        "tracestate": "vendor=1",
        "X-Request-Id": "r-17",
    }
    found = ask(service, f"{CLOUD}/search", headers, **PICTURE, group_id_list="staff")
    assert found["error_code"] == 0
    spans = spans_of(receiving, TRACE)
    root = f"POST {CLOUD}/search"
    expected = {
        root: CALLER,
        "pipeline": root,
        "pipeline request": "pipeline",
        "library search": root,
        **{f"stage {stage}": "pipeline request" for stage in STAGES},
    }
    assert expected.items() <= tree(spans).items()
    by_name = {span.name: span for span in spans}
    assert by_name[root].attributes["http.route"] == f"{CLOUD}/search"
    assert by_name[root].attributes["http.response.status_code"] == 200
    assert by_name[root].attributes["face.error_code"] == 0
    assert by_name[root].attributes["face.app"] == "till"
    assert by_name[root].attributes["face.request_id"] == "r-17"
    assert (by_name[root].kind, by_name["pipeline"].kind) == (_SERVER, _CLIENT)
    assert by_name["library search"].attributes["face.searches_together"] == 1
    for stage in STAGES:
        span = by_name[f"stage {stage}"]
        assert span.attributes["face.batch_size"] == 1
        assert span.attributes["face.queue_ms"] >= 0
        assert span.resource["service.instance.id"].endswith(" pipeline")
    assert by_name[root].resource["service.instance.id"].endswith(" gateway")
    assert {span.resource["service.name"] for span in spans} == {"doors"}


def test_stages_follow_each_other_and_lie_within_the_request(traced):
    service, receiving = traced
    trace = "1" * 32
    ask(service, DETECT, {"traceparent": f"00-{trace}-{CALLER}-01"}, **PICTURE)
    by_name = {span.name: span for span in spans_of(receiving, trace)}
    ways = [by_name[f"stage {stage}"] for stage in STAGES]
    for before, after in pairwise(ways):
        # Two readings of two clocks each: some microseconds.
        assert before.end_ns <= after.start_ns + 1_000_000
    request = by_name["pipeline request"]
    assert request.start_ns <= ways[0].start_ns + 1_000_000
    assert ways[-1].end_ns <= request.end_ns + 1_000_000


def test_a_call_of_the_pipeline_itself_is_traced_over_http_and_over_grpc(traced):
    service, receiving = traced
    for number, send in (
        (2, lambda told: httpx.post(service.url, json=body((FACE,), {}), headers=told, timeout=60)),
        (3, lambda told: called(service, told)),
    ):
        trace = str(number) * 32
        send({"traceparent": f"00-{trace}-{CALLER}-01"})
        spans = spans_of(receiving, trace, "pipeline request")
        assert tree(spans) == {
            "pipeline request": CALLER,
            **{f"stage {stage}": "pipeline request" for stage in STAGES},
        }


def called(service: Service, headers: dict[str, str]) -> Any:
    content = body((FACE,), {})
    request = MESSAGES.Request(key=content["key"], value=content["value"])
    return service.stub().inference(request, timeout=60, metadata=list(headers.items()))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        "ff-" + "4" * 32 + "-" + CALLER + "-01",
        "00-" + "0" * 32 + "-" + CALLER + "-01",
        "00-" + "4" * 32 + "-" + "0" * 16 + "-01",
        "00-" + "G" * 32 + "-" + CALLER + "-01",
        "00-" + "4" * 31 + "-" + CALLER + "-01",
        "00-" + "4" * 32 + "-" + CALLER + "-01-more",
        "0" * 2000,
    ],
)
def test_a_bad_traceparent_is_ignored_and_the_request_has_a_trace_of_its_own(traced, header):
    service, receiving = traced
    id_ = uuid.uuid4().hex
    answer = ask(service, DETECT, {"traceparent": header, "X-Request-Id": id_}, **PICTURE)
    assert answer["error_code"] == 0

    def roots() -> list[Received]:
        return [span for span in receiving.spans if span.attributes.get("face.request_id") == id_]

    assert wait_until(roots, SOON_S)
    (root,) = roots()
    assert root.parent == ""
    assert root.trace not in ("4" * 32, "0" * 32)


def test_a_caller_that_does_not_trace_its_request_has_no_spans(traced):
    service, receiving = traced
    trace = "5" * 32
    ask(service, DETECT, {"traceparent": f"00-{trace}-{CALLER}-00"}, **PICTURE)
    ask(service, DETECT, {"traceparent": f"00-{'6' * 32}-{CALLER}-01"}, **PICTURE)
    assert spans_of(receiving, "6" * 32)
    assert [span for span in receiving.spans if span.trace == trace] == []


def root_of(receiving: Receiver, trace: str) -> Received:
    """The gateway's span of a trace, once it has come."""

    def found() -> list[Received]:
        named = [span for span in receiving.spans if span.trace == trace]
        return [span for span in named if span.name.startswith("POST ")]

    assert wait_until(found, SOON_S)
    return found()[0]


def test_a_fault_of_the_service_is_marked_and_a_wrong_picture_is_none(traced):
    service, receiving = traced
    wrong = {"traceparent": f"00-{'7' * 32}-{CALLER}-01"}
    code = ask(service, DETECT, wrong, image="AAAA", image_type="BASE64")["error_code"]
    root = root_of(receiving, "7" * 32)
    assert root.attributes["face.error_code"] == code != 0
    assert root.fault == ""
    pipeline = service.pipeline()
    pipeline.suspend()
    failed = ask(service, DETECT, {"traceparent": f"00-{'8' * 32}-{CALLER}-01"}, **PICTURE)
    pipeline.resume()
    assert root_of(receiving, "8" * 32).fault == str(failed["error_code"]) != "0"


def test_what_a_caller_has_made_up_names_no_span(traced):
    service, receiving = traced
    url = f"{service.gateway_url}/made/up/path"
    id_ = uuid.uuid4().hex
    # A method that the server's parser knows; others do not get so far.
    httpx.request("PROPFIND", url, headers={"X-Request-Id": id_}, timeout=60)

    def roots() -> list[Received]:
        return [span for span in receiving.spans if span.attributes.get("face.request_id") == id_]

    assert wait_until(roots, SOON_S)
    assert roots()[0].name == "_OTHER other"
    assert not {"made", "propfind"} & set(re.findall(r"[a-z]+", repr(roots()).lower()))


def test_nothing_of_a_picture_or_a_person_is_in_a_trace(traced):
    service, receiving = traced
    trace = "9" * 32
    headers = {"traceparent": f"00-{trace}-{CALLER}-01"}
    said = {**PICTURE, "group_id": "staff", "user_id": "eileen", "user_info": "astronaut"}
    ask(service, f"{PRIVATE}/face/add", headers, **said)
    everything = repr(spans_of(receiving, trace))
    for secret in ("eileen", "astronaut", "staff", FACE[:30]):
        assert secret not in everything


def test_a_receiver_that_hangs_costs_no_request_anything_and_gets_spans_when_it_is_back(traced):
    service, receiving = traced

    def count(outcome: str) -> float:
        text = httpx.get(f"{service.gateway_url}/metrics", timeout=60).text
        start = f'face_gateway_trace_spans_total{{outcome="{outcome}"}} '
        (line,) = [line for line in text.splitlines() if line.startswith(start)]
        return float(line.rpartition(" ")[2])

    before = count("failed")
    receiving.hangs.set()
    try:
        for _ in range(20):
            assert ask(service, DETECT, {}, **PICTURE)["error_code"] == 0
        assert wait_until(lambda: count("failed") > before, SOON_S)
    finally:
        receiving.hangs.clear()
        receiving.going.set()
    log = service.directory / "PipelineServingLogs" / "gateway.log"
    assert "traces: they cannot be sent" in log.read_text()
    ask(service, DETECT, {"traceparent": f"00-{'a' * 32}-{CALLER}-01"}, **PICTURE)
    assert root_of(receiving, "a" * 32)
    assert wait_until(lambda: "traces: they are taken again" in log.read_text(), SOON_S)
    assert count("sent") > 0


def test_a_service_without_an_endpoint_takes_no_trace_over_and_makes_no_spans(service):
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    assert ask(service, DETECT, headers, **PICTURE)["error_code"] == 0
    text = httpx.get(f"{service.gateway_url}/metrics", timeout=60).text
    assert 'face_gateway_trace_spans_total{outcome="sent"} 0.0' in text


def test_nothing_of_opentelemetry_that_makes_or_sends_spans_is_imported_where_there_is_none():
    code = """
import sys
import gateway.server, ops.serving.executor, ops.serving.http_server, ops.serving.rpc_server
from runtime.telemetry import tracing
from settings.config import load_config
tracing.set_up(load_config("config.yml").tracing, "gateway")
makers = ("opentelemetry.sdk", "opentelemetry.exporter")
print(tracing.is_on(), [name for name in sys.modules if name.startswith(makers)])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "False []\n"
