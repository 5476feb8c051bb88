"""Is a part of the face covered: what seven regions of the aligned face look like beside the rest.

A logistic regression a region, on its brightness, colour, texture and direction of edges relative
to the whole face, to the region on the other side, and to the dark and bright spots that belong
there (an eye, nostrils, the line of the mouth).

Fitted to 124 portraits of six people over each region of which a patch was painted (grey,
coloured, of the skin's colour, or textured), sharp, blurred and darkened. On each person with the
fit of the other five, the area under the curve against faces without a patch is 0.99 and more for
plain patches and 0.94 and more for textured ones. Textures unlike those it was fitted to are missed
more often (0.64 to 0.90 without textures in the fit). Of 25 other faces two mouths and a chin were
called covered that were not.
"""

from __future__ import annotations

import cv2
import numpy as np

from vision import occlusion_fit as fit

REGIONS = ("left_eye", "right_eye", "nose", "mouth", "left_cheek", "right_cheek", "chin_contour")

_SIDE = 56
# Ellipses on the aligned face of 112 pixels: middle and half axes; left and right as seen.
_ELLIPSES = (
    (38, 52, 12, 8),
    (74, 52, 12, 8),
    (56, 70, 9, 13),
    (56, 92, 17, 9),
    (31, 77, 9, 11),
    (81, 77, 9, 11),
    (56, 108, 15, 6),
)
_FACE = (56, 68, 36, 42)
# A region with what is around it, where the edge of something that covers it would lie.
_WIDER = (1.35, 1.6)
# Features are cut off at so many standard deviations.
_FARTHEST = 4.0
# The region on the other side; itself where there is none.
_OPPOSITE = np.array([1, 0, 2, 3, 5, 4, 6])
# Spots of a region: x, y, half widths, and how bright against the rest.
_SPOTS = (
    ((38, 52, 6, 3, -1.0), (38, 42, 10, 2.5, -0.5)),
    ((74, 52, 6, 3, -1.0), (74, 42, 10, 2.5, -0.5)),
    ((50, 75, 3, 2, -1.0), (62, 75, 3, 2, -1.0), (56, 68, 4, 6, 1.0)),
    ((56, 92, 14, 3, -1.0),),
    ((31, 70, 9, 5, 1.0),),
    ((81, 70, 9, 5, 1.0),),
    ((56, 114, 20, 4, -1.0),),
)


def _ellipse(x: float, y: float, across: float, down: float) -> np.ndarray:
    rows, columns = np.mgrid[:_SIDE, :_SIDE] * 2 + 0.5
    inside = ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 <= 1
    return (inside / inside.sum()).ravel()


def _template(region: int) -> np.ndarray:
    """The spots over the wider region, mean 0 and length 1."""
    rows, columns = np.mgrid[:_SIDE, :_SIDE] * 2 + 0.5
    wide = _WIDE[region] > 0
    spots = np.zeros((_SIDE, _SIDE))
    for x, y, across, down, brightness in _SPOTS[region]:
        distance = ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2
        spots += brightness * np.exp(-distance / 2)
    flat = np.where(wide, spots.ravel(), 0.0)
    flat = np.where(wide, flat - flat[wide].mean(), 0.0)
    return flat / np.linalg.norm(flat) / np.sqrt(wide.sum())


_TIGHT = [_ellipse(*ellipse) for ellipse in _ELLIPSES]
_WIDE = [_ellipse(x, y, a * _WIDER[0], d * _WIDER[1]) for x, y, a, d in _ELLIPSES]
_COUNT = len(REGIONS)
# Rows: regions, wider regions, the face, templates.
_WEIGHTS = np.array(
    [*_TIGHT, *_WIDE, _ellipse(*_FACE), *(_template(n) for n in range(_COUNT))], np.float32
)


def occlusion(crop: np.ndarray) -> dict[str, float]:
    """How surely each region is covered, 0 to 1 by name; left and right as seen in the picture.

    crop: (112, 112, 3) uint8 RGB, the face aligned to ArcFace's points.
    """
    scaled = np.clip((features(crop) - fit.MEANS) / fit.SPREADS, -_FARTHEST, _FARTHEST)
    logits = (scaled * (fit.LINEAR + fit.SQUARES * scaled)).sum(axis=1) + fit.BIASES
    return dict(zip(REGIONS, (1 / (1 + np.exp(-logits))).tolist()))


def features(crop: np.ndarray) -> np.ndarray:
    """What the regions look like, (7, 14) float32; crop: (112, 112, 3) uint8 RGB, aligned."""
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    light, green, blue = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32))
    green -= 128
    blue -= 128
    across = np.abs(cv2.Sobel(light, cv2.CV_32F, 1, 0, ksize=3))
    down = np.abs(cv2.Sobel(light, cv2.CV_32F, 0, 1, ksize=3))
    planes = np.stack(
        [light, light * light, green, blue, green * green + blue * blue, across, down]
    )
    sums = _WEIGHTS @ planes.reshape(len(planes), -1).T
    tight, wide = sums[:_COUNT], sums[_COUNT : 2 * _COUNT]
    face, spots = sums[2 * _COUNT], sums[2 * _COUNT + 1 :, 0]
    means = tight[:, [0, 2, 3]]
    spread, colours = _spreads(tight)
    whole_spread, whole_colours = (value[0] for value in _spreads(face[None]))
    unit, tint = whole_spread + 4, whole_colours + 2
    edges = face[5] + face[6] + 4
    offset = (means - face[[0, 2, 3]]) / [unit, tint, tint]
    apart = (means - means[_OPPOSITE]) / [unit, tint, tint]
    columns = [
        *offset.T,
        np.abs(offset[:, 0]),
        np.log1p(np.hypot(offset[:, 1], offset[:, 2])),
        np.log((spread + 1) / unit),
        np.log((colours + 0.5) / tint),
        np.log((tight[:, 5] + tight[:, 6] + 1) / edges),
        np.log((wide[:, 5] + wide[:, 6] + 1) / edges),
        np.log((tight[:, 6] + 2) / (tight[:, 5] + 2)),
        np.abs(apart[:, 0]),
        np.hypot(apart[:, 1], apart[:, 2]),
        np.log((spread + 1) / (spread[_OPPOSITE] + 1)),
        spots / (_spreads(wide)[0] + 2),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _spreads(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of brightness and of colour, of weighted means (N, 7)."""
    brightness = np.sqrt(np.maximum(rows[:, 1] - rows[:, 0] ** 2, 0))
    colour = np.sqrt(np.maximum(rows[:, 4] - rows[:, 2] ** 2 - rows[:, 3] ** 2, 0))
    return brightness, colour
