"""What is found in hard pictures, and in those without a face; a part of ``bench quality``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import skimage.data
from rich.console import Console

from bench.turned import QUARTERS, turn
from client.terminal.table import FittingTable
from ops.local import LocalPipeline

# Of crops that other systems made: so much inside the face's box on each side.
_INSIDE = 0.05
# Pixels of the longer side of small pictures, and grey levels of their noise.
_SMALL = 112
_NOISE = 12.0
# scikit-image's samples that come with it and show no human face.
WITHOUT_FACE = (
    *("brick", "cell", "chelsea", "coffee", "coins", "colorwheel", "grass", "gravel", "horse"),
    *("hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon", "page"),
    *("retina", "rocket", "text"),
)
# Standard deviations, in pixels, of random textures; 0 is noise of every pixel.
_TEXTURES = (0, 2, 5, 15, 40)


def crop(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A face cut too tight; picture: (H, W, 3) uint8; box: (4,) x1 y1 x2 y2."""
    margin = _INSIDE * (box[2:] - box[:2])
    left, top = np.maximum(np.round(box[:2] + margin), 0).astype(int)
    right, bottom = np.round(box[2:] - margin).astype(int)
    return np.ascontiguousarray(picture[top:bottom, left:right])


def noisy(picture: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A picture (H, W, 3) uint8 made small, with noise."""
    scale = _SMALL / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.clip(small + random.normal(0, _NOISE, small.shape), 0, 255).astype(np.uint8)


def without_face() -> Iterator[np.ndarray]:
    """Pictures (H, W, 3) uint8 that show no human face."""
    for name in WITHOUT_FACE:
        picture = np.asarray(getattr(skimage.data, name)())
        picture = (picture * 255).astype(np.uint8) if picture.dtype != np.uint8 else picture
        yield np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture[..., :3].copy()
    random = np.random.RandomState(7)
    for deviation in _TEXTURES:
        plane = random.normal(size=(400, 400, 3)).astype(np.float32)
        plane = (
            np.asarray(cv2.GaussianBlur(plane, (0, 0), deviation), np.float32)
            if deviation
            else plane
        )
        yield np.asarray(cv2.normalize(plane, plane, 0, 255, cv2.NORM_MINMAX), np.uint8)


def found(pipeline: LocalPipeline, picture: np.ndarray) -> int:
    """How many faces the service tells of, with its own limits."""
    return len(pipeline.analyze(picture, want=("landmarks",)))


def show_finding(
    console: Console, pipeline: LocalPipeline, faces: Sequence[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Print how many of the hard pictures have a face.

    faces: pictures (H, W, 3) uint8, each with the box (4,) of its face.
    """
    random = np.random.RandomState(7)
    crops = [crop(picture, box) for picture, box in faces]
    small = [noisy(picture, random) for picture, _ in faces]
    nothing = [turn(picture, degrees) for picture in without_face() for degrees in QUARTERS]
    rows = {
        f"cut {_INSIDE:.0%} inside the face's box": crops,
        f"{_SMALL} pixels, noise of {_NOISE:g} grey levels": small,
        "without a face, at four turns": nothing,
    }
    table = FittingTable("finding").names("pictures").figures("number", "with a face")
    for name, pictures in rows.items():
        some = sum(found(pipeline, picture) > 0 for picture in pictures)
        table.add_row(name, str(len(pictures)), str(some))
    console.print(table)
