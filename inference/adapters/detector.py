"""What the detectors share: the letterboxed input, and candidates to detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.adapters.base import Adapter, Triple, write_channels
from inference.manifest import Manifest, ManifestError
from vision.face import Detections
from vision.geometry import Letterbox, halve, halvings, resize
from vision.suppression import blend, suppress

# More candidates than this a picture (the best are kept) are an adversary's, not a crowd's.
MAX_CANDIDATES = 1500
# Doubles of a face that are so sure make its mean.
_MIXED = 0.3


@dataclass
class Candidates:
    """Boxes of one picture before suppression, in any one unit.

    boxes: (N, 4) float32; scores: (N,) float32; keypoints: (N, K, 2) float32 or None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray | None


class Detector(Adapter):
    """An adapter of a detector that sees the whole picture letterboxed.

    Options: ``min_score``, the floor under which nothing is returned (the stage applies the
    request's own, higher one); ``nms``, the overlap (IoU) above which two boxes are one face;
    ``fill``, length of the picture's longer side as a share of the input's.
    """

    default_min_score = 0.15
    default_nms = 0.4
    default_fill = 1.0

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.min_score = manifest.option("min_score", self.default_min_score)
        self.nms = manifest.option("nms", self.default_nms)
        self.fill = manifest.option("fill", self.default_fill)
        for key, value in (("min_score", self.min_score), ("nms", self.nms), ("fill", self.fill)):
            if not 0 < value <= 1:
                raise ManifestError(f"{manifest.path}: options.{key}: {value} should be in (0, 1]")

    def letterbox(
        self,
        picture: np.ndarray,
        out: np.ndarray,
        scale: float | Triple,
        offset: float | Triple,
    ) -> Letterbox:
        """Write the picture into the middle of out, shrunk first and normalised then.

        The border is what a black pixel would be.
        """
        times = halvings(picture, self.side * self.fill / max(picture.shape[:2]))
        small = halve(picture, times)
        # What halving leaves of the picture; a row or column short of it at most.
        height, width = (length * 2**times for length in small.shape[:2])
        place = Letterbox.fit(width, height, self.side, self.fill)
        small = resize(small, place.width, place.height)
        inside = out[:, place.top : place.top + place.height, place.left : place.left + place.width]
        if inside.shape != out.shape:
            out[:] = np.reshape(np.asarray(offset, dtype=np.float32), (-1, 1, 1))
        write_channels(small, inside, scale, offset)
        return place

    def finish(
        self, candidates: Candidates, place: Letterbox, shape: tuple[int, int], mix: bool = False
    ) -> Detections:
        """Suppress doubles and go back to pixels of the picture, boxes cut at its edges.

        candidates: in pixels of the square; shape: (height, width) of the picture;
        mix: replace a box and its keypoints by the mean of its doubles.
        """
        boxes, scores, keypoints = candidates.boxes, candidates.scores, candidates.keypoints
        kept = suppress(boxes, scores, self.nms)
        best = scores[kept]
        count = 0 if keypoints is None else keypoints.shape[1]
        values = (
            boxes if keypoints is None else np.hstack([boxes, keypoints.reshape(-1, 2 * count)])
        )
        if mix:
            # Traces of a face are told, but have no part in another's mean.
            weights = np.where(scores >= _MIXED, scores, scores * 1e-3)
            values = blend(values, boxes, weights, kept, self.nms)
        else:
            values = values[kept]
        points = place.to_picture(values.reshape(len(kept), 2 + count, 2))
        edges = np.array([shape[1], shape[0]], dtype=np.float32)
        corners = np.clip(points[:, :2], 0, edges).reshape(-1, 4)
        some = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        # A coordinate of a point counts from the centre of a pixel, that of a box from its edge.
        found = None if keypoints is None else points[some, 2:] - np.float32(0.5)
        return Detections(boxes=corners[some], scores=best[some], keypoints=found)


def above(scores: np.ndarray, floor: float) -> np.ndarray:
    """Indices of the scores (N,) of at least ``floor``, at most MAX_CANDIDATES, the best ones."""
    indices = np.flatnonzero(scores >= floor)
    if len(indices) > MAX_CANDIDATES:
        best = np.argpartition(-scores[indices], MAX_CANDIDATES)[:MAX_CANDIDATES]
        indices = indices[best]
    return indices
