"""Pictures made to be expensive: small files that keep a decoder busy or fill its memory.

Each function returns the bytes of one file and says what is expensive about it.
"""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

_PNG_START = b"\x89PNG\r\n\x1a\n"


def jpeg_of_many_scans(scans: int, width: int = 2048, height: int = 2048) -> bytes:
    """A progressive JPEG whose last scan comes again and again.

    Each repetition has some hundred bytes and visits every block of the picture.
    """
    plain = _flat_jpeg(width, height, progressive=True)
    last = plain.rindex(b"\xff\xda")
    scan = plain[last:-2]
    return plain[:-2] + scan * max(scans - plain.count(b"\xff\xda"), 0) + plain[-2:]


def jpeg_of_many_sequential_scans(scans: int, size: int = 64) -> bytes:
    """A baseline JPEG in three scans, the last of which comes again as one of all components."""
    plain = bytearray(_flat_jpeg(size, size))
    start = plain.index(b"\xff\xda")
    data = bytes(plain[start + 14 : -2])

    def scan(*components: int) -> bytes:
        ids = b"".join(bytes([n, 0x00 if n == 1 else 0x11]) for n in components)
        head = bytes([len(components)]) + ids + b"\0\x3f\0"
        return b"\xff\xda" + struct.pack(">H", len(head) + 2) + head + data

    several = scan(1) + scan(2) + scan(3) + scan(1, 2, 3) * (scans - 3)
    return bytes(plain[:start]) + several + b"\xff\xd9"


def jpeg_of_many_markers(markers: int) -> bytes:
    """A JPEG with empty comments before its picture: four bytes each."""
    plain = _flat_jpeg(64, 64)
    return plain[:2] + b"\xff\xfe\x00\x02" * markers + plain[2:]


def jpeg_of_many_tables(tables: int) -> bytes:
    """A progressive JPEG with quantization tables between its scans."""
    plain = _flat_jpeg(64, 64, progressive=True)
    last = plain.rindex(b"\xff\xda")
    table = b"\xff\xdb\x00\x43\x00" + bytes([1]) * 64
    return plain[:last] + table * tables + plain[last:]


def jpeg_of_many_exif_entries(entries: int = 5000, each: int = 60_000) -> bytes:
    """A JPEG whose EXIF directory has as many entries as fit, all of the same large value."""
    tags = b"".join(struct.pack(">HHII", tag + 1, 7, each, 8) for tag in range(entries))
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, entries) + tags + bytes(4)
    plain = _flat_jpeg(64, 64)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    return plain[:2] + segment + plain[2:]


def png_of_many_chunks(chunks: int, name: bytes = b"teSt") -> bytes:
    """A PNG with empty chunks before its pixels: twelve bytes each."""
    start, end = _flat_png(64, 64)
    return start + png_chunk(name, b"") * chunks + end


def png_of_many_empty_parts(chunks: int) -> bytes:
    """A PNG with empty IDAT chunks between those with its pixels."""
    return png_of_many_chunks(chunks, b"IDAT")


def png_of_large_texts(texts: int, unpacked: int = 1_000_000) -> bytes:
    """A PNG with compressed texts, each a thousand times as large when it is unpacked."""
    start, end = _flat_png(64, 64)
    text = png_chunk(b"zTXt", b"text\0\0" + zlib.compress(bytes(unpacked), 9))
    return start + text * texts + end


def png_of_large_profile(unpacked: int = 100_000_000) -> bytes:
    """A PNG with a colour profile of `unpacked` zeros."""
    start, end = _flat_png(64, 64)
    return start + png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(unpacked), 9)) + end


def png_of_random_pixels(width: int, height: int, interlaced: bool = False) -> bytes:
    """An RGB PNG of noise; interlaced ones are written in seven passes (by hand: Adam7)."""
    random = np.random.RandomState(1)
    pixels = random.randint(0, 64, (height, width, 3)).astype(np.uint8)
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
            (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
        ]  # fmt: skip
    parts = []
    for x, y, step_x, step_y in passes:
        part = pixels[y::step_y, x::step_x]
        rows = part.reshape(part.shape[0], -1)
        parts.append(np.hstack([np.zeros((len(rows), 1), np.uint8), rows]).tobytes())
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, int(interlaced))
    return (
        _PNG_START
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"".join(parts), 1))
        + png_chunk(b"IEND", b"")
    )


def webp_of_one_colour(width: int = 7000, height: int = 7000) -> bytes:
    """A lossless WebP of 38 bytes: its size is in the header, its pixels are no data at all."""
    packed = struct.pack("<I", (width - 1) | (height - 1) << 14)
    # No transform, no cache of colours, one code; five tables of a single symbol, a zero.
    body = b"\x2f" + packed + _bits("0" + "0" + "0" + "1000" * 5)
    body += bytes(18 - len(body))
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def lossless_webp(width: int, height: int) -> bytes:
    """A lossless WebP of coarse noise, which takes long to unpack for its size."""
    random = np.random.RandomState(1)
    tile = random.randint(0, 8, (256, 256, 3)).astype(np.uint8) * 32
    rows, columns = -(-height // 256), -(-width // 256)
    pixels = np.tile(tile, (rows, columns, 1))[:height, :width]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=True, quality=0, method=0)
    return out.getvalue()


def animated_webp(frames: int, width: int = 64, height: int = 64) -> bytes:
    """An animation; only its first frame is of use."""
    pictures = [Image.new("RGB", (width, height), (n % 256, n // 256, 0)) for n in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, "WEBP", save_all=True, append_images=pictures[1:], lossless=True)
    return out.getvalue()


def webp_of_many_chunks(chunks: int) -> bytes:
    """An extended WebP with empty chunks before its picture: eight bytes each."""
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\x3f\0\0" * 2
    picture = webp_of_one_colour(64, 64)[12:]
    body = extended + b"none\0\0\0\0" * chunks + picture
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp_of_many_runs(width: int, height: int) -> bytes:
    """A run-length coded BMP whose runs are one pixel long."""
    row = bytes([1, 7]) * width + b"\0\0"
    pixels = row * height + b"\0\1"
    palette = b"".join(bytes([n, n, n, 0]) for n in range(256))
    offset = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    head = b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset)
    return head + info + palette + pixels


def flat_avif(width: int, height: int) -> bytes:
    """An AVIF of one colour: a few kilobytes."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (90, 90, 90)).save(out, "AVIF", speed=10)
    return out.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk with its length and its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _flat_png(width: int, height: int) -> tuple[bytes, bytes]:
    """A grey PNG, cut before its pixels."""
    _, data = cv2.imencode(".png", np.full((height, width), 90, np.uint8))
    whole = data.tobytes()
    place = whole.index(b"IDAT") - 4
    return whole[:place], whole[place:]


def _flat_jpeg(width: int, height: int, progressive: bool = False) -> bytes:
    out = io.BytesIO()
    picture = Image.new("RGB", (width, height), (90, 90, 90))
    picture.save(out, "JPEG", quality=90, progressive=progressive)
    return out.getvalue()


def _bits(text: str) -> bytes:
    """Bits in the order in which they are read, the lowest of each byte first."""
    padded = text + "0" * (-len(text) % 8)
    return bytes(int(padded[n : n + 8][::-1], 2) for n in range(0, len(padded), 8))
