"""From a file to pixels: limits before decoding, one upright RGB array after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ops.errors import ErrorKind, ServiceError
from ops.pictures.headers.header import PictureHeader
from ops.pictures.headers.read import read_header
from ops.pictures.pixels import decoded

REDUCTIONS = (8, 4, 2)  # what libjpeg does besides full size
_OPENCV_NO_MEMORY = -4  # its number of the error
_DECODER_BYTES = 8  # a pixel, beside the pixels
NO_MEMORY = "There is no memory for the picture now."


@dataclass(frozen=True)
class PictureLimits:
    """max_bytes: of the encoded file; max_pixels: width times height."""

    max_bytes: int
    max_pixels: int


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
    try:
        pixels = decoded(data[header.start :], header, reduction)
    except MemoryError:
        raise ServiceError(ErrorKind.BUSY, NO_MEMORY) from None
    except Exception as error:  # decoders raise many types on hostile bytes
        if getattr(error, "code", None) == _OPENCV_NO_MEMORY or not _has_memory(header):
            raise ServiceError(ErrorKind.BUSY, NO_MEMORY) from None
        if isinstance(error, ServiceError):
            raise
        raise ServiceError(ErrorKind.BROKEN_PICTURE) from None
    if pixels.shape[1::-1] != reduced_size(header, reduction):
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    return _upright(pixels, header.orientation)


def decode_picture(data: bytes, limits: PictureLimits) -> np.ndarray:
    """Header check and decoding in one, see `open_picture` and `pixels_of`."""
    if len(data) > limits.max_bytes:
        raise ServiceError(ErrorKind.PICTURE_TOO_MANY_BYTES, f"More than {limits.max_bytes} bytes.")
    return pixels_of(data, open_picture(data, limits.max_pixels))


def _has_memory(header: PictureHeader) -> bool:
    """Whether a decoder that failed would get what it may have asked for.

    libjpeg and libwebp fail alike on damage and without memory.
    """
    try:
        np.empty(_DECODER_BYTES * header.width * header.height, np.uint8)
    except MemoryError:
        return False
    return True


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the EXIF orientation (1 to 8, see Exif 2.32, tag 274)."""
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, turns))
