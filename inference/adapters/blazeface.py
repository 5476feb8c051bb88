"""BlazeFace, MediaPipe's face detector (Bazarevsky et al., 2019), the 256 pixel back camera model.

Its keypoints: right eye, left eye, nose tip, mouth centre, right ear, left ear of the subject.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from inference.adapters.detector import Candidates, Detector, above
from inference.manifest import Manifest, ManifestError
from vision.face import Detections, Face
from vision.geometry import Letterbox

# Cells a side and anchors a cell of the two feature maps, in the order of the outputs.
GRIDS = ((16, 2), (8, 6))
KEYPOINTS = 6

Context = tuple[Letterbox, tuple[int, int]]


class BlazeFace(Detector):
    """Input: RGB, -1 to 1. Outputs: logits and offsets from the anchor's centre, in pixels.

    Nearby anchors are mixed by score, as the paper does, which steadies the keypoints.
    """

    default_nms = 0.3

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.anchors = [anchor_centers(self.side, cells, each) for cells, each in GRIDS]
        counts = [len(centers) for centers in self.anchors]
        self._logits = [self._output(count, 1) for count in counts]
        self._offsets = [self._output(count, 4 + 2 * KEYPOINTS) for count in counts]

    def _output(self, anchors: int, values: int) -> str:
        """The alias of the output of this size; a graph names its outputs by number only."""
        for spec in self.manifest.outputs:
            if spec.shape[1:] == (anchors, values):
                return spec.alias
        raise ManifestError(
            f"{self.manifest.path}: outputs: none has the shape [-1, {anchors}, {values}]"
        )

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> Context:
        """Letterbox the picture; the context is the letterbox and the picture's (H, W)."""
        place = self.letterbox(picture, out, 1 / 127.5, -1.0)
        return place, (picture.shape[0], picture.shape[1])

    def decode(
        self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Context]
    ) -> list[Detections]:
        """Faces of each picture in its pixels."""
        count = len(contexts)
        logits = np.concatenate([outputs[a].reshape(count, -1) for a in self._logits], axis=1)
        offsets = [outputs[alias] for alias in self._offsets]
        centers = np.concatenate(self.anchors)
        split = len(self.anchors[0])
        # A logit above the floor's is a score above the floor: no sigmoid over all anchors.
        floor = -math.log(max(1 / self.min_score - 1, 1e-9))
        results = []
        for sample, (place, shape) in enumerate(contexts):
            chosen = above(logits[sample], floor)
            coarse = chosen >= split
            values = np.concatenate(
                [offsets[0][sample][chosen[~coarse]], offsets[1][sample][chosen[coarse] - split]]
            )
            chosen = np.concatenate([chosen[~coarse], chosen[coarse]])
            scores = 1 / (1 + np.exp(-logits[sample][chosen]))
            candidates = decode_offsets(values, centers[chosen], scores)
            results.append(self.finish(candidates, place, shape, mix=True))
        return results


def decode_offsets(values: np.ndarray, centers: np.ndarray, scores: np.ndarray) -> Candidates:
    """Boxes and keypoints of anchors.

    values: (N, 16), offset of the box's centre, its size, offsets of six points;
    centers: (N, 2); all in pixels of the input.
    """
    middle = values[:, :2] + centers
    half = values[:, 2:4] / 2
    points = values[:, 4:].reshape(-1, KEYPOINTS, 2) + centers[:, None]
    return Candidates(np.hstack([middle - half, middle + half]), scores, points)


def anchor_centers(side: int, cells: int, each: int) -> np.ndarray:
    """Centres of a grid's anchors, row by row, (cells * cells * each, 2) float32, in pixels."""
    line = (np.arange(cells, dtype=np.float32) + 0.5) * (side / cells)
    x, y = np.meshgrid(line, line)
    centers = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    return np.repeat(centers, each, axis=0)
