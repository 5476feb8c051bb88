"""The header of a JPEG (ITU-T T.81), read as libjpeg reads it.

What libjpeg would see and this does not would be decoded without a limit.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Iterator

from ops.pictures.headers.costs import jpeg_seconds
from ops.pictures.headers.exif import orientation_of
from ops.pictures.headers.header import (
    MAX_MARKERS,
    MAX_SCANS,
    PictureHeader,
    broken,
    too_complex,
    unsupported,
)

START = b"\xff\xd8\xff"
END = b"\xff\xd9"
# Between segments libjpeg skips everything up to the next marker, and so does a scan's data:
# there 0xFF is followed by 0, by a restart marker or by another 0xFF.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_PIECE = 65_536
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _APP0, _APP1, _APP14 = (
    0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE,
)  # fmt: skip
_ALONE = 0x01
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA)  # that libjpeg-turbo decodes
_OTHER_FRAMES = (0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)
_LAYERS = 5  # where a frame header says how many components it has
_PROGRESSIVE = (0xC2, 0xCA)
_ARITHMETIC = (0xC9, 0xCA)
_TABLES = (0xC4, 0xCC, 0xDB, 0xDD)  # codes, their conditioning, quantization, restart interval
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def read_jpeg(data: bytes) -> PictureHeader:
    """Look at all markers up to the picture's end, or to the only scan of an ordinary one.

    Raises ServiceError: BROKEN_PICTURE, UNSUPPORTED_FORMAT, PICTURE_TOO_COMPLEX.
    """
    frame, kind, scans, components, codes = b"", 0, 0, 0, 0
    exif, xmp = b"", b""
    for marker, start, end in _segments(data):
        if marker == _START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise too_complex(MAX_SCANS, "scans")
            if not frame:
                raise broken("It has no frame header.")
            if scans == 1:
                codes = end
                components = data[start] if end > start else 0
                if kind not in _PROGRESSIVE and components == frame[_LAYERS]:
                    break  # libjpeg takes no further scan
        elif marker in _FRAMES and not frame:
            frame, kind = data[start:end], marker
            if len(frame) <= _LAYERS:
                raise broken("Its frame header is cut off.")
        elif marker in _FRAMES or marker in _OTHER_FRAMES:
            raise unsupported("JPEGs of this kind are not read.")
        elif marker == _APP1 and not exif and data.startswith(b"Exif\0\0", start):
            exif = data[start:end]
        elif marker == _APP1 and not xmp and data.startswith(_XMP, start):
            xmp = data[start + len(_XMP) : end]
    if not scans:
        raise broken("It ends before its pixels.")
    header = _header(data, frame, kind, scans, components, orientation_of(exif, xmp))
    if data.rfind(END, codes) < 0:
        # It is decoded twice, to see whether its pixels are all there.
        return dataclasses.replace(header, seconds=2 * header.seconds, has_end=False)
    return header


def essential_jpeg(data: bytes) -> bytes:
    """The file without what decoding does not need: its notes are somebody else's to read."""
    parts = [b"\xff\xd8"]
    for marker, start, end in _segments(data):
        if marker == _START_OF_SCAN:
            return b"".join([*parts, data[start - 4 :]])
        if marker in (_APP0, _APP14, *_FRAMES, *_TABLES):
            parts.append(data[start - 4 : end])
    return data


def has_all_scans(data: bytes) -> bool:
    """Whether there are scans for every bit of every coefficient of every component."""
    missing: dict[int, set[int]] = {}
    for marker, start, end in _segments(data):
        segment = data[start:end]
        if marker in _FRAMES:
            missing = {number: set(range(64)) for number in segment[_LAYERS + 1 :: 3]}
        elif marker == _START_OF_SCAN and len(segment) > 3:
            first, last, bits = segment[-3:]
            if bits & 15 == 0:  # none is left to a later scan
                for number in segment[1:-3:2]:
                    missing.get(number, set()).difference_update(range(first, last + 1))
    return bool(missing) and not any(missing.values())


def _header(
    data: bytes, frame: bytes, kind: int, scans: int, components: int, orientation: int
) -> PictureHeader:
    precision, height, width, layers = struct.unpack_from(">BHHB", frame)
    if precision != 8 or layers not in (1, 3, 4):
        raise unsupported(f"{layers} components of {precision} bits are not read.")
    if not width or not height:
        raise broken("It has no size.")
    several = kind in _PROGRESSIVE or components < layers
    pixels = width * height * layers // 3 + 1
    seconds = jpeg_seconds(len(data), pixels, scans, several, kind in _ARITHMETIC)
    return PictureHeader("JPEG", width, height, orientation, seconds, layers != 4)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start and end of its content) of each segment, to the end marker.

    A loop over segments, never over bytes, and over `MAX_MARKERS` at most.
    """
    place = 2
    for _ in range(MAX_MARKERS):
        place = _after_marker(data, place)
        if not place:
            return
        marker = data[place - 1]
        if marker == _END_OF_IMAGE:
            return
        if marker == _ALONE:
            continue
        if marker == _START_OF_IMAGE:
            raise broken("A second picture starts within it.")
        length = int.from_bytes(data[place : place + 2], "big")
        if length < 2:
            raise broken("A segment has no length.")
        yield marker, place + 2, min(place + length, len(data))
        place += length
    raise too_complex(MAX_MARKERS, "segments")


def _after_marker(data: bytes, place: int) -> int:
    """Where the next marker ends; 0 where there is none.

    Piece by piece: a search holds Python's lock, and files can be made in which it is slow.
    """
    for start in range(place, len(data), _PIECE):
        # A marker may lie across the border.
        found = _MARKER.search(data, start, start + _PIECE + 1)
        if found is not None:
            return found.end()
    return 0
