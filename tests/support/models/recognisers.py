"""Recognisers for tests: manifests without a network, and the converted one under other names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from inference.manifest import Manifest
from inference.recogniser import load_recogniser
from settings.config import load_config
from tests.support.models.manifests import manifest_document, write_model
from tests.support.service import ROOT



def chosen_recogniser() -> Path:
    """The directory of the one that `config.yml` chooses of those that have been converted."""
    (directory,) = load_config(ROOT / "config.yml").chosen_models("ArcFace")
    return directory


def alike(one: Sequence[float], other: Sequence[float]) -> float:
    """Likeness of two embeddings by that recogniser: 0 as strangers in the mean, 1 as if equal."""
    mean = load_recogniser([chosen_recogniser()]).scores.impostor_mean
    return float((np.dot(one, other) - mean) / (1 - mean))


def recogniser_manifest(folder: Path, name: str, dim: int = 4, **calibration: float) -> Manifest:
    """A loaded manifest below a folder, of a network that is not there."""
    document = manifest_document(
        "arcface", (3, 8, 8), {"embedding": (-1, dim)}, task="recognition"
    )
    document.update(name=name, embedding={"dim": dim, **calibration})
    return Manifest.load(write_model(folder / name, document))


def renamed(folder: Path, name: str) -> Path:
    """The chosen network under another name."""
    source = chosen_recogniser()
    document = yaml.safe_load((source / "model.yml").read_text(encoding="utf-8"))
    document["name"] = name
    directory = folder / name
    directory.mkdir(parents=True)
    (directory / "serving_server").symlink_to((source / "serving_server").resolve())
    (directory / "model.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return directory


class OneByOne:
    """In place of a model on a device: embeddings are sums over rows and columns of each input.

    runs: how many inputs each run had.
    """

    device = "cpu"

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.runs: list[int] = []

    def predictor(self) -> OneByOne:
        return self

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, Any]:
        batch = feeds["image"]
        self.runs.append(len(batch))
        return {"embedding": batch.sum(axis=(1, 2))[:, : self.manifest.embedding_dim]}
