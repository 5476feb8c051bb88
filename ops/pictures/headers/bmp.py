"""The header of a BMP."""

from __future__ import annotations

import struct

from ops.pictures.headers.costs import bmp_seconds
from ops.pictures.headers.header import PictureHeader, broken, unsupported

START = b"BM"
_FIRST = 14  # bytes before the header with the size
_OLD = 12  # bytes of the header that OS/2 1.x wrote
_SIZES = (_OLD, 40, 52, 56, 64, 108, 124)
_PLAIN, _RUNS = (0, 3, 6), (1, 2)  # by the kind of compression; the others hold JPEG or PNG


def read_bmp(data: bytes) -> PictureHeader:
    """Raises ServiceError: BROKEN_PICTURE, UNSUPPORTED_FORMAT."""
    if len(data) < _FIRST + _OLD:
        raise broken("It ends before its pixels.")
    (size,) = struct.unpack_from("<I", data, _FIRST)
    compression = 0
    if size == _OLD:
        width, height = struct.unpack_from("<HH", data, 18)
    elif size in _SIZES and len(data) >= _FIRST + size:
        width, height = struct.unpack_from("<Ii", data, 18)
        (compression,) = struct.unpack_from("<I", data, 30)
    else:
        raise unsupported("Its header is of no known kind.")
    if compression not in _PLAIN and compression not in _RUNS:
        raise unsupported("Its compression is of no known kind.")
    height = abs(height)  # negative: the upper row comes first
    if width <= 0 or not height:
        raise broken("It has no size.")
    seconds = bmp_seconds(len(data), width * height)
    # Pillow unpacks run lengths in Python, a microsecond for each.
    return PictureHeader("BMP", width, height, 1, seconds, compression in _RUNS)
