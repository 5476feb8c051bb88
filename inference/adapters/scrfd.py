"""SCRFD (Guo et al., ICLR 2022), a detector with five landmarks, in the order of ARCFACE_POINTS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inference.adapters.detector import Candidates, Detector, above
from inference.manifest import Manifest
from vision.face import Detections, Face
from vision.geometry import Letterbox

STRIDES = (8, 16, 32)
ANCHORS_A_CELL = 2

Context = tuple[Letterbox, tuple[int, int]]


class Scrfd(Detector):
    """Input: RGB, (x - 127.5) / 128. Outputs: distances from the anchors, in strides.

    For each stride S there are ``scores_S``, ``boxes_S`` and ``points_S``.
    Its largest anchors don't hold a face that fills the input. With a smaller picture in a wide
    border every face of a gallery of portraits was found, without one hardly any.
    """

    default_fill = 0.625

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        for stride in STRIDES:
            for part in ("scores", "boxes", "points"):
                manifest.output(f"{part}_{stride}")
        self.centers = np.concatenate([anchor_centers(self.side, stride) for stride in STRIDES])
        self.strides = np.concatenate(
            [
                np.full(len(anchor_centers(self.side, stride)), stride, dtype=np.float32)
                for stride in STRIDES
            ]
        )

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> Context:
        """Letterbox the picture; the context is the letterbox and the picture's (H, W)."""
        place = self.letterbox(picture, out, 1 / 128, -127.5 / 128)
        return place, (picture.shape[0], picture.shape[1])

    def decode(
        self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Context]
    ) -> list[Detections]:
        """Faces of each picture in its pixels."""
        count = len(contexts)
        scores = _join(outputs, "scores", count, 1)[..., 0]
        boxes = _join(outputs, "boxes", count, 4)
        points = _join(outputs, "points", count, 10)
        results = []
        for sample, (place, shape) in enumerate(contexts):
            chosen = above(scores[sample], self.min_score)
            centers, strides = self.centers[chosen], self.strides[chosen, None]
            reach = boxes[sample, chosen] * strides
            candidates = Candidates(
                np.hstack([centers - reach[:, :2], centers + reach[:, 2:]]),
                scores[sample, chosen],
                (points[sample, chosen] * strides).reshape(-1, 5, 2) + centers[:, None],
            )
            results.append(self.finish(candidates, place, shape))
        return results


def _join(outputs: Mapping[str, np.ndarray], part: str, count: int, values: int) -> np.ndarray:
    """One output of all strides, (samples, anchors, values).

    An export of one sample drops the batch dimension, hence the reshape.
    """
    return np.concatenate(
        [outputs[f"{part}_{stride}"].reshape(count, -1, values) for stride in STRIDES], axis=1
    )


def anchor_centers(side: int, stride: int) -> np.ndarray:
    """Anchors of a stride, row by row, (N, 2) float32: a cell's first pixel, not its middle."""
    line = np.arange(side // stride, dtype=np.float32) * stride
    x, y = np.meshgrid(line, line)
    return np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), ANCHORS_A_CELL, axis=0)
