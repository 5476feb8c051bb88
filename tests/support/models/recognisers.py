"""Recognisers for tests: manifests without a network, and the converted one under other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from inference.manifest import Manifest
from tests.support.models.manifests import manifest_document, write_model

# Of the published network that every set-up has; the catalog's.
RESNET = "face_resnet_128"
CALIBRATION = {"impostor_mean": 0.855, "threshold": 0.933, "mirrored": 0.989}


def recogniser_manifest(folder: Path, name: str, dim: int = 4, **calibration: float) -> Manifest:
    """A loaded manifest below a folder, of a network that is not there."""
    document = manifest_document(
        "arcface", (3, 8, 8), {"embedding": (-1, dim)}, task="recognition"
    )
    document.update(name=name, embedding={"dim": dim, **calibration})
    return Manifest.load(write_model(folder / name, document))


def renamed(models: Path, folder: Path, name: str) -> Path:
    """The converted network under another name, with a calibration for mirrored faces."""
    source = models / RESNET
    document = yaml.safe_load((source / "model.yml").read_text(encoding="utf-8"))
    document["name"] = name
    document["embedding"].update(CALIBRATION)
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
