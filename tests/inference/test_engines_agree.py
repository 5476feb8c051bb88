"""Each network that set-up converts says the same on both engines."""

from __future__ import annotations

import numpy as np
import pytest

from convert import task_checks
from convert.catalog import load_catalog
from convert.subject import Subject
from inference.engines.base import OPENVINO, Way
from inference.engines.openvino_engine import is_installed
from inference.manifest import Manifest

CATALOG = load_catalog()
DEFAULT = CATALOG.default_entries()
NAMES = [entry.name for entry in DEFAULT] + [name for entry in DEFAULT for name in entry.fallback]
TOLERANCE = 1e-3  # share of an output's largest value, as `convert` allows it


@pytest.mark.parametrize("name", dict.fromkeys(NAMES))
def test_a_network_says_the_same_on_both_engines(models, name):
    folder = models / name
    if not (folder / "model.yml").is_file():
        pytest.skip(f"{name} has not been converted")
    if not is_installed():
        pytest.skip("OpenVINO is not installed")
    noted = Manifest.load(folder).verified(OPENVINO, "fp32")
    assert noted is not None, f"run: .venv/bin/python -m convert {name}"
    if noted.refused:
        pytest.skip(f"{name} is not for OpenVINO: {noted.refused}")
    picture, face = task_checks.sample_face()
    paddle, openvino = Subject(folder), Subject(folder, Way(OPENVINO, "fp32"))
    feeds, _ = paddle.feeds([(picture, face), task_checks.mirrored(picture, face)])
    if paddle.manifest.max_batch == 1:
        feeds = {alias: values[:1] for alias, values in feeds.items()}
    expected, found = paddle.predictor.run(feeds), openvino.predictor.run(feeds)
    assert list(found) == list(expected)
    for alias, values in expected.items():
        limit = TOLERANCE * max(1e-3, float(np.abs(values).max()))
        np.testing.assert_allclose(found[alias], values, atol=limit, rtol=0)
