"""How a picture has to be turned, from its EXIF block or its XMP packet.

Own code for one number: a general reader follows every entry of a directory, and five thousand
entries that name the same bytes keep it busy.
"""

from __future__ import annotations

import re
import struct
import zlib

# What is looked at of a block or a packet. A JPEG's has 64 KB at most.
MAX_BYTES = 65_536

_PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
_FORMS = {3: "H", 4: "I"}  # of a short and a long number
_ENTRY = 12
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation_of(exif: bytes, xmp: bytes) -> int:
    """1 to 8; 1 where neither says anything that can be used."""
    value = _of_exif(exif[:MAX_BYTES])
    if value is None:
        found = _XMP.search(xmp[:MAX_BYTES])
        value = int(found[1]) if found else 1
    return value if 1 <= value <= 8 else 1


def unpacked(body: bytes) -> bytes:
    """The first `MAX_BYTES` of a zlib stream; empty where it is none."""
    try:
        return zlib.decompressobj().decompress(body, MAX_BYTES)
    except zlib.error:
        return b""


def raw_profile(text: bytes) -> bytes:
    """The EXIF block in a "Raw profile type exif": three lines of header, then hexadecimal."""
    try:
        return bytes.fromhex(b"".join(text[: 2 * MAX_BYTES].split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""


def _of_exif(block: bytes) -> int | None:
    """The orientation in the first directory; None where it has none."""
    while block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return None
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    if start + 2 > len(block):
        return None
    (count,) = struct.unpack_from(f"{order}H", block, start)
    entries = block[start + 2 : start + 2 + _ENTRY * count]
    entries = entries[: len(entries) // _ENTRY * _ENTRY]
    for tag, kind, values, value in struct.iter_unpack(f"{order}HHI4s", entries):
        if tag == _ORIENTATION:
            form = _FORMS.get(kind) if values == 1 else None
            return int(struct.unpack_from(order + form, value)[0]) if form else 1
    return None
