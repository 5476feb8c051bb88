"""How plausible a mesh is: does the landmark model see a face that stands upright in its crop.

The model is trained on upright faces and draws a face into whatever it gets. Of one that stands on
its head it makes an upright one without doubting (its own confidence is 0.95 in the median, and
1.0 for upright faces), but a strange one: lids, brows and lips lie where no face has them, and the
rigid part of the head is bent. A logistic regression tells the two apart by the model's confidence,
by how far the rigid part of the mesh is from a head's, and by where lids, brows, nose, lips and
chin lie in the head's own frame, left and right taken together, so that a turn of the head and of
the picture change nothing.

Fitted to 124 portraits of six people, upright, blurred, darkened, noisy and cut, against the same
portraits turned by 60 to 225 degrees. On each person with the fit of the other five, 4 % of the
upright portraits fall below zero (blurred 37 %, dark 5 %, half covered 37 %) and none of those
that were aligned by more than 15 degrees wrongly lies above it. Of 473 boxes that the detector
finds in pictures without a face none does; the highest has -2.2.
"""

from __future__ import annotations

import numpy as np

from vision.pose import Heads

# Vertex: weights of x, y, z in the head's frame; corners of the mouth, lids, brows, then the
# middle line: tip of the nose, lips, base of the nose, chin.
_VERTICES = {
    61: (-0.27, -0.88, 2.60),
    291: (0.27, -0.88, 2.60),
    159: (2.98, -13.27, 13.47),
    386: (-2.98, -13.27, 13.47),
    145: (-13.82, 13.70, -1.32),
    374: (13.82, 13.70, -1.32),
    70: (19.46, -1.05, -4.47),
    300: (-19.46, -1.05, -4.47),
    105: (9.37, -4.66, -26.79),
    334: (-9.37, -4.66, -26.79),
    1: (0, -1.48, -4.07),
    13: (0, 2.60, -1.97),
    14: (0, -0.61, -5.56),
    2: (0, -1.38, -0.59),
    17: (0, -0.21, -2.25),
    0: (0, 3.18, -4.33),
    152: (0, -4.50, 4.91),
}
_INDICES = list(_VERTICES)
_WEIGHTS = np.array(list(_VERTICES.values()), dtype=np.float32)
_CONFIDENCE, _BEND, _BIAS = 0.195, -2.241, 5.14
# Logits of confidences are cut off there, for the fit's sake.
_LEAST = 1e-4
# The fit says nothing of meshes that are bent further than any that it has seen (0.073), and what
# the model itself is so unsure of is no upright face.
_MOST_BENT = 0.08
_LEAST_SURE = 0.25
_OUTSIDE = -5.0


def plausibility(heads: Heads, meshes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Above zero for upright faces, below it for others and for what is no face; (N,) float32.

    meshes: (N, 468, 3), scores: (N,), the model's confidences, as in `vision.face.Landmarks`;
    heads: theirs.
    """
    places = (heads.in_frame(meshes[:, _INDICES]) * _WEIGHTS).sum(axis=(1, 2))
    sure = logits(scores, _LEAST) * _CONFIDENCE + np.log(heads.bends) * _BEND
    total = places + sure + _BIAS
    outside = (heads.bends > _MOST_BENT) | (scores < _LEAST_SURE)
    held: np.ndarray = np.where(outside, np.minimum(total, _OUTSIDE), total).astype(np.float32)
    return held


def logits(scores: np.ndarray, least: float) -> np.ndarray:
    """Of scores (N,), as far as the logit of `least` in both directions; (N,) float64."""
    shares = np.clip(np.asarray(scores, np.float64), least, 1 - least)
    odds: np.ndarray = np.log(shares / (1 - shares))
    return odds
