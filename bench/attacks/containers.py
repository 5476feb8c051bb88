"""Expensive pictures in formats of parts: GIF, TIFF, HEIC and AVIF, written by hand.

Each function returns the bytes of one file and says what is expensive about it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

_LONG = 4
# Of a TIFF: tags and values that make a grey picture of 8 bits.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _KIND, _STRIPS, _ROWS, _STRIP_BYTES = (
    256, 257, 258, 259, 262, 273, 278, 279,
)  # fmt: skip
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_DEFLATE = 8


def gif_of_size(width: int, height: int) -> bytes:
    """A GIF whose header says so, with a frame of one pixel."""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return b"GIF89a" + screen + frame + b";"


def gif_of_many_extensions(extensions: int) -> bytes:
    """A GIF with empty comments before its frame: three bytes each."""
    whole = gif_of_size(1, 1)
    place = whole.index(b"\x2c\0\0\0\0")
    return whole[:place] + b"\x21\xfe\0" * extensions + whole[place:]


def gif_of_short_blocks(blocks: int) -> bytes:
    """A GIF whose pixels come in blocks of one byte."""
    whole = gif_of_size(1, 1)
    return whole[:-5] + b"\x01\x00" * blocks + b"\0;"


def tiff(entries: dict[int, int | Sequence[int]], body: bytes = b"") -> bytes:
    """A TIFF of one directory; its numbers are of 32 bits. body: stands at 8, before it."""
    body += bytes(len(body) % 2)
    after = 8 + len(body) + 2 + 12 * len(entries) + 4
    directory, arrays = struct.pack("<H", len(entries)), b""
    for tag in sorted(entries):
        value = entries[tag]
        numbers = [value] if isinstance(value, int) else list(value)
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            packed, arrays = struct.pack("<I", after + len(arrays)), arrays + packed
        directory += struct.pack("<HHI", tag, _LONG, len(numbers)) + packed
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + bytes(4) + arrays


def grey_tiff(width: int, height: int, **changed: int | Sequence[int]) -> bytes:
    """A black one in a strip of Deflate: a thousandth of its pixels in bytes.

    changed: other values, by "tag" and the tag's number.
    """
    body = zlib.compress(bytes(width * height), 9)
    entries: dict[int, int | Sequence[int]] = {
        _WIDTH: width, _HEIGHT: height, _BITS: 8, _COMPRESSION: _DEFLATE, _KIND: 1, _STRIPS: 8,
        _ROWS: height, _STRIP_BYTES: len(body),
    }  # fmt: skip
    entries.update({int(name[3:]): value for name, value in changed.items()})
    return tiff(entries, body)


def tiff_of_size(width: int, height: int) -> bytes:
    """A TIFF whose directory says so, with pixels for a hundredth of it."""
    return grey_tiff(10, 10, tag256=width, tag257=height, tag278=height)


def tiff_of_many_strips(strips: int) -> bytes:
    """A TIFF of one row a strip, all of which are the same bytes of the file."""
    row = bytes(16)
    entries: dict[int, int | Sequence[int]] = {
        _WIDTH: 16, _HEIGHT: strips, _BITS: 8, _COMPRESSION: 1, _KIND: 1, _STRIPS: [8] * strips,
        _ROWS: 1, _STRIP_BYTES: [16] * strips,
    }  # fmt: skip
    return tiff(entries, row)


def tiff_of_one_strip_for_all(strips: int, size: int) -> bytes:
    """A TIFF each of whose strips is all of the file's `size` bytes, to be read again and again."""
    entries: dict[int, int | Sequence[int]] = {
        _WIDTH: 16, _HEIGHT: strips, _BITS: 8, _COMPRESSION: _DEFLATE, _KIND: 1,
        _STRIPS: [8] * strips, _ROWS: 1, _STRIP_BYTES: [size] * strips,
    }  # fmt: skip
    return tiff(entries, bytes(size))


