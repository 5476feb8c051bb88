"""The gateway's benchmark: what it sends, what it fills, how it judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from bench import gateway
from bench.gateway import APP, DETECT, IDENTIFY, PIPELINE, fill, show, sides, summary
from bench.load.figures import Load
from bench.load.pictures import make_sets
from library.config import LibraryConfig
from library.store import Store
from tests.service import ROOT


def test_every_side_is_sent_the_same_picture():
    (pictures,) = make_sets(["vga"])
    found = {side.name: side for side in sides("http://a/prediction", "http://b", pictures)}
    (image,) = pictures.pictures
    pipeline, detect, identify = (
        json.loads(found[name].body) for name in (PIPELINE, DETECT, IDENTIFY)
    )
    assert pipeline["value"][0] == detect["image"] == identify["image"] == image
    assert found[IDENTIFY].url == "http://b/face-api/v3/face/identify"


def test_the_pipeline_is_asked_for_what_the_gateway_asks_it_for():
    faces = pytest.importorskip("gateway.faces")
    assert set(gateway.ASKED["want"]) == set(faces._ALWAYS)


def test_the_library_has_as_many_faces_as_were_asked_for(tmp_path: Path):
    config = LibraryConfig(folder=tmp_path, database="sqlite:///faces.db")
    fill(config, "mobilefacenet_128", 128, 700)
    with Store(config) as store:
        found = store.statistics(APP)
    assert found.faces == 700
    assert found.dim == 128
    assert 100 < found.groups[0].users < 400


def measured(detect: float, identify: float) -> dict:
    rates = {PIPELINE: 100.0, DETECT: detect, IDENTIFY: identify}
    rounds = {
        name: [Load(name, 8, rate, {"p50": 9.0, "p99": 20.0}, cores={"gateway": 0.3})]
        for name, rate in rates.items()
    }
    return summary(rounds, rounds)


def test_ratios_are_of_the_pipelines_throughput_and_are_judged():
    report = measured(90.0, 70.0)
    assert report["ratios"] == {DETECT: 0.9, IDENTIFY: 0.7}
    assert list(report["kept"].values()) == [True, False]
    assert json.loads(json.dumps(report))["median"][DETECT]["qps"] == 90.0


def test_the_report_names_every_side_and_what_was_missed(capsys):
    report = {**measured(90.0, 70.0), "machine": {}, "picture": "one face", "faces": 100_000}
    show(report, Console(width=140))
    said = capsys.readouterr().out
    for words in (PIPELINE, DETECT, IDENTIFY, "gateway 0.30", "kept", "MISSED", "100,000"):
        assert words in said


@pytest.mark.slow
def test_one_short_run_measures_every_side(models, tmp_path, capsys):
    if not shutil.which("h2load"):
        pytest.skip("apt install nghttp2-client")
    out = tmp_path / "figures.json"
    options = ["--faces", "300", "--seconds", "0.4", "--runs", "1", "--levels", "2"]
    config = ["--config", str(ROOT / "config.yml"), "--json", str(out)]
    gateway.main([*options, *config])
    said = capsys.readouterr().out
    assert out.exists(), said
    figures = json.loads(out.read_text())
    assert set(figures["median"]) == {PIPELINE, DETECT, IDENTIFY}
    assert all(load["qps"] > 0 for load in figures["median"].values())
    assert figures["median"][IDENTIFY]["cores"]["gateway"] > 0
