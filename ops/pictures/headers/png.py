"""The header of a PNG (ISO/IEC 15948)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ops.pictures.headers.costs import png_seconds
from ops.pictures.headers.exif import orientation_of, raw_profile, unpacked
from ops.pictures.headers.header import MAX_CHUNKS, PictureHeader, broken, too_complex

START = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type
_DEPTHS = (1, 2, 4, 8, 16)
_HEADER_BYTES = 13
_FRAME = 12  # length, name and checksum of a chunk
_RAW_PROFILES = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_XMP = b"XML:com.adobe.xmp\0"


def read_png(data: bytes) -> PictureHeader:
    """Look at all chunks.

    Raises ServiceError: BROKEN_PICTURE, PICTURE_TOO_COMPLEX.
    """
    header, exif, xmp, pixels_follow = b"", b"", b"", False
    for name, start, end in _chunks(data):
        if not header and name != b"IHDR":
            raise broken("Its header does not come first.")
        if name == b"IHDR":
            header = header or data[start:end]
        elif name == b"IDAT":
            pixels_follow = True
        elif name == b"eXIf":
            exif = exif or data[start:end]
        elif name in (b"tEXt", b"zTXt") and not exif and data.startswith(_RAW_PROFILES, start):
            text = data[data.index(b"\0", start) + 1 : end]
            exif = raw_profile(unpacked(text[1:]) if name == b"zTXt" else text)
        elif name == b"iTXt" and not xmp and data.startswith(_XMP, start):
            xmp = _text(data[start + len(_XMP) : end])
    if not pixels_follow:
        raise broken("It ends before its pixels.")
    return _header(len(data), header, orientation_of(exif, xmp))


def essential_png(data: bytes) -> bytes:
    """The same pixels in four chunks at most, without texts, profiles and animation.

    Those are unpacked and checked by whoever reads the file, though nobody looks at them.
    """
    kept: dict[bytes, bytes] = {}
    pixels: list[memoryview] = []
    view = memoryview(data)
    for name, start, end in _chunks(data):
        if name in (b"IHDR", b"PLTE") and name not in kept:
            kept[name] = data[start - 8 : end + 4]
        elif name == b"IDAT":
            pixels.append(view[start:end])
    size = sum(map(len, pixels))
    # Pillow does not look at the checksum of pixels; those have one of their own.
    return b"".join(
        [
            START,
            kept.get(b"IHDR", b""),
            kept.get(b"PLTE", b""),
            struct.pack(">I4s", size, b"IDAT"),
            *pixels,
            bytes(4),
            b"\0\0\0\0IEND\xaeB`\x82",
        ]
    )


def _header(size: int, header: bytes, orientation: int) -> PictureHeader:
    if len(header) != _HEADER_BYTES:
        raise broken("Its header is cut off.")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if colour not in _CHANNELS or depth not in _DEPTHS:
        raise broken("Its header holds no kind of pixels.")
    if not width or not height:
        raise broken("It has no size.")
    rows = height * (2 if interlaced else 1)
    unpacked_size = rows + height * (width * depth * _CHANNELS[colour] // 8 + 1)
    seconds = png_seconds(size, width * height, unpacked_size)
    return PictureHeader("PNG", width, height, orientation, seconds, False)


def _text(rest: bytes) -> bytes:
    """The text of an international text chunk, after its keyword."""
    packed = rest[:1] == b"\1"
    # Flag, method, language and translated keyword.
    parts = rest[2:].split(b"\0", 2)
    text = parts[2] if len(parts) == 3 else b""
    return unpacked(text) if packed else text


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start and end of its content) of each chunk, to the end chunk."""
    place = len(START)
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, place + 8, min(place + 8 + length, len(data))
        if name == b"IEND":
            return
        place += _FRAME + length
    raise too_complex(MAX_CHUNKS, "chunks")
