"""A picture at its four quarter turns, as four small copies in one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vision.face import Detections
from vision.geometry import resize, transform

_TURNS = 4
# Longer side of a copy, at most; more than any detector sees of it.
_SIDE = 256
# Side of the square that a copy lies in the middle of, in its longer sides: BlazeFace finds the
# faces of portraits best where a third of its input's side is left to a copy.
_CELL = 1.5


@dataclass(frozen=True)
class Quarters:
    """Copies of a picture on black, turned counter-clockwise by 0 and 90, then 180 and 270 degrees.

    pixels: (S, S, 3) uint8. sides: width and height of the picture.
    back: (4, 2, 3) float32, by turn, from `pixels` to the picture, both counted from the edge.
    """

    pixels: np.ndarray
    sides: np.ndarray
    back: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray) -> Quarters:
        """Of a picture (H, W, 3) uint8."""
        sides = np.array(picture.shape[1::-1], np.float32)
        longest = float(np.max(sides))
        longer = min(int(longest), _SIDE)
        width, height = np.maximum(np.round(sides * (longer / longest)), 1).astype(int)
        small = resize(picture, width, height)
        cell = int(np.ceil(longer * _CELL))
        pixels = np.zeros((2 * cell, 2 * cell, 3), np.uint8)
        back = np.empty((_TURNS, 2, 3), np.float32)
        for turn in range(_TURNS):
            copy = np.rot90(small, turn)
            rows, columns = copy.shape[:2]
            corner = np.array(divmod(turn, 2)) * cell + (cell - np.array([rows, columns])) // 2
            top, left = corner
            pixels[top : top + rows, left : left + columns] = copy
            back[turn] = _back(turn, width, height, left, top)
        back *= (sides / (width, height))[:, None]
        return cls(pixels, sides, back)

    def to_picture(self, found: Detections) -> Detections:
        """Detections in `pixels` as detections in the picture, boxes cut at its edges.

        Of a face that was found in several copies there are several.
        """
        middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        columns, rows = (middles > self.pixels.shape[0] / 2).T
        back = self.back[rows * 2 + columns]
        corners = transform(back, found.boxes.reshape(-1, 2, 2))
        boxes = np.hstack([corners.min(axis=1), corners.max(axis=1)])
        boxes = np.clip(boxes.reshape(-1, 2, 2), 0, self.sides).reshape(-1, 4)
        some = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        points = found.keypoints
        if points is not None:
            # Points count from the middle of the first pixel.
            half = np.float32(0.5)
            points = (transform(back, points + half) - half)[some]
        return Detections(boxes[some], found.scores[some], points)


def _back(turn: int, width: int, height: int, left: int, top: int) -> np.ndarray:
    """From a turned copy, whose corner lies at (left, top), to one as it was; (2, 3) float32."""
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][turn]
    # A turn by 90 degrees takes (x, y) to (y, width - x).
    rotation = np.array([[cos, -sin], [sin, cos]])
    shift = [(0, 0), (width, 0), (width, height), (0, height)][turn]
    return np.column_stack([rotation, shift - rotation @ (left, top)]).astype(np.float32)
