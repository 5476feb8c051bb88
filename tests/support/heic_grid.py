"""A HEIC as phones write it: a picture cut in tiles, and a property that says how to turn it."""

from __future__ import annotations

import struct

import numpy as np

from bench.attacks.containers import box
from ops.pictures.headers.boxes import Box, boxes, read_items
from tests.support import pictures

_GRID = 1  # the picture's number; those of its tiles follow


def phone_heic(pixels: np.ndarray, side: int, quarters: int = 0) -> bytes:
    """Tiles of `side` pixels, which the last ones reach over the edges with.

    pixels: (H, W, 3) as stored. quarters: to the left, by which the picture is to be turned.
    """
    height, width = pixels.shape[:2]
    rows, columns = -(-height // side), -(-width // side)
    filled = np.zeros((rows * side, columns * side, 3), np.uint8)
    filled[:height, :width] = pixels
    tiles = [
        pictures.heic(filled[top : top + side, left : left + side])
        for top in range(0, rows * side, side)
        for left in range(0, columns * side, side)
    ]
    coded = [_coded(tile) for tile in tiles]
    codec = _properties(tiles[0])[b"hvcC"]
    return _assembled(codec, coded, side, (rows, columns), (width, height), quarters)


def _assembled(
    codec: bytes,
    coded: list[bytes],
    side: int,
    grid: tuple[int, int],
    size: tuple[int, int],
    quarters: int,
) -> bytes:
    numbers = range(_GRID + 1, _GRID + 1 + len(coded))
    kinds = [(_GRID, b"grid"), *((number, b"hvc1") for number in numbers)]
    entries = b"".join(
        box(b"infe", struct.pack(">HH4s", number, 0, kind) + b"\0", 2) for number, kind in kinds
    )
    properties = (
        box(b"hvcC", codec)
        + box(b"ispe", struct.pack(">II", side, side), 0)
        + box(b"ispe", struct.pack(">II", *size), 0)
        + box(b"irot", bytes([quarters]))
    )
    owners = struct.pack(">HBBB", _GRID, 2, 3, 0x84)
    owners += b"".join(struct.pack(">HBBB", number, 2, 0x81, 2) for number in numbers)
    made_of = struct.pack(f">HH{len(coded)}H", _GRID, len(coded), *numbers)
    plan = struct.pack(">BBBBHH", 0, 0, grid[0] - 1, grid[1] - 1, *size)

    def head(first: int) -> bytes:
        """All but the pixels. first: where those start in the file."""
        places = struct.pack(">HHHHII", _GRID, 1, 0, 1, 0, len(plan))
        for number, data in zip(numbers, coded):
            places += struct.pack(">HHHHII", number, 0, 0, 1, first, len(data))
            first += len(data)
        content = (
            box(b"hdlr", bytes(4) + b"pict" + bytes(13), 0)
            + box(b"pitm", struct.pack(">H", _GRID), 0)
            + box(b"iloc", struct.pack(">BBH", 0x44, 0, len(kinds)) + places, 1)
            + box(b"iinf", struct.pack(">H", len(kinds)) + entries, 0)
            + box(b"iref", box(b"dimg", made_of), 0)
            + box(
                b"iprp",
                box(b"ipco", properties) + box(b"ipma", struct.pack(">I", len(kinds)) + owners, 0),
            )
            + box(b"idat", plan)
        )
        return box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", content, 0)

    return head(len(head(0)) + 8) + box(b"mdat", b"".join(coded))


def _meta(data: bytes) -> Box:
    return next(one for one in boxes(data, 0, len(data)) if one.name == b"meta")


def _coded(data: bytes) -> bytes:
    """What the first picture's pixels are coded as."""
    first, items = read_items(data, _meta(data))
    ((start, end),) = items[first].parts
    return data[start:end]


def _properties(data: bytes) -> dict[bytes, bytes]:
    first, items = read_items(data, _meta(data))
    return {one.name: data[one.start : one.end] for one in items[first].properties}
