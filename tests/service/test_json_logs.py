"""log.format: json. Every line of the service's logs is an object, and none has a secret."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateway.client import DETECT, FACE, PICTURE
from tests.support.service import wait_until

# The audit's logs are of this form whatever the setting says, with fields of their own.
_AUDIT = ("audit.log", "refusals.log")
_LOGS = ("pipeline.log", "pipeline.log.wf", "gateway.log")


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def as_json(settings: dict[str, Any]) -> None:
    settings["log"]["format"] = "json"
    settings["gateway"]["request_timeout_ms"] = 2000


@pytest.mark.slow
def test_all_logs_of_the_service_are_lines_of_json_and_name_their_request(make_service):
    service = make_service(as_json, start=False, gateway=True)
    folder = service.directory / "PipelineServingLogs"
    # What cannot be written is warned of.
    (folder / "pipeline.prom").mkdir(parents=True)
    service.start()
    url = f"{service.gateway_url}/face-api/v3/group/add"
    group = {"appid": "shop", "group_id": "staff"}
    assert httpx.post(url, json=group, timeout=60).json()["error_code"] == 0
    assert wait_until(lambda: (folder / "pipeline.log.wf").read_text(), 60)
    body = {**PICTURE, "appid": "shop"}
    pipeline = service.pipeline()
    pipeline.suspend()
    for headers in ({"X-Request-Id": "r-17"}, {"X-Api-Key": "ak_none.secret-of-nobody"}):
        answer = httpx.post(service.gateway_url + DETECT, json=body, headers=headers, timeout=60)
        assert answer.json()["error_code"] != 0
    pipeline.resume()
    assert service.stop() == 0

    found = {name: lines(folder, name) for name in _LOGS}
    assert all(found.values())
    for one in (line for name in _LOGS for line in found[name]):
        assert datetime.fromisoformat(one["time"]).utcoffset() == timedelta(0)
        assert {"time", "level", "logger", "process", "pid", "message"} <= one.keys()
        assert set(one) <= {
            "time", "level", "logger", "process", "pid", "message", "request_id", "exception",
        }  # fmt: skip
    assert {one["process"] for one in found["gateway.log"]} == {"gateway"}
    assert {one["process"] for one in found["pipeline.log"]} == {"pipeline"}
    assert {one["level"] for one in found["pipeline.log.wf"]} <= {"WARNING", "ERROR", "CRITICAL"}
    assert any(one.get("request_id") == "r-17" for one in found["gateway.log"])
    for name in _AUDIT:
        if (folder / name).exists():
            assert all(datetime.fromisoformat(one["time"]) for one in lines(folder, name))
    everything = "".join(file.read_text() for file in folder.iterdir() if file.is_file())
    assert FACE[:40] not in everything
    assert "secret-of-nobody" not in everything
