"""dlib's face recognition ResNet (King, 2017), 128 values from an aligned 150x150 face."""

from __future__ import annotations

import numpy as np

from inference.adapters.base import Recognizer, write_channels
from vision.geometry import DLIB_POINTS

# The network's own mean colour, RGB of 0 to 255; it divides by 256.
MEAN = (122.782, 117.001, 104.298)


class DlibResnet(Recognizer):
    """Input: RGB, (x - MEAN) / 256, the five points at DLIB_POINTS."""

    def target_points(self) -> np.ndarray:
        return DLIB_POINTS * np.float32(self.side)

    def normalize(self, crop: np.ndarray, out: np.ndarray) -> None:
        red, green, blue = MEAN
        write_channels(crop, out, 1 / 256, (-red / 256, -green / 256, -blue / 256))
