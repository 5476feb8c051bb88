"""The header of a TIFF (revision 6.0): of its first page, without what is not needed for pixels."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ops.pictures.headers.costs import tiff_seconds
from ops.pictures.headers.header import MAX_STRIPS, PictureHeader, broken, too_complex, unsupported

STARTS = (b"II*\0", b"MM\0*")
BIG_STARTS = (b"II+\0", b"MM\0+")
_CANON = b"CR"  # behind the header of a camera's raw file
_ENTRY = 12
_MOST_ENTRIES = 4096
_FORMS = {1: "B", 3: "H", 4: "I"}  # of numbers, by the kind of an entry
(
    _PREVIEW, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _KIND, _FILL, _STRIPS, _ORIENTATION, _SAMPLES,
    _ROWS, _STRIP_BYTES, _PLANES, _PREDICTOR, _COLOURS, _TILE_WIDTH, _TILE_HEIGHT, _TILES,
    _TILE_BYTES, _SUB_FILES, _INKS, _EXTRA, _FORMAT, _TABLES, _RAW,
) = (
    254, 256, 257, 258, 259, 262, 266, 273, 274, 277,
    278, 279, 284, 317, 320, 322, 323, 324,
    325, 330, 332, 338, 339, 347, 50706,
)  # fmt: skip
_YCBCR = (529, 530, 531, 532)
_NEEDED = {
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _KIND, _FILL, _STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES,
    _PLANES, _PREDICTOR, _COLOURS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _INKS, _EXTRA,
    _FORMAT, _TABLES, *_YCBCR,
}  # fmt: skip
_PLAIN = 1
_COMPRESSIONS = (_PLAIN, 5, 7, 8, 32773, 32946)  # none, LZW, JPEG, Deflate, PackBits, Deflate
# The channels of each kind of colour, and how many bits they may have.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCC = 0, 1, 2, 3, 5, 6
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCC: 3}
_DEPTHS = {
    _WHITE_IS_ZERO: (1, 2, 4, 8),
    _BLACK_IS_ZERO: (1, 2, 4, 8, 16),
    _RGB: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _CMYK: (8, 16),
    _YCC: (8,),
}
_MOST_EXTRA = 2  # channels beside those of colour
_DEEP, _MOST_DEEP = 16, 4  # bits, and how many channels of so many there may be in all
_UNSIGNED = 1
# Tiles reach over the right and lower edges: by half a tile each way in the mean.
_TILE_SLACK = 4
_SMALL_PIXELS = 1 << 20
# Parts may lie one over the other (a blank tile stands for many), but not so often that reading
# them is more work than the file has bytes for.
_OVERLAP = 4


@dataclass(frozen=True)
class _Page:
    """A directory: the entries (kind, count, four bytes of value or place) by their tags."""

    data: bytes
    order: str
    entries: dict[int, tuple[int, int, bytes]]

    def numbers(self, tag: int, most: int) -> Sequence[int]:
        """What an entry holds; empty where there is none. Raises ServiceError."""
        kind, count, value = self.entries.get(tag, (0, 0, b""))
        if not count:
            return ()
        form = _FORMS.get(kind)
        if form is None:
            raise broken("Its directory holds something else than numbers.")
        if count > most:
            raise too_complex(most, "strips or tiles")
        form = f"{self.order}{count}{form}"
        size = struct.calcsize(form)
        if size <= len(value):
            return struct.unpack_from(form, value)
        (place,) = struct.unpack(f"{self.order}I", value)
        if place + size > len(self.data):
            raise broken("It ends within its directory.")
        return struct.unpack_from(form, self.data, place)

    def number(self, tag: int, default: int | None = None) -> int:
        """The first number of an entry."""
        found = self.numbers(tag, MAX_STRIPS)
        if not found and default is None:
            raise broken("Its directory lacks what a picture needs.")
        return found[0] if found else default or 0


def read_tiff(data: bytes) -> PictureHeader:
    """Look at the first page's directory, and whether its strips or tiles are all there.

    Raises ServiceError: BROKEN_PICTURE, UNSUPPORTED_FORMAT, PICTURE_TOO_COMPLEX.
    """
    page = _first_page(data)
    if _is_raw(page):
        raise unsupported("It is a camera's raw file; save it as a JPEG.")
    width, height = page.number(_WIDTH), page.number(_HEIGHT)
    if not width or not height:
        raise broken("It has no size.")
    depth, channels = _pixels(page)
    _check_parts(page, width, height, channels, depth)
    orientation = page.number(_ORIENTATION, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    seconds = tiff_seconds(len(data), width * height, width * height * channels * depth // 8)
    return PictureHeader("TIFF", width, height, orientation, seconds, False, apart=True)


def essential_tiff(data: bytes) -> bytes:
    """The same pixels in a file of one page, without its orientation and what is noted beside."""
    page = _first_page(data)
    kept = [(tag, entry) for tag, entry in sorted(page.entries.items()) if tag in _NEEDED]
    padding = bytes(len(data) % 2)
    parts = [data[:4], struct.pack(f"{page.order}I", len(data) + len(padding)), data[8:], padding]
    parts.append(struct.pack(f"{page.order}H", len(kept)))
    parts += [struct.pack(f"{page.order}HHI4s", tag, *entry) for tag, entry in kept]
    parts.append(bytes(4))
    return b"".join(parts)


def has_deep_colours(data: bytes) -> bool:
    """Whether it is RGB of 16 bits a channel."""
    page = _first_page(data)
    return page.number(_BITS, 1) == _DEEP and page.number(_KIND) == _RGB


def _first_page(data: bytes) -> _Page:
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8:
        raise broken("Its header is cut off.")
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    if start + 2 > len(data):
        raise broken("It ends before its directory.")
    (count,) = struct.unpack_from(f"{order}H", data, start)
    if count > _MOST_ENTRIES:
        raise too_complex(_MOST_ENTRIES, "entries in its directory")
    place = start + 2
    if place + count * _ENTRY > len(data):
        raise broken("It ends within its directory.")
    entries = {}
    for n in range(count):
        tag, *entry = struct.unpack_from(f"{order}HHI4s", data, place + n * _ENTRY)
        entries[tag] = (entry[0], entry[1], entry[2])
    return _Page(data, order, entries)


def _is_raw(page: _Page) -> bool:
    """Whether the first page is only a camera's preview of what it saw."""
    has_preview = bool(page.number(_PREVIEW, 0) & 1) and _SUB_FILES in page.entries
    return _RAW in page.entries or has_preview or page.data[8:10] == _CANON


