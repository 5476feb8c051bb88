"""YuNet (Wu et al., 2023), OpenCV's detector: five landmarks, a picture of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inference.adapters.detector import Candidates, Detector, above
from inference.manifest import Manifest, ManifestError
from vision.face import Detections, Face
from vision.geometry import Letterbox

STRIDES = (8, 16, 32)

Context = tuple[Letterbox, tuple[int, int]]


class YuNet(Detector):
    """Input: BGR, 0 to 255. Outputs for each stride S and cell, in strides from the cell's corner.

    ``cls_S`` and ``obj_S``: the score is the root of their product. ``bbox_S``: middle, and
    logarithms of the sides. ``kps_S``: five points in the order of ARCFACE_POINTS.
    Option ``input_size``: sides of the input in pixels, a multiple of 32. It finds faces of some
    20 to 300 pixels of the input.
    """

    default_input_size = 640

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        for stride in STRIDES:
            for part in ("cls", "obj", "bbox", "kps"):
                manifest.output(f"{part}_{stride}")
        self.corners = np.concatenate([cell_corners(self.side, stride) for stride in STRIDES])
        self.strides = np.repeat(
            np.array(STRIDES, np.float32), [(self.side // stride) ** 2 for stride in STRIDES]
        )

    def input_shape(self) -> tuple[int, ...]:
        side = self.manifest.option("input_size", self.default_input_size)
        if side < STRIDES[-1] or side % STRIDES[-1]:
            raise ManifestError(
                f"{self.manifest.path}: options.input_size: {side} should be a multiple of 32"
            )
        return (*super().input_shape()[:2], side, side)

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> Context:
        """Letterbox the picture; the context is the letterbox and the picture's (H, W)."""
        place = self.letterbox(picture, out[::-1], 1.0, 0.0)
        return place, (picture.shape[0], picture.shape[1])

    def decode(
        self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Context]
    ) -> list[Detections]:
        """Faces of each picture in its pixels."""
        count = len(contexts)
        certainty = (_join(outputs, "cls", count, 1) * _join(outputs, "obj", count, 1))[..., 0]
        boxes = _join(outputs, "bbox", count, 4)
        points = _join(outputs, "kps", count, 10)
        results = []
        for sample, (place, shape) in enumerate(contexts):
            chosen = above(certainty[sample], self.min_score**2)
            corners, strides = self.corners[chosen], self.strides[chosen, None]
            box = boxes[sample, chosen]
            middle = corners + box[:, :2] * strides
            # What noise may say of a side still has to be a number.
            half = np.exp(np.minimum(box[:, 2:], 8.0)) * strides / 2
            candidates = Candidates(
                np.hstack([middle - half, middle + half]),
                np.sqrt(certainty[sample, chosen]),
                (points[sample, chosen] * strides).reshape(-1, 5, 2) + corners[:, None],
            )
            results.append(self.finish(candidates, place, shape))
        return results


def _join(outputs: Mapping[str, np.ndarray], part: str, count: int, values: int) -> np.ndarray:
    """One output of all strides, (samples, cells, values)."""
    return np.concatenate(
        [outputs[f"{part}_{stride}"].reshape(count, -1, values) for stride in STRIDES], axis=1
    )


def cell_corners(side: int, stride: int) -> np.ndarray:
    """The first pixel of each cell of a stride, row by row, (N, 2) float32."""
    line = np.arange(side // stride, dtype=np.float32) * stride
    x, y = np.meshgrid(line, line)
    return np.stack([x.ravel(), y.ravel()], axis=1)
