"""The gateway's benchmark: what it sends, what it fills, how it judges."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from bench import gateway
from bench.frame import MISSED, Bench
from bench.gateway import APP, DETECT, IDENTIFY, PIPELINE, fill, show, sides, summary
from bench.load.figures import Load
from bench.load.pictures import make_sets
from client.pipeline.wire import PictureSeen
from gateway.api.operations.detect import detect
from gateway.api.operations.search import identify
from gateway.api.parameters import Detect, Identify, parse
from gateway.backends.pipeline import Pipeline
from gateway.context import Call
from gateway.errors import ApiError, ErrorCode
from library.store.store import Store
from settings.library import LibraryConfig
from tests.support.service import ROOT


def test_every_side_is_sent_the_same_picture():
    (pictures,) = make_sets(["vga"])
    found = {side.name: side for side in sides("http://a/prediction", "http://b", pictures)}
    (image,) = pictures.pictures
    bodies = {name: json.loads(side.body) for name, side in found.items()}
    for name in (DETECT, IDENTIFY):
        assert bodies[name]["image"] == bodies[PIPELINE[name]]["value"][0] == image
    assert found[IDENTIFY].url == "http://b/face-api/v3/face/identify"


class Overheard(Pipeline):
    """A pipeline that notes what it is asked for, and answers that it is away."""

    def __init__(self) -> None:
        self.want: set[str] = set()

    async def see(self, pictures: Any, *, want: Any, **_: Any) -> list[PictureSeen]:
        self.want = set(want)
        raise ApiError(ErrorCode.PIPELINE)


@pytest.mark.parametrize("name", [DETECT, IDENTIFY])
def test_a_pipeline_is_asked_for_just_what_the_operation_asks_it_for(name):
    (pictures,) = make_sets(["vga"])
    bodies = {one.name: json.loads(one.body) for one in sides("http://a", "http://b", pictures)}
    run, parameters = {DETECT: (detect, Detect), IDENTIFY: (identify, Identify)}[name]
    pipeline = Overheard()
    backends: Any = SimpleNamespace(
        pipeline=pipeline, urls=None, picture_bytes=10_000_000, most_faces=100
    )
    call = Call(backends, "default", None, time.monotonic() + 60)
    with pytest.raises(ApiError):
        asyncio.run(run(call, parse(parameters, bodies[name])))
    options = json.loads(bodies[PIPELINE[name]]["value"][-1])
    assert set(options["want"]) == pipeline.want


def test_the_library_has_as_many_faces_as_were_asked_for(tmp_path: Path):
    config = LibraryConfig(folder=tmp_path, database="sqlite:///faces.db")
    fill(config, "mobilefacenet_128", 128, 700)
    with Store(config) as store:
        found = store.statistics(APP)
    assert found.faces == 700
    assert found.dim == 128
    assert 100 < found.groups[0].users < 400


def measured(detect: float, identify: float) -> dict:
    rates = {
        PIPELINE[DETECT]: 100.0,
        DETECT: detect,
        PIPELINE[IDENTIFY]: 110.0,
        IDENTIFY: identify,
    }
    rounds = {
        name: [Load(name, 8, rate, {"p50": 9.0, "p99": 20.0}, cores={"gateway": 0.3})]
        for name, rate in rates.items()
    }
    return summary(rounds, rounds)


def test_ratios_are_of_each_operations_own_pipeline_and_are_judged():
    report = measured(90.0, 77.0)
    assert report["ratios"] == {DETECT: 0.9, IDENTIFY: 0.7}
    assert list(report["kept"].values()) == [True, False]
    assert json.loads(json.dumps(report))["median"][DETECT]["qps"] == 90.0


def test_the_report_names_every_side_and_what_was_missed(capsys):
    report = {**measured(90.0, 70.0), "machine": {}, "picture": "one face", "faces": 100_000}
    show(report, Console(width=140))
    bench = Bench("gateway", SimpleNamespace(json=None))
    bench.expected = report["kept"]
    assert bench.run(lambda _: None, ()) == MISSED
    said = capsys.readouterr().out
    for words in (
        *PIPELINE.values(),
        DETECT,
        IDENTIFY,
        "gateway 0.30",
        "kept",
        "MISSED",
        "100,000",
    ):
        assert words in said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_short_run_measures_every_side(models, tmp_path):
    if not shutil.which("h2load"):
        pytest.skip("apt install nghttp2-client")
    out = tmp_path / "figures.json"
    options = ["--faces", "300", "--runs", "1", "--levels", "2"]
    config = ["--config", str(ROOT / "config.yml"), "--json", str(out)]
    for seconds in ("0.4", "3", "15"):  # a busy machine may answer nothing in the first
        gateway.main([*options, *config, "--seconds", seconds])
        figures = json.loads(out.read_text())["results"]
        if all(load["qps"] > 0 for load in figures["median"].values()):
            break
    assert set(figures["median"]) == {*PIPELINE.values(), DETECT, IDENTIFY}
    assert all(load["qps"] > 0 for load in figures["median"].values())
    assert figures["median"][IDENTIFY]["cores"]["gateway"] > 0
