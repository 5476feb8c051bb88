"""OpenCV's FaceDetectorYN (YuNet) and FaceRecognizerSF (SFace)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from bench.peers.servers.server import Find, Found

# Pixels of the longer side in which faces are looked for: those of SCRFD's input.
_SIDE = 640
# OpenCV's own of its sample.
_SCORE, _OVERLAP = 0.9, 0.3
# YuNet's points are the subject's right eye, left eye, nose, right and left mouth corner: as seen,
# those at the left come first.


def load(files: Mapping[str, Any]) -> Find:
    """detection: YuNet. recognition: SFace."""
    detector = cv2.FaceDetectorYN.create(
        files["detection"], "", (_SIDE, _SIDE), score_threshold=_SCORE, nms_threshold=_OVERLAP
    )
    recogniser = cv2.FaceRecognizerSF.create(files["recognition"], "")

    def find(picture: np.ndarray) -> list[Found]:
        height, width = picture.shape[:2]
        scale = min(_SIDE / max(height, width), 1.0)
        size = (round(width * scale), round(height * scale))
        small = picture if scale == 1.0 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        detector.setInputSize(size)
        rows: np.ndarray | None = detector.detect(small)[1]
        return [] if rows is None else [_face(picture, row, scale) for row in rows]

    def _face(picture: np.ndarray, row: np.ndarray, scale: float) -> Found:
        row = row.copy()
        row[:14] /= scale
        embedding = recogniser.feature(recogniser.alignCrop(picture, row))[0].copy()
        box = np.concatenate([row[:2], row[:2] + row[2:4]])
        return Found(box, float(row[14]), row[4:14].reshape(5, 2), embedding)

    return find
