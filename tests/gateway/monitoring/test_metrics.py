"""What GET /metrics says: of the gateway itself, the pipeline, the library."""

from __future__ import annotations

import asyncio
import base64
import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from client import FaceService
from gateway.errors import ApiError, ErrorCode
from gateway.monitoring import gauges
from gateway.monitoring.gauges import MOST_APPS, OTHER, Trace, library_families
from gateway.monitoring.metrics import MEDIA_TYPE, MOST_PATHS, Metrics
from library.records import GroupStatistics, Statistics
from settings.config import Config, Log, load_config
from tests.support import trace_writer
from tests.support.gateway.client import FACE, new_app
from tests.support.service import ROOT
from tests.support.trace_writer import op, query, stamped

PATH = "/face-api/v3/face/detect"
THEN = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


class Connected:
    """A pipeline with two connections, one of them lost."""

    def __init__(self) -> None:
        self.models = {"ArcFace": "mobilefacenet_128"}

    def state(self) -> list[tuple[str, bool, int]]:
        return [("127.0.0.1:18091", True, 3), ("127.0.0.1:18091", False, 0)]


class Counted:
    """A library of one app; of none while its database is away. asked: how often it was."""

    def __init__(self, away: bool = False) -> None:
        self.away = away
        self.asked = 0

    async def statistics(self) -> list[Statistics]:
        self.asked += 1
        if self.away:
            raise ApiError(ErrorCode.DATABASE, "database_unavailable")
        return [app("default", faces=9, users=(3, 4))]


def app(name: str, faces: int, users: tuple[int, ...] = (1,)) -> Statistics:
    groups = tuple(
        GroupStatistics(f"g{n}", count, count, THEN, THEN) for n, count in enumerate(users)
    )
    return Statistics(name, "mobilefacenet_128", 128, faces, faces, groups)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    loaded = load_config(ROOT / "config.yml")
    return loaded.model_copy(update={"log": Log(dir=str(tmp_path))})


def shown(metrics: Metrics, people: Counted | None = None) -> dict[str, dict[Any, float]]:
    """Samples of a scrape: name to values by their labels."""
    text = asyncio.run(metrics.render(Connected(), people or Counted())).decode()
    return samples(text_string_to_metric_families(text))


def samples(families) -> dict[str, dict[Any, float]]:
    found: dict[str, dict[Any, float]] = {}
    for family in families:
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_requests_are_counted_by_path_outcome_and_app(config):
    metrics = Metrics(config)
    metrics.request(PATH, 0, "shop", 0.02)
    metrics.request(PATH, 222202, "shop", 0.2)
    metrics.request(PATH, 0, "shop", 0.02)
    found = shown(metrics)
    assert found["face_gateway_requests_total"] == {
        ("shop", "0", PATH): 2,
        ("shop", "222202", PATH): 1,
    }
    assert found["face_gateway_request_seconds_count"] == {(PATH,): 3}
    assert found["face_gateway_request_seconds_bucket"][("0.02", PATH)] == 2


def test_faces_searches_and_requests_under_way_are_counted(config):
    metrics = Metrics(config)
    metrics.faces(2)
    metrics.faces(3)
    metrics.search(0.001)
    metrics.search(0.1)
    metrics.in_flight(1)
    metrics.in_flight(1)
    metrics.in_flight(-1)
    found = shown(metrics)
    assert found["face_gateway_faces_total"] == {(): 5}
    assert found["face_gateway_search_seconds_count"] == {(): 2}
    assert found["face_gateway_requests_in_flight"] == {(): 1}


def test_callers_cannot_make_ever_more_series(config):
    metrics = Metrics(config)
    for number in range(2 * MOST_PATHS):
        metrics.request(f"/invented/{number}", 0, f"app{number}", 0.01)
    found = shown(metrics)
    apps, _, paths = zip(*found["face_gateway_requests_total"])
    assert len(set(paths)) == MOST_PATHS + 1
    assert len(set(apps)) == MOST_APPS + 1
    assert OTHER in paths
    assert OTHER in apps
    assert sum(found["face_gateway_requests_total"].values()) == 2 * MOST_PATHS


def test_the_process_shows_its_memory_and_descriptors(config):
    found = shown(Metrics(config))
    assert found["process_resident_memory_bytes"][()] > 1e6
    assert found["process_open_fds"][()] > 0


def test_connections_and_models_of_the_pipeline_are_shown(config):
    found = shown(Metrics(config))
    assert found["face_pipeline_connected"] == {
        ("127.0.0.1:18091", "0"): 1,
        ("127.0.0.1:18091", "1"): 0,
    }
    assert found["face_pipeline_calls"][("127.0.0.1:18091", "0")] == 3
    assert found["face_pipeline_model_info"] == {("mobilefacenet_128", "ArcFace"): 1}


