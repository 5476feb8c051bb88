"""Faces too small for one look at a whole picture: overlapping tiles, searched at a larger scale.

A detector that finds faces of so many pixels of its input finds smaller ones of the picture when
that is enlarged, or reduced less, for it. What then no longer fits its input is cut into tiles that
overlap by more than a face; what is too large for the overlap is looked for at a coarser scale.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vision.face import Detections
from vision.geometry import five_points
from vision.suppression import nesting, suppress

# Pixels of the input that a face has to have for YuNet to find nine in ten and more
# (`python -m bench detection`).
SEEN = 40
# Sides of the input among which the cheapest is chosen, in pixels.
SIDES = (320, 640, 960, 1280)
# Pixels of the input by which tiles overlap: faces up to this size lie whole in one of them.
OVERLAP = 160
# Between two scales; less than OVERLAP / SEEN, so that no size of face falls between them.
_STEP = 3.5
# What one look at the whole picture finds surely, as a share of the picture's longer side.
_ONE_LOOK = 0.06
# Two boxes share more than this of the smaller one, and are about as large: one face.
_SAME = 0.5
_AS_LARGE = 0.25  # of the larger one's area
# A box that ends so near to where a tile was cut, in pixels of the input, may be half a face.
_CUT = 2.0

# Looks at parts (H, W, 3) of a picture with an input of so many pixels a side.
Look = Callable[[Sequence[np.ndarray], int], list[Detections]]


@dataclass(frozen=True)
class Level:
    """One scale: the picture in tiles, each of which the input holds.

    side: of the input, in pixels. scale: pixels of the input a pixel of the picture.
    lefts, tops: where the tiles begin. width, height: of every tile, in pixels of the picture.
    """

    side: int
    scale: float
    lefts: tuple[int, ...]
    tops: tuple[int, ...]
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """What is searched, in pixels of the input."""
        return len(self.lefts) * len(self.tops) * self.side**2

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Left and top of each tile."""
        return itertools.product(self.lefts, self.tops)


def plan(width: int, height: int, smallest: float) -> list[Level]:
    """The scales at which a picture is searched, the finest first; none where one look is enough.

    width, height: of the picture. smallest: pixels of the longer side of the smallest face; both in
    the same pixels.
    """
    longest = max(width, height)
    levels = []
    wanted = smallest
    while smallest > 0 and wanted < _ONE_LOOK * longest:
        choice = [_level(width, height, SEEN / wanted, side) for side in SIDES]
        levels.append(min(choice, key=lambda level: level.pixels))
        wanted *= _STEP
        if len(levels[-1].lefts) == len(levels[-1].tops) == 1:
            break  # the whole picture was one input
    return levels


def searched_pixels(width: int, height: int, smallest: int) -> int:
    """What a search costs: pixels of the detector's input, over all tiles and scales."""
    return sum(level.pixels for level in plan(width, height, smallest))


def least_face(width: int, height: int, smallest: int, most: int) -> int:
    """The smallest face from ``smallest`` on whose search takes at most ``most`` pixels."""
    while searched_pixels(width, height, smallest) > most:
        smallest = math.ceil(smallest * 1.05)
    return smallest


def _level(width: int, height: int, scale: float, side: int) -> Level:
    tile = min(side / scale, float(max(width, height)))
    across, down = (min(math.ceil(tile), length) for length in (width, height))
    step = tile - OVERLAP / scale
    lefts, tops = (_starts(n, tile, step) for n in (width, height))
    return Level(side, side / tile, lefts, tops, across, down)


def _starts(length: int, tile: float, step: float) -> tuple[int, ...]:
    """Where tiles begin that cover a side, evenly spread."""
    if length <= tile:
        return (0,)
    count = math.ceil((length - tile) / step) + 1
    return tuple(int(n) for n in np.linspace(0, length - math.ceil(tile), count))


def search(picture: np.ndarray, levels: Sequence[Level], look: Look) -> Detections:
    """What is found in a picture (H, W, 3), one box a face; keypoints are the five landmarks."""
    found = []
    for level in levels:
        places = list(level.tiles())
        parts = [picture[y : y + level.height, x : x + level.width] for x, y in places]
        for place, detections in zip(places, look(parts, level.side)):
            found.append(_whole(detections, place, level, picture.shape))
    return _distinct(found)


def _whole(
    found: Detections, place: tuple[int, int], level: Level, shape: tuple[int, ...]
) -> Detections:
    """What was found in a tile in pixels of the picture, without faces that the tile cuts."""
    shift = np.array(place, np.float32)
    ends = shift + np.array([level.width, level.height], np.float32)
    boxes = found.boxes + np.tile(shift, 2)
    margin = _CUT / level.scale
    size = np.array([shape[1], shape[0]], np.float32)
    cut = ((boxes[:, :2] < shift + margin) & (shift > 0)).any(axis=1)
    cut |= ((boxes[:, 2:] > ends - margin) & (ends < size)).any(axis=1)
    points = found.keypoints
    return Detections(
        boxes[~cut], found.scores[~cut], None if points is None else points[~cut] + shift
    )


def _distinct(found: Sequence[Detections]) -> Detections:
    joined = _joined(found)
    return joined.picked(suppress(joined.boxes, joined.scores, _SAME, same_face))


def same_face(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How surely two boxes are one face's, 0 to 1: how far one lies in the other, (N, M).

    0 where one is much smaller: a face in a poster that another one stands before.
    """
    areas, other_areas = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others))
    ratio = areas[:, None] / np.maximum(other_areas, 1e-6)
    alike = (ratio > _AS_LARGE) & (ratio < 1 / _AS_LARGE)
    return np.where(alike, nesting(boxes, others), 0.0)


def added(first: Detections, small: Detections, longest: int) -> Detections:
    """What one look at a picture has found, and the faces besides that the tiles have.

    longest: the picture's longer side. Of a face that is small for one look the tiles tell more.
    Keypoints are five, as both detectors give them or as they follow from the first one's.
    """
    if not len(small):
        return first
    if len(first):
        sides = (first.boxes[:, 2:] - first.boxes[:, :2]).max(axis=1)
        better = nesting(first.boxes, small.boxes).max(axis=1) > _SAME
        first = first.picked(~(better & (sides < _ONE_LOOK * longest)))
    if len(first):
        small = small.picked(same_face(small.boxes, first.boxes).max(axis=1) <= _SAME)
    return _joined([first, small])


def _joined(found: Sequence[Detections]) -> Detections:
    some = [one for one in found if len(one)]
    if not some:
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    points = [_five(one) for one in some]
    known = [one for one in points if one is not None]
    compared = [np.zeros(len(one), bool) if one.compared is None else one.compared for one in some]
    return Detections(
        np.concatenate([one.boxes for one in some]),
        np.concatenate([one.scores for one in some]),
        np.concatenate(known) if len(known) == len(some) else None,
        np.concatenate(compared) if any(flags.any() for flags in compared) else None,
    )


def _five(found: Detections) -> np.ndarray | None:
    """The five landmarks of each face, (N, 5, 2); None where the detector gives no points."""
    if found.keypoints is None:
        return None
    points = [five_points(one) for one in found.keypoints]
    known = [one for one in points if one is not None]
    return np.stack(known) if len(known) == len(points) else None
