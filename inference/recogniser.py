"""The recogniser of a model's directory, with the calibration of its scores."""

from __future__ import annotations

from pathlib import Path

from inference.manifest import Manifest, ManifestError
from inference.scores import Recogniser, Scores


def load_recogniser(directory: Path) -> Recogniser:
    """What the manifest says of it. Raises ManifestError where its scores are not known."""
    manifest = Manifest.load(directory)
    calibration = manifest.calibration
    if manifest.embedding_dim is None or calibration is None:
        raise ManifestError(
            f"{manifest.path}: embedding: dim, impostor_mean and threshold are needed for "
            f"scores; convert the model again: .venv/bin/python -m convert {directory.name} --force"
        )
    scores = Scores(calibration.impostor_mean, calibration.threshold)
    return Recogniser(directory.name, manifest.embedding_dim, scores)
