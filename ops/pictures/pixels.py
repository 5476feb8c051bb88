"""From a picture's file to pixels, by the library that is best for its format."""

from __future__ import annotations

import io
import warnings
import zlib

import cv2
import numpy as np
from PIL import Image

from ops.errors import ErrorKind, ServiceError
from ops.pictures.headers.gif import essential_gif
from ops.pictures.headers.header import PictureHeader
from ops.pictures.headers.heif import essential_heif
from ops.pictures.headers.jpeg import END, essential_jpeg, has_all_scans
from ops.pictures.headers.png import essential_png
from ops.pictures.headers.tiff import essential_tiff, has_deep_colours
from ops.pictures.headers.webp import shortened

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
_TAIL = 64  # bytes in which a JPEG's end is looked for: some cameras fill up with zeros
# What may stand where a JPEG was cut off: codes of any kind, none of which is a marker.
_ANY_CODES = bytes(37 * n % 251 for n in range(1, 65))
_BAND = 256  # rows that are taken out of Pillow's memory at a time
# What makes the file without all that its pixels do not need.
ESSENTIAL = {
    "PNG": essential_png,
    "JPEG": essential_jpeg,
    "GIF": essential_gif,
    "TIFF": essential_tiff,
    "HEIC": essential_heif,
    "AVIF": essential_heif,
}

# The limit on pixels is ours and checked from the header; Pillow's own would only warn.
Image.MAX_IMAGE_PIXELS = None
# OpenCV writes lines to the standard error for every damaged picture.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
warnings.filterwarnings("ignore", module="PIL")


def decoded(data: bytes, header: PictureHeader, reduction: int) -> np.ndarray:
    """(H, W, 3) uint8, RGB, as stored: not turned by the orientation, perhaps of another size.

    header: of the data, whose picture starts with them. Raises whatever the libraries raise.
    """
    if not header.has_end:
        return _without_end(data, header, reduction)
    pixels = _by_opencv(data, header, reduction)
    if pixels is None:
        pixels = _by_others(data, header, reduction)
    return pixels


def narrowed(pixels: np.ndarray) -> np.ndarray:
    """8 bits of values of up to 16, (...) unsigned integers, by as many bits as they use.

    Cameras and scanners put 10, 12 or 14 bits into 16 as they are, of which the high byte is black.
    """
    highest = int(pixels.max(initial=0))
    used = next(bits for bits in _DEPTHS if highest < 1 << bits)
    narrow = np.empty(pixels.shape, np.uint8)
    # Band by band: all shifted values together would be another picture of 16 bits.
    for top in range(0, len(pixels), _BAND):
        narrow[top : top + _BAND] = pixels[top : top + _BAND] >> (used - 8)
    return narrow


def _by_opencv(data: bytes, header: PictureHeader, reduction: int) -> np.ndarray | None:
    """What OpenCV takes; None for what is left to others, and for what is broken.

    The same libraries and the same pixels, but without Python's lock and without two copies;
    of a WebP Pillow keeps four. OpenCV takes a JPEG that was cut off for a grey area, so one
    without its end is not given to it.
    """
    if not header.by_opencv:
        return None
    if header.form == "JPEG" and not data[-_TAIL:].rstrip(b"\0\r\n").endswith(END):
        return None
    if header.form == "WEBP":
        data = shortened(data)
    flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    # Without a picture OpenCV returns None, whatever its stubs say.
    pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None and header.form != "JPEG":
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    if pixels is not None and pixels.shape[1::-1] != _size(header, reduction):
        return None
    return pixels


def _by_others(data: bytes, header: PictureHeader, reduction: int) -> np.ndarray:
    if header.form in ESSENTIAL:
        data = ESSENTIAL[header.form](data)
    if header.form == "HEIC":
        return _by_libheif(data, header)
    if header.form == "PNG" and data[_PNG_DEPTH] == 16:
        return _of_sixteen_bits(_with_checksum(data))
    if header.form == "TIFF" and has_deep_colours(data):
        return _of_sixteen_bits(data)
    return _by_pillow(data, header, reduction)


