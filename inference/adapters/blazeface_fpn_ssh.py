"""BlazeFace-FPN-SSH of PaddleDetection: a detector that decodes and suppresses by itself.

It gives boxes without keypoints, so a landmark stage has to follow it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inference.adapters.base import Adapter, write_channels
from inference.manifest import Manifest
from vision.face import Detections, Face
from vision.geometry import resize

# Of ImageNet, of pixels as shares of 255, RGB.
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)

Context = tuple[int, int]


class BlazeFaceFpnSsh(Adapter):
    """Input: the picture stretched to the input's size. Output: rows of class, score, box."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.min_score = manifest.option("min_score", 0.15)

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> Context:
        """Stretch and normalise; the context is the picture's (height, width)."""
        _, height, width = self.sample_shape
        small = resize(picture, width, height)
        write_channels(small, out, tuple(1 / (255 * STD)), tuple(-MEAN / STD))
        return picture.shape[0], picture.shape[1]

    def extra_feeds(self, contexts: Sequence[Context]) -> dict[str, np.ndarray]:
        """Size of the input and its ratio to the picture's, both (N, 2), height first."""
        _, height, width = self.sample_shape
        size = np.array([height, width], dtype=np.float32)
        pictures = np.array(contexts, dtype=np.float32).reshape(-1, 2)
        return {
            "im_shape": np.broadcast_to(size, pictures.shape).copy(),
            "scale_factor": size / pictures,
        }

    def decode(
        self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Context]
    ) -> list[Detections]:
        """Faces of each picture in its pixels; ``counts`` says which rows are whose."""
        rows = outputs["boxes"].reshape(-1, 6).astype(np.float32, copy=False)
        ends = np.cumsum(outputs["counts"].reshape(-1))
        return [
            self._detections(part, shape)
            for part, shape in zip(np.split(rows, ends[:-1]), contexts)
        ]

    def _detections(self, rows: np.ndarray, shape: Context) -> Detections:
        height, width = shape
        boxes = np.clip(rows[:, 2:], 0, np.array([width, height] * 2, dtype=np.float32))
        # A picture without a face comes as one row of class -1.
        good = (rows[:, 0] >= 0) & (rows[:, 1] >= self.min_score)
        good &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        order = np.argsort(-rows[good, 1], kind="stable")
        return Detections(boxes=boxes[good][order], scores=rows[good, 1][order])
