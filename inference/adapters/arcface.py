"""Recognisers trained with InsightFace's alignment: MobileFaceNet, IResNet (ArcFace, CVPR 2019)."""

from __future__ import annotations

import numpy as np

from inference.adapters.base import Recognizer, write_channels
from vision.geometry import ARCFACE_POINTS, ARCFACE_SIZE


class ArcFace(Recognizer):
    """Input: RGB, (x - 127.5) / 127.5, the five points at ARCFACE_POINTS."""

    def target_points(self) -> np.ndarray:
        return ARCFACE_POINTS * np.float32(self.side / ARCFACE_SIZE)

    def normalize(self, crop: np.ndarray, out: np.ndarray) -> None:
        write_channels(crop, out, 1 / 127.5, -1.0)
