"""The benchmark of converted models against onnxruntime, on a tiny model."""

from __future__ import annotations

import itertools
import json

import pytest
import yaml

from bench.models import models_bench as bench
from bench.models import turns
from convert.network import graph as ir
from convert.network.program import write_program
from tests.support.models.graphs import graph_of, random
from tests.support.models.manifests import manifest_document, write_model

CONV = ir.Conv("c", ["x"], random(1, 4, 3, 3, 3), random(2, 4))
NODES = [CONV, ir.Clip("r", ["c"], 0.0), ir.Mean("m", ["r"])]


@pytest.fixture
def folder(tmp_path):
    document = manifest_document("arcface", (3, 8, 8), {"embedding": (-1, 4)}, task="recognition")
    document["embedding"] = {"dim": 4}
    write_model(tmp_path / "tiny", document)
    graph = graph_of((3, 8, 8), *NODES)
    written = write_program(graph, tmp_path / "tiny" / "serving_server", input_aliases=["image"])
    document["inputs"][0]["name"] = written.inputs[0].name
    document["outputs"][0]["name"] = written.outputs[0].name
    (tmp_path / "tiny" / "model.yml").write_text(yaml.safe_dump(document))
    return tmp_path


def test_both_sides_are_timed_on_the_same_network(folder, tmp_path):
    report = tmp_path / "report.json"
    common = ["--models", str(folder), "--seconds", "0.05", "--json", str(report)]
    assert bench.main([*common, "--limit", "1000"]) == 0
    timings = json.loads(report.read_text())["results"]["models"]
    assert [(t["model"], t["batch"]) for t in timings] == [("test_arcface", 1), ("test_arcface", 8)]
    for timing in timings:
        assert timing["ratio"] == pytest.approx(timing["paddle_ms"] / timing["onnxruntime_ms"])
        assert timing["difference"] < 1e-5


def test_a_ratio_over_the_limit_is_a_failure(folder):
    assert bench.main(["--models", str(folder), "--seconds", "0.05", "--limit", "0.0001"]) == 1


def test_a_model_that_is_not_there_is_named(folder, capsys):
    assert bench.main(["nosuch", "--models", str(folder)]) == 2
    assert "nosuch" in capsys.readouterr().err


def test_the_median_is_in_milliseconds():
    ticks = itertools.count(0, 0.5)
    times = turns.medians({"side": lambda: None}, 0.01, lambda: next(ticks))
    assert times == {"side": 500.0}
