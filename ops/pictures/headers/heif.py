"""The header of HEIC and AVIF (ISO/IEC 23008-12): pictures in HEVC or AV1, whole or in tiles."""

from __future__ import annotations

import math
import struct

from ops.pictures.headers.boxes import Box, Item, boxes, read_items
from ops.pictures.headers.costs import avif_seconds, heic_seconds
from ops.pictures.headers.header import PictureHeader, broken, too_complex, unsupported

_FILE_TYPE = b"ftyp"
_BRANDS = {
    b"mif1", b"mif2", b"msf1", b"miaf", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx",
    b"avif", b"avis",
}  # fmt: skip
_FORMS = {b"hvc1": "HEIC", b"av01": "AVIF"}
_GRID = b"grid"
_NOTES = (b"Exif", b"mime", b"uri ")
_NOTE = b"free"  # what such an item is called where nobody is to read it
_SEQUENCE, _STILL = b"avis", b"avif"
# AVIF: how the picture has to be turned, by quarters to the left and by whether it is then mirrored
# top to bottom (0) or left to right (1).
_ORIENTATIONS = {
    (0, None): 1, (0, 0): 4, (0, 1): 2, (1, None): 8, (1, 0): 5, (1, 1): 7,
    (2, None): 3, (2, 0): 2, (2, 1): 4, (3, None): 6, (3, 0): 7, (3, 1): 5,
}  # fmt: skip
# Tiles reach over the right and lower edges.
_TILE_SLACK = 4
_SMALL_PIXELS = 1 << 20


def is_media(data: bytes) -> bool:
    """Whether a file is of the base media format: pictures, or a film."""
    return data[4:8] == _FILE_TYPE


def read_heif(data: bytes) -> PictureHeader:
    """Look at the items that the first picture is made of, and whether their bytes are all there.

    Raises ServiceError: BROKEN_PICTURE, UNSUPPORTED_FORMAT, PICTURE_TOO_COMPLEX.
    """
    first, items = _items(data)
    item = items.get(first)
    if item is None:
        raise broken("It has no picture where it says that the first one is.")
    width, height = _size_of(data, item)
    tiles = {first: item}
    if item.kind == _GRID:
        tiles = {number: items[number] for number in item.derived_from if number in items}
        if not tiles or len(tiles) != len(set(item.derived_from)):
            raise broken("Some of its tiles are missing.")
        sizes = {number: math.prod(_size_of(data, tile)) for number, tile in tiles.items()}
        pixels = sum(sizes[number] for number in item.derived_from)
        if pixels > _TILE_SLACK * width * height + _SMALL_PIXELS:
            raise broken("Its tiles are larger than it is.")
    kinds = {tile.kind for tile in tiles.values()}
    form = _FORMS.get(kinds.pop()) if len(kinds) == 1 else None
    if form is None:
        raise unsupported("How its pixels are coded is not known.")
    if any(end > len(data) for one in (item, *tiles.values()) for _, end in one.parts):
        raise broken("It ends before its pixels.")
    return _header(data, form, item, width, height)


def essential_heif(data: bytes) -> bytes:
    """The same file with its notes made nobody's, and its first picture first, not its film."""
    changed = bytearray(data)
    _, items = _items(data)
    for item in items.values():
        if item.kind in _NOTES:
            changed[item.place : item.place + 4] = _NOTE
    if data[8:12] == _SEQUENCE:
        changed[8:12] = _STILL
    return bytes(changed)


def _items(data: bytes) -> tuple[int, dict[int, Item]]:
    top: dict[bytes, Box] = {}
    for box in boxes(data, 0, len(data)):
        top.setdefault(box.name, box)
        if box.name == b"meta":
            break
    kind = top[_FILE_TYPE]
    brands = {data[place : place + 4] for place in range(kind.start, min(kind.end, 256), 4)}
    if not brands & _BRANDS:
        raise unsupported("It is a film or sound.")
    if b"meta" not in top:
        raise unsupported("It has no picture beside its film.")
    return read_items(data, top[b"meta"])


def _size_of(data: bytes, item: Item) -> tuple[int, int]:
    """Width and height in pixels, as coded."""
    for box in item.properties:
        if box.name == b"ispe" and box.end - box.start >= 12:
            width, height = struct.unpack_from(">II", data, box.start + 4)
            if width and height:
                return width, height
    raise broken("It has no size.")


def _header(data: bytes, form: str, item: Item, width: int, height: int) -> PictureHeader:
    if form == "AVIF":
        orientation = _orientation(data, item)
        seconds = avif_seconds(len(data), width * height)
        return PictureHeader(form, width, height, orientation, seconds, False, apart=True)
    # libheif turns, mirrors and crops by itself.
    seconds = heic_seconds(len(data), width * height)
    shown_width, shown_height = _shown(data, item, width, height)
    if width * height > 2 * shown_width * shown_height + _SMALL_PIXELS:
        raise too_complex(2, "times the pixels that it shows")
    return PictureHeader(form, shown_width, shown_height, 1, seconds, False, apart=True)


def _orientation(data: bytes, item: Item) -> int:
    """As Exif has it. What the file's own EXIF block says does not count."""
    turned = {box.name: data[box.start] for box in item.properties if box.end > box.start}
    mirrored = turned[b"imir"] & 1 if b"imir" in turned else None
    return _ORIENTATIONS[turned.get(b"irot", 0) & 3, mirrored]


def _shown(data: bytes, item: Item, width: int, height: int) -> tuple[int, int]:
    """Width and height once the picture is cropped and turned, in the order of its properties."""
    for box in item.properties:
        if box.name == b"irot" and box.end > box.start and data[box.start] & 1:
            width, height = height, width
        elif box.name == b"clap":
            width, height = _cropped(data, box, width, height)
    return width, height


def _cropped(data: bytes, box: Box, width: int, height: int) -> tuple[int, int]:
    if box.end - box.start < 16:
        raise broken("It ends within its header.")
    across, by, down, by_2 = struct.unpack_from(">IIII", data, box.start)
    if not by or not by_2:
        raise broken("It shows a part of no size.")
    width, height = min((across + by // 2) // by, width), min((down + by_2 // 2) // by_2, height)
    if not width or not height:
        raise broken("It shows a part of no size.")
    return width, height