def _pixels(page: _Page) -> tuple[int, int]:
    """Bits of a channel and channels of a pixel. Raises ServiceError."""
    compression, kind = page.number(_COMPRESSION, _PLAIN), page.number(_KIND)
    if compression not in _COMPRESSIONS:
        raise unsupported(f"A TIFF that is compressed in this way ({compression}) is not read.")
    if kind not in _CHANNELS:
        raise unsupported(f"A TIFF of this kind of colours ({kind}) is not read.")
    channels = page.number(_SAMPLES, 1)
    depths = set(page.numbers(_BITS, MAX_STRIPS)) or {1}
    depth = min(depths)
    if len(depths) > 1 or depth not in _DEPTHS[kind] or page.number(_FORMAT, 1) != _UNSIGNED:
        raise unsupported("A TIFF of such channels is not read; save it with 8 bits each.")
    if not 0 <= channels - _CHANNELS[kind] <= _MOST_EXTRA:
        raise unsupported(f"A TIFF of {channels} channels is not read.")
    apart = page.number(_PLANES, 1) != 1
    if (kind == _RGB and depth == _DEEP and (apart or channels > _MOST_DEEP)) or (
        kind == _YCC and compression == _PLAIN
    ):
        # Of the first OpenCV makes pixels that nobody has written, and the second Pillow refuses.
        raise unsupported("A TIFF whose channels lie so is not read; save it with 8 bits each.")
    return depth, channels


def _check_parts(page: _Page, width: int, height: int, channels: int, depth: int) -> None:
    """Raise ServiceError unless the strips or tiles are as many and as large as the pixels need."""
    tiled = _TILES in page.entries
    if tiled:
        across, down = page.number(_TILE_WIDTH), page.number(_TILE_HEIGHT)
        if not across or not down:
            raise broken("Its tiles have no size.")
        columns, rows = -(-width // across), -(-height // down)
        parts = columns * rows
        if parts * across * down > _TILE_SLACK * width * height + _SMALL_PIXELS:
            raise broken("Its tiles are larger than it is.")
    else:
        down = min(page.number(_ROWS, height) or height, height)
        parts = -(-height // down)
    parts *= channels if page.number(_PLANES, 1) == 2 else 1
    if parts > MAX_STRIPS:
        raise too_complex(MAX_STRIPS, "strips or tiles")
    places = page.numbers(_TILES if tiled else _STRIPS, MAX_STRIPS)
    sizes = page.numbers(_TILE_BYTES if tiled else _STRIP_BYTES, MAX_STRIPS)
    if len(places) < parts or (sizes and len(sizes) < parts):
        raise broken("Some of its strips or tiles are missing.")
    if not sizes:
        if page.number(_COMPRESSION, _PLAIN) != _PLAIN:
            raise broken("It does not say how long its strips or tiles are.")
        sizes = [0] * len(places)
    ends = (place + size for place, size in zip(places[:parts], sizes))
    if max(ends) > len(page.data):
        raise broken("It ends before its pixels.")
    if sum(sizes[:parts]) > _OVERLAP * len(page.data):
        raise broken("Its strips or tiles lie one over the other.")
