"""Whom the demo enrols and where it looks for them: a folder of people, or the sample face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.pictures import Picture, collect, sample_png

SAMPLE_NAME = "Eileen Collins"


@dataclass(frozen=True)
class Person:
    """name: as it is shown. pictures: of the person alone, each a name and a file's bytes."""

    name: str
    pictures: tuple[tuple[str, bytes], ...]


def people_in(folder: Path, most: int) -> list[Person]:
    """A person for each folder in `folder` that has pictures, of which the first `most` are taken.

    Raises FileNotFoundError where there is none.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no such directory: {folder}")
    found = []
    for directory in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            pictures = collect([str(directory)])[:most]
        except FileNotFoundError:
            continue
        named = tuple((f"{directory.name}/{one.name}", one.data()) for one in pictures)
        found.append(Person(directory.name, named))
    if not found:
        raise FileNotFoundError(f"no folder with pictures in {folder}: one a person is expected")
    return found


def sample_people() -> list[Person]:
    """The person of the sample picture, in views that a camera may take of her."""
    face = _sample()
    views = {
        "turned left": _turned(face, 12.0),
        "turned right": _turned(face, -9.0),
        "dark": np.multiply(face, 0.55).astype(np.uint8),
    }
    return [Person(SAMPLE_NAME, tuple((name, _png(view)) for name, view in views.items()))]


def sample_scene() -> bytes:
    """A picture to search: the sample face twice, upright and mirrored, at different sizes."""
    import cv2

    face = _sample()
    scene = np.full((512, 900, 3), (120, 104, 92), np.uint8)
    scene[:, :512] = face
    mirrored = cv2.resize(face[:340, ::-1], (360, 239), interpolation=cv2.INTER_AREA)
    scene[130:369, 526:886] = np.multiply(mirrored, 0.9).astype(np.uint8)
    return _png(scene)


def scene_of(path: Path) -> bytes:
    """The file's bytes. Raises UnreadableError."""
    return Picture.from_file(path).data()


def _sample() -> np.ndarray:
    """(512, 512, 3) uint8 BGR."""
    import cv2

    return np.asarray(cv2.imdecode(np.frombuffer(sample_png(), np.uint8), cv2.IMREAD_COLOR))


def _turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def _png(picture: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", picture)[1].tobytes()
