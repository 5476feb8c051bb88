"""The picture sets of the throughput benchmark, made from scikit-image's sample portrait."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from vision.geometry import align

QUALITY = 90
_NEUTRAL = 128
# Eyes, nose and corners of the mouth of the one face in `skimage.data.astronaut()`, x y.
_POINTS = np.array(
    [[203.4, 101.0], [247.0, 103.0], [223.0, 131.2], [200.7, 138.3], [245.7, 140.9]], np.float32
)


@dataclass(frozen=True)
class PictureSet:
    """What one request of a set carries.

    pictures: base64 of JPEG files. faces: in the whole request. options: JSON, or empty.
    """

    name: str
    title: str
    pictures: tuple[str, ...]
    faces: int
    options: str = ""

    @property
    def aligned(self) -> bool:
        """Whether the pictures are aligned faces, which the published layout takes too."""
        return bool(self._options().get("aligned"))

    @property
    def want(self) -> tuple[str, ...]:
        """Parts of the answer that are asked for; none where the service's default is taken."""
        return tuple(self._options().get("want", ()))

    def wanting(self, want: Sequence[str]) -> PictureSet:
        """The same pictures, with these parts of the answer asked for."""
        return replace(self, options=json.dumps({**self._options(), "want": list(want)}))

    def _options(self) -> dict[str, Any]:
        return dict(json.loads(self.options or "{}"))

    def key_values(self) -> tuple[list[str], list[str]]:
        """The lists `key` and `value` of the request."""
        keys, values = ["image"] * len(self.pictures), list(self.pictures)
        if self.options:
            keys, values = [*keys, "options"], [*values, self.options]
        return keys, values

    def http_body(self) -> bytes:
        """The request as the service takes it over HTTP."""
        keys, values = self.key_values()
        return json.dumps({"key": keys, "value": values}).encode()


def make_sets(names: Sequence[str]) -> list[PictureSet]:
    """The sets of these names, in this order. Raises KeyError for an unknown one."""
    return [_MAKERS[name]() for name in names]


def portrait() -> np.ndarray:
    """(512, 512, 3) uint8, RGB: the sample; its face is 103 pixels wide."""
    from skimage import data

    pixels: np.ndarray = data.astronaut()  # type: ignore[no-untyped-call]
    return pixels


def encoded(pixels: np.ndarray) -> str:
    """Base64 of an RGB picture as JPEG, QUALITY."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    if not done:
        raise RuntimeError("the picture could not be encoded")
    return base64.b64encode(data.tobytes()).decode("ascii")


def one_face(width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: the portrait's upper part, enlarged.

    Noise of a sensor is put on it (sigma 2 of 255, always the same): without, an enlarged
    picture makes a smaller file, and is decoded faster, than a photograph of this size.
    """
    rows = 512 * height // width
    picture = cv2.resize(portrait()[:rows], (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0.0, 2.0, picture.shape)
    return np.rint(picture + noise).clip(0, 255).astype(np.uint8)


def six_faces() -> np.ndarray:
    """(960, 1280, 3) uint8: two rows of three heads on grey, every other one mirrored."""
    head = cv2.resize(portrait()[20:240, 115:335], (340, 340), interpolation=cv2.INTER_CUBIC)
    picture = np.full((960, 1280, 3), _NEUTRAL, np.uint8)
    for number in range(6):
        row, column = divmod(number, 3)
        top, left = 90 + row * 440, 60 + column * 410
        tile = head[:, ::-1] if number % 2 else head
        picture[top : top + 340, left : left + 340] = tile
    return picture


def aligned_face() -> np.ndarray:
    """(112, 112, 3) uint8: the face as recognition takes it."""
    return align(portrait(), _POINTS)


def _single(name: str, title: str, pixels: np.ndarray, faces: int) -> PictureSet:
    return PictureSet(name, title, (encoded(pixels),), faces)


def _aligned(name: str, title: str, count: int) -> PictureSet:
    options = json.dumps({"aligned": True})
    return PictureSet(name, title, (encoded(aligned_face()),) * count, count, options)


_MAKERS: dict[str, Callable[[], PictureSet]] = {
    "vga": lambda: _single("vga", "one face, 640x480", one_face(640, 480), 1),
    "hd": lambda: _single("hd", "one face, 1920x1080", one_face(1920, 1080), 1),
    "six": lambda: _single("six", "six faces, 1280x960", six_faces(), 6),
    "aligned": lambda: _aligned("aligned", "one aligned face", 1),
    "aligned8": lambda: _aligned("aligned8", "eight aligned faces", 8),
}
NAMES = tuple(_MAKERS)
