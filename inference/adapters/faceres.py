"""FaceRes (Savchenko, HSE): age and gender from an aligned face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from inference.adapters.base import Adapter, likely_points, write_channels
from inference.manifest import Manifest
from vision.face import Face
from vision.geometry import ARCFACE_POINTS, ARCFACE_SIZE, fit_similarity, warp

# Mean colour of the pictures that its backbone saw first (VGG), RGB of 0 to 255.
MEAN = (123.68, 116.78, 103.94)


class FaceRes(Adapter):
    """Input: RGB minus MEAN, the ArcFace points drawn together about the middle.

    Option ``scale``: how far, so that more of the head is seen than in an ArcFace crop.
    """

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        scale = manifest.option("scale", 0.85)
        middle = np.float32(ARCFACE_SIZE / 2)
        points = (ARCFACE_POINTS - middle) * np.float32(scale) + middle
        self.points = points * np.float32(self.side / ARCFACE_SIZE)
        manifest.output("gender_pred_Sigmoid")
        manifest.output("age_pred_Softmax")

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> None:
        """Align by the face's landmarks; raises ValueError without a face."""
        if face is None:
            raise ValueError(f"{self.manifest.name} needs a face")
        matrix = fit_similarity(likely_points(face), self.points)
        crop = warp(picture, matrix, self.side, cv2.BORDER_REPLICATE)
        red, green, blue = MEAN
        write_channels(crop, out, 1.0, (-red, -green, -blue))

    def decode(
        self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """``{"age": years, "gender": {"type": "male" or "female", "probability": 0.5 to 1}}``.

        The age is the expectation of the distribution over the years.
        """
        male = outputs["gender_pred_Sigmoid"].reshape(len(contexts))
        distribution = outputs["age_pred_Softmax"].reshape(len(contexts), -1)
        ages = distribution @ np.arange(distribution.shape[1], dtype=np.float32)
        return [
            {
                "age": round(float(age), 1),
                "gender": {
                    "type": "male" if share >= 0.5 else "female",
                    "probability": round(float(max(share, 1 - share)), 4),
                },
            }
            for age, share in zip(ages, male)
        ]
