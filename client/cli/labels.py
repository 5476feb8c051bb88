"""Where the label of each face goes: beside its box, and over nobody else's face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_DUPLEX
_FARTHEST = 1e6  # pixels; no picture is as large, and areas stay numbers
# Where there is no room beside a face for its label, the label is made smaller.
_SHRUNK = (1.0, 0.75, 0.5)


@dataclass(frozen=True)
class Label:
    """A text on a plate; pixels. origin: of the text's base line. stroke: the letters' width."""

    text: str
    left: int
    top: int
    right: int
    bottom: int
    origin: tuple[int, int]
    scale: float
    stroke: int


def place_labels(
    texts: Sequence[str], boxes: np.ndarray, lines: Sequence[int], height: int, width: int
) -> list[Label]:
    """A label for each face, in the order of the faces.

    boxes: (N, 4), x1 y1 x2 y2 in pixels of a picture of that height and width. lines: of each
    face's box, the width that the label is in proportion to.
    """
    boxes = np.clip(np.asarray(boxes, np.float64).reshape(-1, 4), -_FARTHEST, _FARTHEST)
    placed: list[Label] = []
    for number, (text, line) in enumerate(zip(texts, lines)):
        others = np.delete(boxes, number, axis=0)
        labels = np.array([_corners(label) for label in placed], np.float64).reshape(-1, 4)
        taken = np.concatenate([others, labels])
        found = [
            _best_place(text, boxes[number], line, shrunk, taken, (height, width))
            for shrunk in _SHRUNK
        ]
        placed.append(min(found, key=lambda one: one[0])[1])
    return placed


def _best_place(
    text: str, box: np.ndarray, line: int, shrunk: float, taken: np.ndarray, size: tuple[int, int]
) -> tuple[float, Label]:
    """The label where it covers least of what is taken; that area, and the label."""
    scale = 0.25 * line * shrunk
    stroke = max(1, round(line * shrunk / 2.5))
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, stroke)
    pad = max(2, round(1.5 * line * shrunk))
    width, height = text_width + 2 * pad, text_height + below + 2 * pad
    x1, y1, x2, y2 = box + np.array([-line, -line, line, line])  # with its frame
    above, below_it, far = y1 - height, y2, height + line
    corners = np.array(
        [
            *((x, y) for y in (above, below_it) for x in (x1, x2 - width)),
            *((x, y) for x in (x2, x1 - width) for y in (y1, y2 - height)),
            # Beyond a label that another face has there.
            *((x, y) for y in (above - far, below_it + far) for x in (x1, x2 - width)),
            # Within the box, as the last.
            *((x1, y) for y in (y1 + 2 * line, y2 - 2 * line - height)),
        ]
    )
    lefts, tops = np.round(corners).T
    lefts = np.clip(lefts, 0, max(0, size[1] - width))
    tops = np.clip(tops, 0, max(0, size[0] - height))
    plates = np.stack([lefts, tops, lefts + width, tops + height], axis=1)
    covered = _overlaps(plates, taken).sum(axis=1)
    own = _overlaps(plates, box[None])[:, 0]
    best = int(np.lexsort((own, covered))[0])
    left, top = int(lefts[best]), int(tops[best])
    origin = (left + pad, top + pad + text_height)
    label = Label(text, left, top, left + width, top + height, origin, scale, stroke)
    return float(covered[best]), label


def _overlaps(plates: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(P, T): the area that each of (P, 4) has in common with each of (T, 4)."""
    low = np.maximum(plates[:, None, :2], taken[None, :, :2])
    high = np.minimum(plates[:, None, 2:], taken[None, :, 2:])
    areas: np.ndarray = np.prod(np.maximum(high - low, 0.0), axis=2)
    return areas


def _corners(label: Label) -> tuple[int, int, int, int]:
    return label.left, label.top, label.right, label.bottom
