"""SFace (Zhong et al., 2021), OpenCV's recogniser: 128 values from an aligned face."""

from __future__ import annotations

import numpy as np

from inference.adapters.arcface import ArcFace
from inference.adapters.base import write_channels


class SFace(ArcFace):
    """Input: RGB, 0 to 255, which the network itself normalises; aligned as for ArcFace."""

    def normalize(self, crop: np.ndarray, out: np.ndarray) -> None:
        write_channels(crop, out, 1.0, 0.0)
