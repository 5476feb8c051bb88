"""The header of a GIF (GIF89a), and its first frame."""

from __future__ import annotations

import struct

from ops.pictures.headers.costs import gif_seconds
from ops.pictures.headers.header import MAX_CHUNKS, PictureHeader, broken, too_complex

STARTS = (b"GIF87a", b"GIF89a")
_SCREEN = 13  # bytes of the signature and the screen's descriptor
_FRAME = 10  # of a frame's descriptor, with the byte that introduces it
_EXTENSION, _IMAGE, _END = 0x21, 0x2C, b";"
_BLOCK = 64  # bytes; encoders put up to 255 into a block of pixels


def read_gif(data: bytes) -> PictureHeader:
    """Read the size of the screen and of the first frame, which may reach beyond it.

    Raises ServiceError: BROKEN_PICTURE, PICTURE_TOO_COMPLEX.
    """
    frame = _first_frame(data)
    screen_width, screen_height = struct.unpack_from("<HH", data, 6)
    left, top, width, height = struct.unpack_from("<HHHH", data, frame + 1)
    if not width or not height:
        raise broken("It has no size.")
    width, height = max(screen_width, left + width), max(screen_height, top + height)
    seconds = gif_seconds(len(data), width * height)
    return PictureHeader("GIF", width, height, 1, seconds, False)


def essential_gif(data: bytes) -> bytes:
    """The first frame alone, without comments and what programs have noted."""
    frame = _first_frame(data)
    pixels = frame + _FRAME + _table_bytes(data[frame + _FRAME - 1]) + 1
    end = _after_blocks(data, pixels)
    return b"".join([data[: _after_table(data)], data[frame:end], _END])


def _first_frame(data: bytes) -> int:
    """Where the first frame's descriptor starts."""
    place = _after_table(data)
    blocks = 0
    while place + _FRAME < len(data):
        if data[place] == _IMAGE:
            return place
        if data[place] != _EXTENSION:
            raise broken("Something else stands where its first frame should.")
        blocks += 1
        if blocks > MAX_CHUNKS:
            raise too_complex(MAX_CHUNKS, "extensions")
        place = _after_blocks(data, place + 2)
    raise broken("It ends before its pixels.")


def _after_table(data: bytes) -> int:
    """Where the global table of colours ends."""
    if len(data) < _SCREEN:
        raise broken("Its header is cut off.")
    return _SCREEN + _table_bytes(data[_SCREEN - 3])


def _table_bytes(flags: int) -> int:
    """Bytes of a table of colours, by the flags of the screen's or a frame's descriptor."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    """Where a run of blocks, each with its length before it, ends: after one of no bytes.

    Not any number: of one byte each a file of 16 MB has eight million.
    """
    for _ in range(len(data) // _BLOCK + MAX_CHUNKS):
        if place >= len(data):
            return len(data)
        if not data[place]:
            return place + 1
        place += 1 + data[place]
    raise too_complex(MAX_CHUNKS, "short blocks")
