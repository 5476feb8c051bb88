"""Large pictures with faces of a known size in known places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bench.quality.finding import without_face

# Sides of what is pasted, in those of the face's box: the head with something round it.
_AROUND = 1.9
# Of the pasted square's half side, in which it fades into the picture.
_FADE = 0.15
# Rows and columns of places; a face that is too large for them takes several.
_GRID = (4, 6)


@dataclass(frozen=True)
class Portrait:
    """picture: (H, W, 3) uint8 RGB. box: (4,) of its face from hairline to chin, x1 y1 x2 y2."""

    picture: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class Scene:
    """picture: (H, W, 3) uint8 RGB. boxes: (N, 4) of the faces in it."""

    picture: np.ndarray
    boxes: np.ndarray


def backgrounds(width: int, height: int) -> list[np.ndarray]:
    """Pictures (height, width, 3) uint8 that show no face."""
    found = []
    for picture in without_face():
        scale = max(width / picture.shape[1], height / picture.shape[0])
        large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        found.append(np.ascontiguousarray(large[:height, :width]))
    return found


def scene(
    background: np.ndarray,
    portraits: Sequence[Portrait],
    size: int,
    random: np.random.RandomState,
) -> Scene:
    """A background with as many portraits as it has places for, their faces `size` pixels high."""
    picture = background.copy()
    height, width = picture.shape[:2]
    side = int(np.ceil(size * _AROUND)) + 2
    rows, columns = min(_GRID[0], height // side), min(_GRID[1], width // side)
    boxes = []
    for row in range(rows):
        for column in range(columns):
            portrait = portraits[random.randint(len(portraits))]
            patch, box = _cut(portrait, size)
            free = np.array([width // columns, height // rows]) - patch.shape[1::-1]
            if (free < 0).any():
                continue
            place = np.array([column * (width // columns), row * (height // rows)])
            place = place + (random.uniform(size=2) * (free + 1)).astype(int)
            _paste(picture, patch, place)
            boxes.append(box + np.tile(place, 2))
    return Scene(picture, np.array(boxes, np.float32).reshape(-1, 4))


def _cut(portrait: Portrait, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A portrait's head with its face `size` pixels high, and the face's box in it."""
    box = portrait.box
    scale = size / float((box[2:] - box[:2]).max())
    shape = np.array(portrait.picture.shape[1::-1])
    half = float((box[2:] - box[:2]).max()) * _AROUND / 2
    middle = (box[:2] + box[2:]) / 2
    start = np.clip(np.floor(middle - half), 0, shape - 1).astype(int)
    stop = np.clip(np.ceil(middle + half), start + 1, shape).astype(int)
    part = portrait.picture[start[1] : stop[1], start[0] : stop[0]]
    wanted = np.maximum(np.round((stop - start) * scale), 1).astype(int)
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    patch = cv2.resize(part, (int(wanted[0]), int(wanted[1])), interpolation=mode)
    return patch, (box - np.tile(start, 2)) * np.tile(wanted / (stop - start), 2)


def _paste(picture: np.ndarray, patch: np.ndarray, place: np.ndarray) -> None:
    height, width = patch.shape[:2]
    target = picture[place[1] : place[1] + height, place[0] : place[0] + width]
    edges = [
        np.clip((1 - np.abs(np.linspace(-1, 1, length))) / _FADE, 0, 1)
        for length in (height, width)
    ]
    share = (edges[0][:, None] * edges[1])[..., None]
    target[:] = (share * patch + (1 - share) * target).astype(np.uint8)