def tiff_of_large_tiles(width: int, height: int, side: int) -> bytes:
    """A TIFF whose tiles are far larger than it is."""
    entries: dict[int, int | Sequence[int]] = {
        _WIDTH: width, _HEIGHT: height, _BITS: 8, _COMPRESSION: _DEFLATE, _KIND: 1,
        _TILE_WIDTH: side, _TILE_HEIGHT: side, _TILES: 8, _TILE_BYTES: 100,
    }  # fmt: skip
    return tiff(entries, bytes(100))


def box(name: bytes, body: bytes, version: int | None = None) -> bytes:
    """A box of ISO's base media format; with a version it is a full one."""
    if version is not None:
        body = struct.pack(">I", version << 24) + body
    return struct.pack(">I", len(body) + 8) + name + body


def heif_grid(
    kind: bytes, size: tuple[int, int], tile: tuple[int, int], tiles: int, items: int = 0
) -> bytes:
    """A picture of `size` that is made of `tiles` tiles, all of which are the same item.

    kind: how the tile is coded, "hvc1" or "av01"; it holds nothing that can be decoded. items: so
    many more that nobody needs.
    """
    brand = b"heic" if kind == b"hvc1" else b"avif"
    kinds = [b"grid", kind] + [b"Exif"] * items
    entries = b"".join(
        box(b"infe", struct.pack(">HH4s", number, 0, one) + b"\0", 2)
        for number, one in enumerate(kinds, 1)
    )
    names = box(b"iinf", struct.pack(">H", len(kinds)) + entries, 0)
    sizes = b"".join(box(b"ispe", struct.pack(">II", *pair), 0) for pair in (size, tile))
    owners = b"".join(struct.pack(">HBB", number, 1, number) for number in (1, 2))
    properties = box(b"iprp", box(b"ipco", sizes) + box(b"ipma", struct.pack(">I", 2) + owners, 0))
    made_of = struct.pack(">HH", 1, tiles) + struct.pack(">H", 2) * tiles
    references = box(b"iref", box(b"dimg", made_of), 0)
    # The grid's own bytes and the tile's are the first of the file: there they are not looked at.
    places = b"".join(struct.pack(">HHHII", number, 0, 1, 0, 16) for number in (1, 2))
    where = box(b"iloc", struct.pack(">BBH", 0x44, 0, 2) + places, 0)
    first = box(b"pitm", struct.pack(">H", 1), 0)
    meta = box(b"meta", first + where + names + references + properties, 0)
    return box(b"ftyp", brand + bytes(4) + b"mif1" + brand) + meta


def heif_of_many_properties(items: int) -> bytes:
    """A HEIC that gives each of its items 255 properties."""
    whole = heif_grid(b"hvc1", (64, 64), (64, 64), 1)
    place = whole.index(b"ipma") - 4
    owners = b"".join(struct.pack(">HB", number, 255) + b"\1" * 255 for number in range(items))
    more = box(b"ipma", struct.pack(">I", items) + owners, 0)
    changed = bytearray(whole[:place] + more + whole[place:])
    for name in (b"iprp", b"meta"):
        start = whole.index(name) - 4
        (size,) = struct.unpack_from(">I", changed, start)
        struct.pack_into(">I", changed, start, size + len(more))
    return bytes(changed)


def heif_of_many_boxes(boxes: int) -> bytes:
    """A HEIC with empty boxes before what matters: eight bytes each."""
    whole = heif_grid(b"hvc1", (64, 64), (64, 64), 1)
    place = whole.index(b"meta") - 4
    return whole[:place] + box(b"free", b"") * boxes + whole[place:]


def with_other_size(file: bytes, width: int, height: int) -> bytes:
    """A HEIC or AVIF whose header says another size than its pixels have."""
    place = file.index(b"ispe") + 8
    return file[:place] + struct.pack(">II", width, height) + file[place + 8 :]
