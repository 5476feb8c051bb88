"""The pictures that a client sends: a file, a directory of them, or the sample picture."""

from __future__ import annotations

import base64
import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.errors import UnreadableError

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".heic", ".heif", ".hif", ".avif"),
    }
)
CACHED_PICTURES = 64  # a repeated run reads the disk once for so many; bounds the memory


@dataclass(frozen=True)
class Picture:
    """A picture to send. name: what tables and saved files call it; path: None for the sample."""

    name: str
    path: Path | None = None

    @staticmethod
    def from_file(path: str | Path) -> Picture:
        """A picture named like its file, which is read when it is sent."""
        return Picture(Path(path).name, Path(path))

    def data(self) -> bytes:
        """The encoded file. Raises UnreadableError."""
        if self.path is None:
            return sample_png()
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise UnreadableError(f"cannot read {self.path}: {error.strerror}") from None

    def base64(self) -> str:
        """The file as it goes into a request. Raises UnreadableError."""
        return _base64(self)


@functools.lru_cache(maxsize=CACHED_PICTURES)
def _base64(picture: Picture) -> str:
    return base64.b64encode(picture.data()).decode("ascii")


@functools.lru_cache(maxsize=1)
def sample_png() -> bytes:
    """scikit-image's ``astronaut`` (512 x 512, one large face, public domain by NASA) as PNG."""
    import cv2
    from skimage import data

    astronaut: np.ndarray = data.astronaut()  # type: ignore[no-untyped-call]
    done, encoded = cv2.imencode(".png", astronaut[:, :, ::-1])  # RGB to OpenCV's BGR
    if not done:
        raise RuntimeError("OpenCV could not encode the sample picture")
    return encoded.tobytes()


def collect(paths: Sequence[str]) -> list[Picture]:
    """The pictures that the arguments name, in their order; the sample picture for none.

    A directory gives the files below it that have a picture's suffix, sorted by path; a file
    is taken whatever its suffix. Equal names get a number, so that saved files don't collide.
    Raises FileNotFoundError for a path that isn't there or a directory without pictures, and where
    the sample picture is not.
    """
    if not paths:
        if importlib.util.find_spec("skimage") is None:
            raise FileNotFoundError("name a picture: the sample one comes with scikit-image")
        return [Picture("sample")]
    found: list[Picture] = []
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside = _pictures_below(path)
            if not inside:
                raise FileNotFoundError(f"no pictures in {path} ({_suffixes()})")
            found += inside
        elif path.exists():
            found.append(Picture.from_file(path))
        else:
            raise FileNotFoundError(f"no such file or directory: {path}")
    return _with_unique_names(found)


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))


def _pictures_below(directory: Path) -> list[Picture]:
    files = (path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [
        Picture(path.relative_to(directory).as_posix(), path)
        for path in sorted(files)
        if not path.is_dir()
    ]


def _with_unique_names(pictures: Sequence[Picture]) -> list[Picture]:
    """Names that stay different without their suffix, which a saved file replaces."""
    used: set[str] = set()
    unique = []
    for picture in pictures:
        name = Path(picture.name)
        stem, number = name.with_suffix(""), 1
        while stem.as_posix() in used:
            number += 1
            stem = name.with_name(f"{name.stem}-{number}")
        used.add(stem.as_posix())
        unique.append(Picture(stem.as_posix() + name.suffix, picture.path))
    return unique
