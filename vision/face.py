"""What the stages pass on about a face: plain arrays in pixels of the upright picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Detections:
    """Faces that a detector found in one picture, best score first.

    boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the picture.
    scores: (N,) float32, 0 to 1.
    keypoints: (N, K, 2) float32, x y in pixels; the detector's own set of points
        (its adapter says which), or None where it gives none.
    compared: (N,) bool, whether the keypoints are the best of a look at all quarter turns, or None
        where none is.
    """

    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray | None = None
    compared: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def picked(self, kept: np.ndarray) -> Detections:
        """Some of them; kept: (N,) bool, or (M,) positions in the order that they are to have."""
        rest = (self.keypoints, self.compared)
        points, compared = (None if values is None else values[kept] for values in rest)
        return Detections(self.boxes[kept], self.scores[kept], points, compared)


@dataclass
class Landmarks:
    """Landmarks of one face.

    points: (5, 2) float32, x y in pixels: left eye, right eye, nose, left and right
        mouth corner, left and right as seen in the picture.
    mesh: (468, 3) float32, x y z in pixels (z relative to the head's centre), or None.
    score: 0 to 1, how sure the landmark model is that it looks at a face.
    """

    points: np.ndarray
    mesh: np.ndarray | None
    score: float


@dataclass(frozen=True)
class Quality:
    """How usable a face's picture is.

    blur: 0 sharp to 1 blurred. illumination: mean brightness of the face, 0 to 255.
    completeness: share of the face that lies in the picture, 0 to 1. occlusion: how surely each of
        :data:`vision.occlusion.REGIONS` is covered, 0 to 1. Both None for a face sent as aligned.
    """

    blur: float
    illumination: float
    completeness: float | None = None
    occlusion: dict[str, float] | None = None


@dataclass
class Face:
    """One face on its way through the stages; a field is None until its stage has run.

    box: (4,) float32, x1 y1 x2 y2 in pixels of the upright picture.
    score: 0 to 1, the detector's.
    keypoints: (K, 2) float32, the detector's points, or None.
    compared: whether these are the best of a look at all quarter turns.
    landmarks: (5, 2) float32, as in :class:`Landmarks`.
    mesh: (468, 3) float32, as in :class:`Landmarks`.
    is_aligned: whether the landmarks can be trusted; a face without them has no embedding.
    embedding: (D,) float32 of unit length.
    aligned: (112, 112, 3) uint8, RGB, the aligned crop, where it was asked for.
    attributes: JSON-ready dictionary.
    liveness: 0 to 1, 1 is live.
    angle: (3,) float32, yaw, pitch, roll in degrees, as of :func:`vision.pose.head_angles`.
    quality: where it was asked for.
    """

    box: np.ndarray
    score: float
    keypoints: np.ndarray | None = None
    compared: bool = False
    landmarks: np.ndarray | None = None
    mesh: np.ndarray | None = None
    is_aligned: bool = True
    embedding: np.ndarray | None = None
    aligned: np.ndarray | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    liveness: float | None = None
    angle: np.ndarray | None = None
    quality: Quality | None = None
