"""From base64 to pixels: limits before decoding, one upright RGB array after it."""

from __future__ import annotations

import io
import re
import warnings
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import pybase64
from PIL import Image

from ops.errors import ErrorKind, ServiceError
from ops.headers.header import PictureHeader
from ops.headers.jpeg import essential_jpeg
from ops.headers.png import essential_png
from ops.headers.read import read_header

REDUCTIONS = (8, 4, 2)  # what libjpeg does besides full size
# OpenCV's names for a reduction say a colour as well. Those for grey are the reduction alone: the
# ones for colour mean BGR, which goes with RGB no more.
_REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_COLOR_RGB,
}
# Where a PNG says how many bits a channel has, and the bytes of its last chunk.
_PNG_DEPTH = 24
_PNG_END = 12
# Bits that are used of 16.
_DEPTHS = (8, 10, 12, 14, 16)
_JPEG_END = b"\xff\xd9"
_TAIL = 64  # bytes in which the end is looked for: some cameras fill up with zeros
_DATA_URL = re.compile(r"data:[\w.+/-]{0,64};base64,")
_OPENCV_NO_MEMORY = -4  # its number of the error
_DECODER_BYTES = 8  # a pixel, beside the pixels
NO_MEMORY = "There is no memory for the picture now."

# The limit on pixels is ours and checked from the header; Pillow's own would only warn.
Image.MAX_IMAGE_PIXELS = None
# OpenCV writes lines to the standard error for every damaged picture.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
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


def open_picture(data: bytes, max_pixels: int) -> PictureHeader:
    """Read the header only; nothing is decoded and no memory taken for pixels.

    Raises ServiceError: UNSUPPORTED_FORMAT, BROKEN_PICTURE, PICTURE_TOO_MANY_PIXELS,
    PICTURE_TOO_COMPLEX.
    """
    header = read_header(data)
    if header.width * header.height > max_pixels:
        raise ServiceError(
            ErrorKind.PICTURE_TOO_MANY_PIXELS,
            f"{header.width} x {header.height} is more than {max_pixels} pixels.",
        )
    return header


def reduction_of(header: PictureHeader, keep: int) -> int:
    """By what a JPEG is divided when it is decoded: 8, 4 or 2, its longer side keeps `keep` pixels.

    libjpeg leaves out the high frequencies of each block instead of computing pixels that
    nobody looks at: a photo of 12 megapixels takes 40 ms instead of 100. 0 keeps all pixels.
    Returns 1 for a picture that is decoded as it is.
    """
    if header.form != "JPEG" or not keep:
        return 1
    longer, shorter = max(header.width, header.height), min(header.width, header.height)
    return next((r for r in REDUCTIONS if longer >= keep * r and shorter >= r), 1)


def reduced_size(header: PictureHeader, reduction: int) -> tuple[int, int]:
    """Width and height in pixels that are decoded, as stored."""
    return -(-header.width // reduction), -(-header.height // reduction)


def upright_size(header: PictureHeader) -> tuple[int, int]:
    """Width and height that the picture has once it is turned by its orientation."""
    size = (header.width, header.height)
    return size[::-1] if header.orientation >= 5 else size


def pixels_of(data: bytes, header: PictureHeader, reduction: int = 1) -> np.ndarray:
    """Decode to (H, W, 3) uint8, RGB, turned upright by the orientation.

    Grey, palette and CMYK pictures are converted, those of 16 bits by what they use of them (see
    `narrowed`), alpha is dropped; of an animation the first frame is taken.
    header: what `open_picture` said. reduction: see `reduction_of`.
    Raises ServiceError: BROKEN_PICTURE; BUSY where there is no memory for it.
    """
    size = reduced_size(header, reduction)
    try:
        pixels = _by_opencv(data, header, reduction)
        if pixels is None or pixels.shape[1::-1] != size:
            pixels = _by_pillow(data, header, reduction)
    except MemoryError:
        raise ServiceError(ErrorKind.BUSY, NO_MEMORY) from None
    except Exception as error:  # noqa: BLE001 - decoders raise many types on hostile bytes
        if getattr(error, "code", None) == _OPENCV_NO_MEMORY or not _has_memory(header):
            raise ServiceError(ErrorKind.BUSY, NO_MEMORY) from None
        raise ServiceError(ErrorKind.BROKEN_PICTURE) from None
    if pixels.shape[1::-1] != size:
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    return _upright(pixels, header.orientation)


def decode_picture(data: bytes, limits: PictureLimits) -> np.ndarray:
    """Header check and decoding in one, see `open_picture` and `pixels_of`."""
    if len(data) > limits.max_bytes:
        raise ServiceError(ErrorKind.PICTURE_TOO_MANY_BYTES, f"More than {limits.max_bytes} bytes.")
    return pixels_of(data, open_picture(data, limits.max_pixels))


def _by_opencv(data: bytes, header: PictureHeader, reduction: int) -> np.ndarray | None:
    """What OpenCV takes; None for what is left to Pillow, and for what is broken.

    The same libraries and the same pixels, but without Python's lock and without two copies;
    of a WebP Pillow keeps four. OpenCV takes a JPEG that was cut off for a grey area, so one
    without its end is not given to it.
    """
    if not header.by_opencv:
        return None
    if header.form == "JPEG" and not data[-_TAIL:].rstrip(b"\0\r\n").endswith(_JPEG_END):
        return None
    flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    # Without a picture OpenCV returns None, whatever its stubs say.
    pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None and header.form != "JPEG":
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    return pixels


def _by_pillow(data: bytes, header: PictureHeader, reduction: int) -> np.ndarray:
    if header.form == "PNG":
        data = essential_png(data)
        if data[_PNG_DEPTH] == 16:
            return _of_sixteen_bits(data)
    elif header.form == "JPEG":
        data = essential_jpeg(data)
    image = Image.open(io.BytesIO(data), formats=(header.form,))
    if image.size != (header.width, header.height):
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    if reduction > 1:
        # draft() takes the scale that leaves at least this size in both directions.
        image.draft(image.mode, (header.width // reduction, header.height // reduction))
    image.load()
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _has_memory(header: PictureHeader) -> bool:
    """Whether a decoder that failed would get what it may have asked for.

    libjpeg and libwebp fail alike on damage and without memory.
    """
    try:
        np.empty(_DECODER_BYTES * header.width * header.height, np.uint8)
    except MemoryError:
        return False
    return True


def _of_sixteen_bits(data: bytes) -> np.ndarray:
    """RGB of a PNG with 16 bits a channel; Pillow keeps the high byte of colours only.

    data: as of `essential_png`, whose pixels have no checksum; libpng wants one.
    """
    chunk, end = data.index(b"IDAT", _PNG_DEPTH), len(data) - _PNG_END
    checksum = zlib.crc32(memoryview(data)[chunk : end - 4])
    whole = b"".join([data[: end - 4], checksum.to_bytes(4, "big"), data[end:]])
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR_RGB
    pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(whole, np.uint8), flags)
    if pixels is None:
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    return narrowed(pixels)


def narrowed(pixels: np.ndarray) -> np.ndarray:
    """8 bits of values of up to 16, (...) unsigned integers, by as many bits as they use.

    Cameras and scanners put 10, 12 or 14 bits into 16 as they are, of which the high byte is black.
    """
    highest = int(pixels.max(initial=0))
    used = next(bits for bits in _DEPTHS if highest < 1 << bits)
    shifted: np.ndarray = (pixels >> (used - 8)).astype(np.uint8)
    return shifted


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the EXIF orientation (1 to 8, see Exif 2.32, tag 274)."""
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, turns))
