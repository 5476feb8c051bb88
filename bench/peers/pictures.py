"""The pictures of the comparison: scikit-image's sample, or photographs of a gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import cv2
import numpy as np

from bench.accuracy import gallery_files
from bench.load.pictures import PictureSet, encoded, make_sets

NAMES = ("vga", "hd", "six")
_GREY = 128
_SIZES = {"vga": (640, 480), "hd": (1920, 1080), "six": (410, 440)}
_ROWS, _COLUMNS = 2, 3
_SIX = (1280, 960)


def from_sample(name: str) -> Iterator[PictureSet]:
    """The one picture of a set of `bench throughput`."""
    yield from make_sets([name])


def from_gallery(name: str, gallery: Path) -> Iterator[PictureSet]:
    """Pictures of that size, each with photographs of its own, person after person.

    Raises ValueError for a gallery without any.
    """
    files = _in_turns(gallery_files(gallery))
    (shape,) = make_sets([name])
    each = shape.faces
    for first in range(0, len(files) - each + 1, each):
        tiles = [_fitted(_read(file), *_SIZES[name]) for file in files[first : first + each]]
        picture = tiles[0] if each == 1 else _tiled(tiles)
        yield PictureSet(name, shape.title, (encoded(picture),), each)


def chosen(
    candidates: Iterator[PictureSet], count: int, fits: Callable[[PictureSet], bool]
) -> list[PictureSet]:
    """The first `count` that fit; fewer where there are no more."""
    found: list[PictureSet] = []
    for pictures in candidates:
        if fits(pictures):
            found.append(pictures)
        if len(found) == count:
            break
    return found


def _in_turns(files: Sequence[tuple[str, Path]]) -> list[Path]:
    """A person's first file, another's first, and so on, then the second ones."""
    by_person: dict[str, list[Path]] = {}
    for person, file in files:
        by_person.setdefault(person, []).append(file)
    turns = zip_longest(*by_person.values())
    return [file for file in chain.from_iterable(turns) if file is not None]


def _read(file: Path) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{file} is not a picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _fitted(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width, 3): the whole picture in the middle of grey, as large as it can be."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    made = np.full((height, width, 3), _GREY, np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    made[top : top + size[1], left : left + size[0]] = cv2.resize(
        picture, size, interpolation=method
    )
    return made


def _tiled(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Two rows of three pictures on grey."""
    rows = [np.hstack(tiles[row * _COLUMNS : (row + 1) * _COLUMNS]) for row in range(_ROWS)]
    return _fitted(np.vstack(rows), *_SIX)