def test_sizes_of_the_library_are_asked_for_once_in_a_while(config):
    metrics, people = Metrics(config), Counted()

    async def scrape() -> bytes:
        await asyncio.gather(*(metrics.render(Connected(), people) for _ in range(5)))
        return await metrics.render(Connected(), people)

    found = samples(text_string_to_metric_families(asyncio.run(scrape()).decode()))
    assert people.asked == 1
    assert found["face_library_up"] == {(): 1}
    assert found["face_library_groups"] == {("default",): 2}
    assert found["face_library_users"] == {("default",): 7}
    assert found["face_library_faces"] == {("default",): 9}


def test_a_database_that_is_away_is_shown_and_hides_nothing_else(config):
    metrics = Metrics(config)
    metrics.request(PATH, 222910, "shop", 0.01)
    found = shown(metrics, Counted(away=True))
    assert found["face_library_up"] == {(): 0}
    assert "face_library_faces" not in found
    assert found["face_gateway_requests_total"][("shop", "222910", PATH)] == 1


def test_a_database_that_hangs_does_not_hold_the_scrape_up(config, monkeypatch):
    monkeypatch.setattr("gateway.monitoring.metrics.LIBRARY_TIMEOUT_S", 0.01)

    class Hanging(Counted):
        async def statistics(self) -> list[Statistics]:
            self.asked += 1
            await asyncio.Event().wait()
            raise AssertionError

    metrics, people = Metrics(config), Hanging()

    async def scrape() -> bytes:
        await metrics.render(Connected(), people)
        return await metrics.render(Connected(), people)

    assert b"face_library_up 0.0" in asyncio.run(scrape())
    assert people.asked == 1


def test_small_apps_beyond_the_bound_are_shown_together():
    apps = [app(f"app{number}", faces=10 + number) for number in range(MOST_APPS + 5)]
    found = samples(library_families(apps))
    assert len(found["face_library_faces"]) == MOST_APPS + 1
    assert found["face_library_faces"][(OTHER,)] == 10 + 11 + 12 + 13 + 14
    assert found["face_library_users"][(OTHER,)] == 5


def traced(config: Config, directory: Path) -> None:
    """A trace as Paddle Serving writes it: an empty interval, then one with two requests."""
    work = [op("Detection", 2, 1, 16, 1, 0), op("ArcFace", 30, 1, 4, 1, 0)] * 5
    written = trace_writer.write(directory, [[], [*work, query(1, 20), query(2, 40, False)]])
    started = datetime.datetime.now() - datetime.timedelta(seconds=15)
    text = stamped(written.read_text(), started)
    written.write_text(text)


def test_the_newest_interval_of_the_trace_is_shown(config, tmp_path):
    traced(config, tmp_path)
    found = samples(Trace(config).families())
    assert found["face_pipeline_requests_per_second"][("0",)] == pytest.approx(0.2)
    assert found["face_pipeline_success_ratio"][("0",)] == 0.5
    assert found["face_pipeline_latency_seconds"][("0.5", "0")] == pytest.approx(0.04)
    assert found["face_pipeline_stage_seconds"][("midp", "0", "Detection")] == pytest.approx(0.016)
    assert found["face_pipeline_stage_load"][("0", "Liveness")] == 0
    assert 0 < found["face_pipeline_stage_load"][("0", "Detection")] < 1
    assert found["face_pipeline_stage_batch_size"][("0", "ArcFace")] >= 1
    assert found["face_pipeline_queue_length"][("0", "Detection")] == 1


def test_every_replica_is_shown_by_its_number(config, tmp_path):
    config = config.model_copy(update={"replicas": 3})
    traced(config, tmp_path)
    (tmp_path / "replica-2").mkdir()
    traced(config, tmp_path / "replica-2")
    found = samples(Trace(config).families())
    assert set(found["face_pipeline_requests_per_second"]) == {("0",), ("2",)}


def test_what_a_stopped_pipeline_left_behind_is_not_shown(config, tmp_path, monkeypatch):
    traced(config, tmp_path)
    monkeypatch.setattr(gauges, "_LATE", 0.0)
    assert samples(Trace(config).families()) == {}


def test_without_a_trace_the_rest_is_shown(config):
    found = shown(Metrics(config))
    assert "face_pipeline_requests_per_second" not in found
    assert found["face_library_up"] == {(): 1}


def test_the_running_service_shows_itself_its_pipeline_and_its_library(service):
    with FaceService(service.gateway_url, app=new_app()) as client:
        client.create_group("staff")
        client.detect(base64.b64decode(FACE))
        client.identify(base64.b64decode(FACE), "staff")
    answer = httpx.get(f"{service.gateway_url}/metrics", timeout=60)
    assert answer.headers["content-type"] == MEDIA_TYPE
    found = samples(text_string_to_metric_families(answer.text))
    paths = {path for _, _, path in found["face_gateway_requests_total"]}
    assert {PATH, "/face-api/v3/face/identify", "/face-api/v3/group/add"} <= paths
    assert found["face_gateway_faces_total"][()] >= 2
    assert found["face_gateway_search_seconds_count"][()] >= 1
    assert found["face_gateway_requests_in_flight"][()] >= 0
    assert 1.0 in found["face_pipeline_connected"].values()
    assert found["face_library_up"] == {(): 1}
    stages = {stage for _, stage in found["face_pipeline_model_info"]}
    assert "ArcFace" in stages
