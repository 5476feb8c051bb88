"""The benchmark of engines and precisions, on the smallest network of the default set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.engines import engines_bench as bench
from inference.manifest import Manifest

ROOT = Path(__file__).resolve().parents[2]
COMMON = ["--config", str(ROOT / "config.yml"), "--seconds", "0.05", "--batch", "1"]


def test_every_side_is_timed_or_says_why_not(models, tmp_path):
    report = tmp_path / "report.json"
    status = bench.main(["liveness", *COMMON, "--limit", "1000", "--json", str(report)])
    timings = json.loads(report.read_text())["results"]["timings"]
    assert status == 0
    sides = {timing["side"]: timing for timing in timings}
    assert set(sides) == {
        "paddle fp32", "paddle bf16", "onnxruntime fp32", "openvino fp32", "openvino bf16"
    }  # fmt: skip
    for timing in timings:
        assert (timing["ms"] is None) == bool(timing["note"])
    assert sides["paddle fp32"]["difference"] == 0
    assert sides["onnxruntime fp32"]["ratio"] == 1
    if Manifest.load(models / "liveness").verified("openvino", "fp32"):
        assert sides["openvino fp32"]["difference"] < 1e-3
    assert sum(timing["chosen"] for timing in timings) == 1


def test_a_model_that_the_settings_do_not_name_is_refused(capsys):
    assert bench.main(["nosuch", *COMMON]) == 2
    assert "nosuch" in capsys.readouterr().err


def test_a_difference_is_a_share_of_the_largest_value():
    expected = {"a": np.array([[1.0, -4.0]]), "b": np.array([[1.0]])}
    found = {"a": np.array([[1.0, -3.0]]), "b": np.array([[1.1]])}
    assert bench._difference(expected, found) == pytest.approx(0.25)
