"""How usable a face's picture is: blur, illumination, completeness, occlusion.

Blur and illumination are measured on the face aligned to ArcFace's 112x112, which is what the
recogniser sees, so that neither the size of the face nor its tilt matters.
"""

from __future__ import annotations

import cv2
import numpy as np

from vision.face import Face, Quality
from vision.geometry import ARCFACE_POINTS, ARCFACE_SIZE, fit_similarity, warp
from vision.occlusion import occlusion

# The middle of the aligned face, between hair, background and chin: rows and columns.
_MIDDLE = (slice(24, 108), slice(16, 96))
# The same as an ellipse, for the light on the skin.
_SKIN = np.zeros((ARCFACE_SIZE, ARCFACE_SIZE), np.uint8)
cv2.ellipse(_SKIN, (56, 68), (36, 42), 0, 0, 360, [255], -1)
# Noise and JPEG's grain would pass for sharpness: they are smoothed away first.
_SMOOTHING = 1.0
_WINDOW = 9
_FINENESS = 128  # steps a grey level, for means of few pixels
# How much of the detail survives a strong blur: what half of the sharp portraits stay below, and
# the median under a Gaussian of 4 pixels of the aligned face.
_SHARP = 0.58
_BLURRED = 0.87


def face_quality(
    picture: np.ndarray, face: Face, outline: np.ndarray | None = None
) -> Quality | None:
    """The quality of a face, None for one without landmarks.

    picture: (H, W, 3) uint8 RGB. outline: (K, 2) of :func:`vision.pose.face_outlines`; without it
    nothing is said of completeness and occlusion.
    """
    if face.landmarks is None:
        return None
    matrix = fit_similarity(face.landmarks, ARCFACE_POINTS)
    crop = warp(picture, matrix, ARCFACE_SIZE, cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    height, width = picture.shape[:2]
    return Quality(
        blur=blur(grey),
        illumination=illumination(grey),
        completeness=None if outline is None else completeness(outline, width, height),
        occlusion=None if outline is None else occlusion(crop),
    )


def blur(grey: np.ndarray) -> float:
    """How blurred an aligned face is: 0 sharp, 1 blurred.

    grey: (112, 112) uint8. The measure of Crete et al. (SPIE 6492, 2007): a picture that is blurred
    already loses little when it is blurred again. Per direction, the share of the differences
    between neighbouring pixels that survives a mean over 9 pixels; the worse direction counts,
    for motion. Being a share, it doesn't depend on contrast. A Gaussian of 1, 2, 3 pixels of the
    aligned face gives about 0.25, 0.6, 0.85.
    """
    middle = cv2.GaussianBlur(grey[_MIDDLE].astype(np.uint16) * _FINENESS, (7, 7), _SMOOTHING)
    left = max(_survival(middle), _survival(cv2.transpose(middle)))
    return min(max((left - _SHARP) / (_BLURRED - _SHARP), 0.0), 1.0)


def _survival(picture: np.ndarray) -> float:
    """Share of the differences between neighbours in a row that a blur leaves, 0 to 1.

    picture: (H, W) uint16, whose differences OpenCV subtracts without going below zero.
    """
    before = cv2.absdiff(picture[:, 1:], picture[:, :-1])
    total = cv2.sumElems(before)[0]
    if total == 0:
        return 1.0
    blurred = cv2.blur(picture, (_WINDOW, 1))
    lost = cv2.subtract(before, cv2.absdiff(blurred[:, 1:], blurred[:, :-1]))
    return float(1.0 - cv2.sumElems(lost)[0] / total)


def illumination(grey: np.ndarray) -> float:
    """Mean brightness of the face between hair and chin, 0 to 255; grey: (112, 112) uint8."""
    return float(cv2.mean(grey, mask=_SKIN)[0])


def completeness(outline: np.ndarray, width: int, height: int) -> float:
    """Share of the area of the face that lies in the picture, 0 to 1.

    outline: (K, 2) in pixels of the picture of width x height pixels. The landmark model squeezes
    a face into what is left of it, so that too much is said to be there: medians of 0.96 to 0.98
    without a tenth of the face's width or height, 0.88 to 0.96 without a fifth, 0.84 to 0.94
    without three tenths. Of whole faces 99 in 100 have 0.98 and more.
    """
    hull = cv2.convexHull(outline)
    whole = cv2.contourArea(hull)
    if whole <= 0.0:
        return 0.0
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    inside, _ = cv2.intersectConvexConvex(hull, frame[:, None])
    return float(min(max(inside / whole, 0.0), 1.0))
