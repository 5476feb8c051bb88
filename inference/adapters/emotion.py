"""Expression of a face, one of seven, from a small grey crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from inference.adapters.base import Adapter, likely_points, write_channels
from inference.manifest import Manifest
from vision.face import Face
from vision.geometry import ARCFACE_POINTS, ARCFACE_SIZE, fit_similarity, warp

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


class Emotion(Adapter):
    """Input: grey, -1 to 1, the face aligned to the ArcFace points.

    Option ``scale``: above 1 for a tighter crop, under 1 for a wider one.
    """

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        scale = manifest.option("scale", 1.0)
        middle = np.float32(ARCFACE_SIZE / 2)
        points = (ARCFACE_POINTS - middle) * np.float32(scale) + middle
        self.points = points * np.float32(self.side / ARCFACE_SIZE)
        self._output = manifest.outputs[0].alias

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> None:
        """Align by the face's landmarks; raises ValueError without a face."""
        if face is None:
            raise ValueError(f"{self.manifest.name} needs a face")
        matrix = fit_similarity(likely_points(face), self.points)
        crop = warp(picture, matrix, self.side, cv2.BORDER_REPLICATE)
        write_channels(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), out, 1 / 127.5, -1.0)

    def decode(
        self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """``{"emotion": {"type", "probability", "probabilities": {type: 0 to 1}}}``."""
        rows = outputs[self._output].reshape(len(contexts), len(EMOTIONS))
        results = []
        for row, best in zip(rows.tolist(), rows.argmax(axis=1)):
            probabilities = {name: round(value, 4) for name, value in zip(EMOTIONS, row)}
            name = EMOTIONS[int(best)]
            emotion = {
                "type": name,
                "probability": probabilities[name],
                "probabilities": probabilities,
            }
            results.append({"emotion": emotion})
        return results
