"""What GET /metrics says: of the gateway itself, the pipeline, the library."""

from __future__ import annotations

import asyncio
import base64
import datetime
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from client import FaceService
from gateway.backends.library_calls import LibraryFigures
from gateway.errors import ApiError, ErrorCode
from gateway.monitoring.gauges import MOST_APPS, OTHER, library_families
from gateway.monitoring.metrics import MOST_PATHS, Metrics
from library.records import GroupStatistics, IndexPlace, Statistics
from ops.figures import ACTIONS, MEDIA_TYPE, NAME, Figures, Written
from settings.config import Config, Log, load_config
from tests.support.gateway.client import FACE, new_app
from tests.support.service import ROOT, wait_until

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

    async def figures(self) -> LibraryFigures:
        self.asked += 1
        if self.away:
            raise ApiError(ErrorCode.DATABASE, "database_unavailable")
        apps = [app("default", faces=9, users=(3, 4))]
        return LibraryFigures(apps, {"default": IndexPlace(8, 7)}, THEN.timestamp())


class Looked:
    """What GET /health finds."""

    async def parts(self) -> dict[str, bool]:
        return {"pipeline": False, "library": True, "audit": True}


def app(name: str, faces: int, users: tuple[int, ...] = (1,)) -> Statistics:
    groups = tuple(
        GroupStatistics(f"g{n}", count, count, THEN, THEN) for n, count in enumerate(users)
    )
    return Statistics(name, "mobilefacenet_128", 128, faces, faces, groups)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    loaded = load_config(ROOT / "config.yml")
    return loaded.model_copy(update={"log": Log(dir=str(tmp_path))})


def shown(metrics: Metrics, library: Counted | None = None) -> dict[str, dict[Any, float]]:
    """Samples of a scrape: name to values by their labels."""
    text = asyncio.run(metrics.render(Connected(), library or Counted(), Looked())).decode()
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
    metrics, library = Metrics(config), Counted()

    async def scrape() -> bytes:
        await asyncio.gather(*(metrics.render(Connected(), library) for _ in range(5)))
        return await metrics.render(Connected(), library)

    found = samples(text_string_to_metric_families(asyncio.run(scrape()).decode()))
    assert library.asked == 1
    assert found["face_library_up"] == {(): 1}
    assert found["face_library_groups"] == {("default",): 2}
    assert found["face_library_users"] == {("default",): 7}
    assert found["face_library_faces"] == {("default",): 9}
    assert found["face_library_backup_seconds"] == {(): THEN.timestamp()}
    assert found["face_library_index_behind_seconds"] == {("default",): 0}


def test_what_health_finds_is_shown_part_by_part(config):
    found = shown(Metrics(config))
    assert found["face_gateway_healthy"] == {("pipeline",): 0, ("library",): 1, ("audit",): 1}


def test_a_request_that_is_refused_by_its_head_is_counted_and_has_no_time(config):
    metrics = Metrics(config)
    metrics.refused(18)
    found = shown(metrics)
    assert found["face_gateway_requests_total"] == {("", "18", OTHER): 1}
    assert "face_gateway_request_seconds_count" not in found
    assert found["face_gateway_requests_limit"] == {(): config.gateway.requests}


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
        async def figures(self) -> LibraryFigures:
            self.asked += 1
            await asyncio.Event().wait()
            raise AssertionError

    metrics, library = Metrics(config), Hanging()

    async def scrape() -> bytes:
        await metrics.render(Connected(), library)
        return await metrics.render(Connected(), library)

    assert b"face_library_up 0.0" in asyncio.run(scrape())
    assert library.asked == 1


def test_small_apps_beyond_the_bound_are_shown_together():
    apps = [app(f"app{number}", faces=10 + number) for number in range(MOST_APPS + 5)]
    found = samples(library_families(apps))
    assert len(found["face_library_faces"]) == MOST_APPS + 1
    assert found["face_library_faces"][(OTHER,)] == 10 + 11 + 12 + 13 + 14
    assert found["face_library_users"][(OTHER,)] == 5


def counted(config: Config, replica: int = 0) -> Figures:
    """A replica's figures of ten seconds, written: ten batches and two requests."""
    figures = Figures(replica, queue_limit=64)
    began = time.monotonic() - 10
    figures.request(0.02, True)
    figures.request(0.04, False)
    figures.refused()
    figures.refused()
    figures.model("Detection", "blazeface", "openvino", "fp32")
    figures.stage("Liveness", 1, lambda: 0)
    for name, milliseconds in {"Detection": (2, 1, 16, 1, 0), "ArcFace": (30, 1, 4, 1, 0)}.items():
        stage = figures.stage(name, 1, lambda: 1)
        for _ in range(5):
            stage.step(1, dict(zip(ACTIONS, (ms / 1e3 for ms in milliseconds))))
    figures._since = began
    file = config.log_dir(replica) / NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    figures.write(file)
    return figures