def _by_pillow(data: bytes, header: PictureHeader, reduction: int) -> np.ndarray:
    if header.form == "AVIF":
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    image = Image.open(io.BytesIO(data), formats=(header.form,))
    del data
    if image.size != (header.width, header.height):
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    if reduction > 1:
        # draft() takes the scale that leaves at least this size in both directions.
        image.draft(image.mode, (header.width // reduction, header.height // reduction))
    image.load()
    if image.mode == "I;16":
        return narrowed(np.repeat(np.asarray(image)[:, :, None], 3, 2))
    return _taken(image)


def _taken(image: Image.Image) -> np.ndarray:
    """The pixels of a picture of Pillow, which has four bytes for each."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    # Band by band: Pillow makes copies of what it converts and of what it gives out.
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        band = image.crop((0, top, width, bottom))
        pixels[top:bottom] = band if band.mode == "RGB" else band.convert("RGB")
    return pixels


def _by_libheif(data: bytes, header: PictureHeader) -> np.ndarray:
    """Turned, mirrored and cropped already, as the file says."""
    # Only decoder processes need it.
    import pi_heif

    pi_heif.options.DECODE_THREADS = 1
    pi_heif.options.THUMBNAILS = False
    pi_heif.options.DEPTH_IMAGES = False
    pi_heif.options.AUX_IMAGES = False
    file = pi_heif.open_heif(data)
    del data
    if file.size != (header.width, header.height):
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    # The array does not keep the memory that it shows: it is the file's, and goes with it.
    shown = np.asarray(file)
    if shown.dtype == np.uint16:  # grey of more than 8 bits, scaled to 16
        shown = (shown >> 8).astype(np.uint8)
    if shown.ndim == 2:
        return np.repeat(shown[:, :, None], 3, 2)
    return shown[:, :, :3].copy()


def _of_sixteen_bits(data: bytes) -> np.ndarray:
    """RGB of a PNG or a TIFF with 16 bits a channel; Pillow keeps the high byte of colours only."""
    # Not IMREAD_COLOR_RGB: of a TIFF with 16 bits it gives memory that nobody has written to.
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR
    pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    return narrowed(pixels[:, :, ::-1])


def _with_checksum(data: bytes) -> bytes:
    """data: as of `essential_png`, whose pixels have no checksum; libpng wants one."""
    chunk, end = data.index(b"IDAT", _PNG_DEPTH), len(data) - _PNG_END
    checksum = zlib.crc32(memoryview(data)[chunk : end - 4])
    return b"".join([data[: end - 4], checksum.to_bytes(4, "big"), data[end:]])


def _without_end(data: bytes, header: PictureHeader, reduction: int) -> np.ndarray:
    """The pixels of a JPEG whose end marker is missing, where they are all there.

    libjpeg does not say whether codes were missing. But where none is, it makes no difference to
    the pixels what comes after the last one. Raises ServiceError(BROKEN_PICTURE) where it does.
    """
    if not has_all_scans(data):
        raise ServiceError(ErrorKind.BROKEN_PICTURE, "It ends before its pixels.")
    data = data.rstrip(b"\xff")  # half a marker
    sums = []
    for codes in (b"", _ANY_CODES):
        # OpenCV would write a line to the standard error.
        pixels = _by_others(data + codes + END, header, reduction)
        sums.append(zlib.crc32(pixels.data))
        if sums[0] != sums[-1]:
            raise ServiceError(ErrorKind.BROKEN_PICTURE, "It ends before its pixels.")
    return pixels


def _size(header: PictureHeader, reduction: int) -> tuple[int, int]:
    """Width and height in pixels that are decoded, as stored."""
    return -(-header.width // reduction), -(-header.height // reduction)
