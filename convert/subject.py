"""A converted model that is being verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from convert.errors import VerificationError
from inference.adapters import Adapter, create_adapter
from inference.engines.base import REFERENCE, Way
from inference.manifest import Manifest
from inference.predictor import Model, Predictor
from vision.face import Face


class Subject:
    """A converted model and its adapter, run as the service runs them. way: how it is run."""

    def __init__(self, model_dir: Path, way: Way = REFERENCE) -> None:
        """Raises ManifestError and EngineError for a model that cannot be run that way."""
        model = Model.load(model_dir, way=way)
        self.way = way
        self.manifest: Manifest = model.manifest
        self.adapter: Adapter = create_adapter(model.manifest)
        self.predictor: Predictor = model.predictor()

    def feeds(
        self, samples: list[tuple[np.ndarray, Face]]
    ) -> tuple[dict[str, np.ndarray], list[Any]]:
        """Inputs for pictures (H, W, 3) uint8 RGB and the face in each, and their contexts."""
        images = np.zeros((len(samples), *self.adapter.sample_shape), np.float32)
        contexts = [
            self.adapter.prepare(picture, self._subject_face(face), image)
            for (picture, face), image in zip(samples, images)
        ]
        return {"image": images, **self.adapter.extra_feeds(contexts)}, contexts

    def results(self, samples: list[tuple[np.ndarray, Face]]) -> list[Any]:
        """What the adapter makes of each sample, run one by one."""
        decoded = []
        for sample in samples:
            feeds, contexts = self.feeds([sample])
            decoded += self.adapter.decode(self.predictor.run(feeds), contexts)
        return decoded

    def fail(self, problem: str) -> NoReturn:
        """Raise VerificationError with the model's name."""
        raise VerificationError(f"{self.manifest.name} is refused: {problem}")

    def _subject_face(self, face: Face) -> Face | None:
        return None if self.manifest.task == "detection" else face