def test_what_the_pipeline_has_written_is_shown(config):
    counted(config)
    found = shown(Metrics(config))
    assert found["face_pipeline_requests_per_second"][("0",)] == pytest.approx(0.2, rel=0.01)
    assert found["face_pipeline_success_ratio"][("0",)] == 0.5
    assert found["face_pipeline_requests_total"] == {
        ("ok", "0"): 1,
        ("failed", "0"): 1,
        ("refused", "0"): 2,
    }
    assert found["face_pipeline_queue_limit"] == {("0",): 64}
    assert found["face_pipeline_latency_seconds_bucket"][("0.02", "0")] == 1
    assert found["face_pipeline_latency_seconds_sum"][("0",)] == pytest.approx(0.06)
    time_of = ("midp", "0", "Detection")
    assert found["face_pipeline_stage_seconds_count"][time_of] == 5
    assert found["face_pipeline_stage_seconds_sum"][time_of] == pytest.approx(0.08)
    assert found["face_pipeline_stage_load"][("0", "Liveness")] == 0
    assert found["face_pipeline_stage_load"][("0", "Detection")] == pytest.approx(0.009, rel=0.01)
    assert found["face_pipeline_stage_batch_size_count"][("0", "ArcFace")] == 5
    assert found["face_pipeline_stage_batch_size_sum"][("0", "ArcFace")] == 5
    assert found["face_pipeline_queue_length"][("0", "Detection")] == 1


def test_rates_are_of_the_newest_interval_and_counts_go_on(config):
    figures = counted(config)
    figures.write(config.log_dir() / NAME)
    found = shown(Metrics(config))
    assert found["face_pipeline_requests_per_second"][("0",)] == 0
    assert "face_pipeline_success_ratio" not in found
    assert found["face_pipeline_stage_load"][("0", "Detection")] == 0
    assert found["face_pipeline_latency_seconds_count"][("0",)] == 2


def test_every_replica_is_shown_by_its_number(config):
    config = config.model_copy(update={"replicas": 3})
    counted(config)
    counted(config, 2)
    found = shown(Metrics(config))
    assert set(found["face_pipeline_requests_per_second"]) == {("0",), ("2",)}
    assert set(found["face_pipeline_latency_seconds_count"]) == {("0",), ("2",)}
    text = Written(config).text().decode()
    assert text.count("# TYPE face_pipeline_latency_seconds histogram") == 1


def test_what_a_stopped_pipeline_left_behind_is_not_shown(config, monkeypatch):
    counted(config)
    monkeypatch.setattr("ops.figures.LATE", -1.0)
    assert list(Written(config).collect()) == []


@pytest.mark.parametrize("text", ["", "face_pipeline_requests_total{", "\0", "a b c d e"])
def test_a_file_that_makes_no_sense_hides_nothing_else(config, text):
    counted(config)
    (config.log_dir() / NAME).write_text(text)
    found = shown(Metrics(config))
    assert "face_pipeline_requests_per_second" not in found
    assert found["face_library_up"] == {(): 1}


def test_without_a_pipeline_the_rest_is_shown(config):
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
    assert found["face_gateway_healthy"] == {("pipeline",): 1, ("library",): 1, ("audit",): 1}
    assert set(found["face_disk_free_bytes"]) == {
        ("database",), ("logs",), ("snapshots",), ("tokens",),
    }  # fmt: skip
    assert found["face_library_backup_seconds"] == {(): 0}
    stages = {stage for _, stage in found["face_pipeline_model_info"]}
    assert "ArcFace" in stages


def test_the_pipeline_itself_shows_what_its_stages_do(service):
    service.post(FACE)
    url = f"http://127.0.0.1:{service.http_port}/metrics"

    def shows() -> bool:
        answer = httpx.get(url, timeout=60)
        assert answer.headers["content-type"] == MEDIA_TYPE
        found = samples(text_string_to_metric_families(answer.text))
        times = found.get("face_pipeline_stage_seconds_count", {})
        return times.get(("midp", "0", "Detection"), 0) >= 1

    assert wait_until(shows, 30)
    assert httpx.post(url, timeout=60).status_code == 404
