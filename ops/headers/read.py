"""From a file's first bytes to the reader of its format."""

from __future__ import annotations

from ops.errors import ErrorKind, ServiceError
from ops.headers import bmp, jpeg, png, webp
from ops.headers.header import PictureHeader


def read_header(data: bytes) -> PictureHeader:
    """What a file says about itself; decodes nothing and allocates nothing for pixels.

    Raises ServiceError: UNSUPPORTED_FORMAT, BROKEN_PICTURE, PICTURE_TOO_COMPLEX.
    """
    if data.startswith(jpeg.START) and len(data) > len(jpeg.START):
        return jpeg.read_jpeg(data)
    if data.startswith(png.START):
        return png.read_png(data)
    if data.startswith(webp.START) and data[8:12] == webp.FORM:
        return webp.read_webp(data)
    if data.startswith(bmp.START):
        return bmp.read_bmp(data)
    raise ServiceError(ErrorKind.UNSUPPORTED_FORMAT)
