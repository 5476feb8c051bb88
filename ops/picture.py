"""From base64 to pixels: limits before decoding, one upright RGB array after it."""

from __future__ import annotations

import io
import re
import threading
import warnings
from dataclasses import dataclass
from typing import Optional

import cv2
import numpy as np
import pybase64
from PIL import Image

from ops.errors import ErrorKind, ServiceError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
REDUCTIONS = (8, 4, 2)  # what libjpeg does besides full size
_REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_COLOR_RGB,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_COLOR_RGB,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_COLOR_RGB,
}
_JPEG_END = b"\xff\xd9"
_TAIL = 64  # bytes in which the end is looked for: some cameras fill up with zeros
_DATA_URL = re.compile(r"data:[\w.+/-]{0,64};base64,")
_ORIENTATION_TAG = 0x0112

# The limit on pixels is ours and checked from the header; Pillow's own would only warn.
Image.MAX_IMAGE_PIXELS = None
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True)
class PictureLimits:
    """max_bytes: of the encoded file; max_pixels: width times height."""

    max_bytes: int
    max_pixels: int


def from_base64(text: str, max_bytes: int) -> bytes:
    """The bytes behind standard base64; line breaks and a ``data:`` prefix are accepted.

    Raises ServiceError: EMPTY_PICTURE, NOT_BASE64, PICTURE_TOO_MANY_BYTES.
    """
    prefix = _DATA_URL.match(text)
    if prefix:
        text = text[prefix.end() :]
    if len(text) > max_bytes * 3 // 2 + 4:
        raise ServiceError(ErrorKind.PICTURE_TOO_MANY_BYTES, f"More than {max_bytes} bytes.")
    try:
        raw = text.encode("ascii").translate(None, b" \t\r\n")
        data = pybase64.b64decode(raw, validate=True)
    except ValueError:
        raise ServiceError(ErrorKind.NOT_BASE64) from None
    if not data:
        raise ServiceError(ErrorKind.EMPTY_PICTURE)
    if len(data) > max_bytes:
        raise ServiceError(ErrorKind.PICTURE_TOO_MANY_BYTES, f"More than {max_bytes} bytes.")
    return bytes(data)


def open_picture(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header only.

    Raises ServiceError: UNSUPPORTED_FORMAT, PICTURE_TOO_MANY_PIXELS.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # noqa: BLE001 - decoders raise many types on hostile bytes
        raise ServiceError(ErrorKind.UNSUPPORTED_FORMAT) from None
    width, height = image.size
    if width * height > max_pixels:
        raise ServiceError(
            ErrorKind.PICTURE_TOO_MANY_PIXELS,
            f"{width} x {height} is more than {max_pixels} pixels.",
        )
    if width == 0 or height == 0:
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    return image


def reduce_jpeg(image: Image.Image, keep: int) -> int:
    """Have a JPEG decoded at 1/2, 1/4 or 1/8 where its longer side keeps `keep` pixels.

    libjpeg leaves out the high frequencies of each block instead of computing pixels that
    nobody looks at: a photo of 12 megapixels takes 40 ms instead of 100. 0 keeps all pixels.
    Returns by what the size is divided, rounded up: 1, 2, 4 or 8.
    """
    if image.format != "JPEG" or not keep:
        return 1
    longer = max(image.size)
    for reduction in REDUCTIONS:
        if longer >= keep * reduction:
            # draft() takes the scale that leaves at least this size in both directions.
            width, height = (max(side // reduction, 1) for side in image.size)
            image.draft(image.mode, (width, height))
            return round(longer / max(image.size))
    return 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height that the picture has once it is turned by its EXIF orientation."""
    width, height = image.size
    return (height, width) if _orientation(image) >= 5 else (width, height)


def pixels_of(image: Image.Image, reduction: int = 1) -> np.ndarray:
    """Decode to (H, W, 3) uint8, RGB, turned upright by the EXIF orientation.

    Grey, palette, CMYK and 16-bit pictures are converted, alpha is dropped; of an animation
    the first frame is taken. reduction: what `reduce_jpeg` returned for the image.
    Raises ServiceError(BROKEN_PICTURE).
    """
    try:
        pixels = _jpeg(image, reduction)
        if pixels is None:
            image.load()
            pixels = _rgb(image)
    except Exception:  # noqa: BLE001 - decoders raise many types on hostile bytes
        raise ServiceError(ErrorKind.BROKEN_PICTURE) from None
    return _upright(pixels, _orientation(image))


def decode_picture(data: bytes, limits: PictureLimits) -> np.ndarray:
    """Header check and decoding in one, see `open_picture` and `pixels_of`."""
    if len(data) > limits.max_bytes:
        raise ServiceError(ErrorKind.PICTURE_TOO_MANY_BYTES, f"More than {limits.max_bytes} bytes.")
    return pixels_of(open_picture(data, limits.max_pixels))


def _jpeg(image: Image.Image, reduction: int) -> Optional[np.ndarray]:
    """An ordinary JPEG through OpenCV; None for what is left to Pillow.

    The same libjpeg and the same pixels, but without Python's lock and without two copies. It
    takes a file that was cut off for a grey area, so one without its end is not given to it.
    """
    file = image.fp
    if file is None or image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    if not data[-_TAIL:].rstrip(b"\0\r\n").endswith(_JPEG_END):
        return None
    flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    # Without a picture OpenCV returns None, whatever its stubs say.
    found: Optional[np.ndarray] = pixels
    return found if found is not None and found.shape[1::-1] == image.size else None


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        # 16-bit grey: the high byte; Pillow's own conversion would clip at 255.
        grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - a damaged EXIF block does not make the picture unusable
        return 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the EXIF orientation (1 to 8, see Exif 2.32, tag 274)."""
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, turns))


class PixelBudget:
    """Bounds the decoded pixels held in memory by all requests together.

    A request reserves what all its pictures need before the first is decoded, so that two
    half-decoded requests cannot wait for each other.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._lock = threading.Lock()

    def fits(self, pixels: int) -> bool:
        """Whether `reserve` would succeed now."""
        return min(pixels, self.total) <= self._free

    def reserve(self, pixels: int) -> bool:
        """Take `pixels` where they are free; False when they are not."""
        with self._lock:
            if not self.fits(pixels):
                return False
            self._free -= min(pixels, self.total)
            return True

    def release(self, pixels: int) -> None:
        with self._lock:
            self._free += min(pixels, self.total)
