"""The header of a WebP (RFC 9649)."""

from __future__ import annotations

import struct

from ops.pictures.headers.costs import webp_seconds
from ops.pictures.headers.exif import orientation_of
from ops.pictures.headers.header import MAX_CHUNKS, PictureHeader, broken, too_complex

START, FORM = b"RIFF", b"WEBP"
_FIRST = 12  # where the first chunk starts
_ALPHA, _ANIMATION = 0x10, 0x02
_KEY_FRAME = b"\x9d\x01\x2a"
_LOSSLESS = 0x2F


def read_webp(data: bytes) -> PictureHeader:
    """Read the size from the first chunk, and look through an extended file's other chunks.

    Raises ServiceError: BROKEN_PICTURE, PICTURE_TOO_COMPLEX.
    """
    name, body = data[_FIRST : _FIRST + 4], _FIRST + 8
    if len(data) < body + 10:
        raise broken("It ends before its pixels.")
    orientation, lossless = 1, True
    if name == b"VP8 " and data[body + 3 : body + 6] == _KEY_FRAME:
        width, height = (v & 0x3FFF for v in struct.unpack_from("<HH", data, body + 6))
        lossless = False
    elif name == b"VP8L" and data[body] == _LOSSLESS:
        (packed,) = struct.unpack_from("<I", data, body + 1)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif name == b"VP8X":
        width = int.from_bytes(data[body + 4 : body + 7], "little") + 1
        height = int.from_bytes(data[body + 7 : body + 10], "little") + 1
        found = _chunks(data)
        orientation = orientation_of(found.get(b"EXIF", b""), found.get(b"XMP ", b""))
        lossless = bool(data[body] & (_ALPHA | _ANIMATION)) or b"VP8 " not in found
    else:
        raise broken("Its first chunk holds no picture.")
    if not width or not height:
        raise broken("It has no size.")
    seconds = webp_seconds(len(data), width * height, lossless)
    return PictureHeader("WEBP", width, height, orientation, seconds, True)


def shortened(data: bytes) -> bytes:
    """The file with its true length in its head, where it was cut off: perhaps within its notes."""
    (said,) = struct.unpack_from("<I", data, 4)
    true = len(data) - 8
    return data if said <= true else data[:4] + struct.pack("<I", true) + data[8:]


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The first chunk of each name; only that of notes has its content."""
    found: dict[bytes, bytes] = {}
    place = _FIRST
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(data):
            return found
        name, length = struct.unpack_from("<4sI", data, place)
        if name not in found:
            content = name in (b"EXIF", b"XMP ")
            found[name] = data[place + 8 : place + 8 + length] if content else b""
        place += 8 + length + length % 2
    raise too_complex(MAX_CHUNKS, "chunks")
