"""What stands beside a picture's pixels makes no picture bad whose pixels are whole."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from bench.attacks.pictures import png_chunk
from ops.errors import ErrorKind, ServiceError
from ops.pictures.headers.jpeg import has_all_scans
from ops.pictures.picture import (
    PictureLimits,
    decode_picture,
    open_picture,
    pixels_of,
    reduction_of,
)
from tests.support import pictures

LIMITS = PictureLimits(max_bytes=16_000_000, max_pixels=4_000_000)
FACE = pictures.astronaut()[:240, 100:340]
PNG = pictures.encode(FACE, "PNG")
JPEG = pictures.encode(FACE)


def refusal(data: bytes) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        decode_picture(data, LIMITS)
    return caught.value


def with_chunk(name: bytes, body: bytes, damaged: bool = False) -> bytes:
    """The PNG with a chunk before its pixels; damaged: its checksum is wrong."""
    chunk = bytearray(png_chunk(name, body))
    chunk[-1] ^= damaged
    place = PNG.index(b"IDAT") - 4
    return PNG[:place] + bytes(chunk) + PNG[place:]


def with_text(name: str, text: str, packed: bool, international: bool) -> bytes:
    notes = PngImagePlugin.PngInfo()
    if international:
        notes.add_itxt(name, text, zip=packed)
    else:
        notes.add_text(name, text, zip=packed)
    return pictures.encode(FACE, "PNG", pnginfo=notes)


NOISE = np.random.RandomState(1).bytes(1_200_000)
PNGS = {
    "a profile of 1.2 MB": lambda: with_chunk(b"iCCP", b"profile\0\0" + zlib.compress(NOISE)),
    "a profile that is none": lambda: with_chunk(b"iCCP", b"profile\0\0what?"),
    "a text of 1.5 MB": lambda: with_text("XML:com.adobe.xmp", "x" * 1_500_000, False, True),
    "a packed text of 1.5 MB": lambda: with_text("note", "x" * 1_500_000, True, False),
    "a packed text that is none": lambda: with_chunk(b"zTXt", b"note\0\0what?"),
    "a text whose checksum is wrong": lambda: with_chunk(b"tEXt", b"note\0what", damaged=True),
    "a packed text whose checksum is wrong": lambda: with_chunk(
        b"zTXt", b"note\0\0" + zlib.compress(b"what"), damaged=True
    ),
    "a time that does not exist": lambda: with_chunk(b"tIME", b"\xff" * 7),
    "an EXIF block of garbage": lambda: with_chunk(b"eXIf", b"\xff" * 500),
    "a chunk that nobody knows": lambda: with_chunk(b"abCd", bytes(1000)),
}


@pytest.mark.parametrize("case", PNGS)
def test_a_png_is_read_whatever_is_noted_in_it(case):
    assert (decode_picture(PNGS[case](), LIMITS) == FACE).all()


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG with a segment before all others."""
    return JPEG[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + JPEG[2:]


JPEGS = {
    "zeros after it": lambda: JPEG + bytes(16),
    "many zeros after it": lambda: JPEG + bytes(100_000),
    "text after it": lambda: JPEG + b"-----------------------------7d9\r\n" * 20,
    "an EXIF block of garbage": lambda: segment(0xE1, b"Exif\0\0" + b"\xff" * 500),
    "an EXIF block that is cut off": lambda: segment(0xE1, b"Exif\0\0II*\0\x08"),
    "a profile of garbage": lambda: segment(0xE2, b"ICC_PROFILE\0" + b"\xff" * 500),
    "a comment": lambda: segment(0xFE, b"\xff" * 60_000),
    "an empty line before it": lambda: b"\r\n" + JPEG,
    "many empty lines before it": lambda: b"\n" * 1000 + JPEG,
    "a mark of the byte order before it": lambda: b"\xef\xbb\xbf" + JPEG,
}


@pytest.mark.parametrize("case", JPEGS)
def test_a_jpeg_is_read_whatever_stands_around_its_pixels(case):
    expected = decode_picture(JPEG, LIMITS)
    assert np.array_equal(decode_picture(JPEGS[case](), LIMITS), expected)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_an_empty_line_may_stand_before_any_picture(form):
    data = pictures.encode(FACE, form)
    plain = decode_picture(data, LIMITS)
    if form == "TIFF":
        assert open_picture(b"\n" + data, LIMITS.max_pixels).start == 1
    assert np.array_equal(decode_picture(b"\r\n" + data, LIMITS), plain)


def test_other_bytes_before_a_jpeg_are_told():
    for before in (b"x", b"Content-Type: image/jpeg\r\n\r\n", bytes(900)):
        error = refusal(before + JPEG)
        assert error.kind is ErrorKind.BROKEN_PICTURE
        said = f"{len(before)} bytes that belong to no picture stand before a JPEG's start."
        assert said in error.message


KINDS = {
    "plain": {},
    "restarts": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "whole colours": {"subsampling": 0},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", [b"", b"\xff", b"\xff\xff", b"\xff\0", b"\xff\xd9"])
def test_a_jpeg_whose_end_marker_is_missing_or_cut_has_all_its_pixels(kind, tail):
    data = pictures.encode(FACE, **KINDS[kind])
    expected = decode_picture(data, LIMITS)
    assert np.array_equal(decode_picture(data[:-2] + tail, LIMITS), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.9, 0.98])
def test_a_jpeg_whose_pixels_are_cut_is_broken_and_not_half_grey(kind, share):
    data = pictures.encode(FACE, **KINDS[kind])
    error = refusal(data[: int(len(data) * share)])
    assert error.kind is ErrorKind.BROKEN_PICTURE


def test_a_progressive_jpeg_that_ends_between_two_scans_is_broken():
    data = pictures.encode(FACE, progressive=True)
    assert has_all_scans(data)
    scans = [n for n in range(len(data)) if data.startswith(b"\xff\xda", n)]
    for place in scans[1:]:
        assert not has_all_scans(data[:place])
        assert "It ends before its pixels." in refusal(data[:place]).message


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_a_jpeg_without_its_end_is_reduced_like_others(reduction):
    data = pictures.encode(pictures.astronaut())
    header = open_picture(data[:-2], LIMITS.max_pixels)
    assert reduction_of(header, 512 // reduction) == reduction
    expected = pixels_of(data, open_picture(data, LIMITS.max_pixels), reduction)
    assert np.array_equal(pixels_of(data[:-2], header, reduction), expected)


def test_a_cmyk_jpeg_without_its_end_is_read():
    data = pictures.cmyk_jpeg(FACE)
    expected = decode_picture(data, LIMITS)
    assert np.array_equal(decode_picture(data[:-1], LIMITS), expected)


def test_a_picture_that_is_decoded_twice_is_counted_twice():
    whole, cut = (open_picture(one, LIMITS.max_pixels).seconds for one in (JPEG, JPEG[:-2]))
    assert 1.9 * whole < cut < 2.1 * whole


@pytest.mark.parametrize("end", [8, 12, 20, 30, 100, 0.5, 0.99])
def test_a_webp_that_is_cut_anywhere_is_broken(end):
    data = pictures.encode(FACE, "WEBP")
    place = int(end * len(data)) if isinstance(end, float) else end
    kind = refusal(data[:place]).kind
    assert kind is (ErrorKind.UNSUPPORTED_FORMAT if place < 12 else ErrorKind.BROKEN_PICTURE)


def webp_with(before: bytes, after: bytes, flags: int) -> bytes:
    """An extended WebP with chunks before its pixels and after them."""
    height, width = FACE.shape[:2]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    head = b"VP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + size
    body = head + before + pictures.encode(FACE, "WEBP")[12:] + after
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


OTHERS = {
    "a WebP's profile of garbage": lambda: webp_with(riff_chunk(b"ICCP", b"\xff" * 501), b"", 32),
    "a WebP's EXIF block of garbage": lambda: webp_with(b"", riff_chunk(b"EXIF", b"\xff" * 99), 8),
    "a WebP's EXIF block cut off": lambda: webp_with(b"", riff_chunk(b"EXIF", bytes(99)), 8)[:-50],
    "bytes after a WebP": lambda: pictures.encode(FACE, "WEBP") + b"what?",
    "a PNG without its end": lambda: PNG[:-12],
    "a PNG whose end is cut": lambda: PNG[:-4],
    "bytes after a PNG": lambda: PNG + b"what?" * 100,
    "a GIF without its end": lambda: pictures.gif(FACE)[:-1],
    "bytes after a GIF": lambda: pictures.gif(FACE) + b"what?",
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_pictures_are_read_whatever_stands_around_their_pixels(case):
    decoded = decode_picture(OTHERS[case](), LIMITS)
    assert np.abs(decoded.astype(int) - FACE).mean() < 4


def test_an_orientation_that_does_not_exist_counts_as_1():
    data = pictures.encode(FACE, exif=pictures.exif_of(9))
    assert open_picture(data, LIMITS.max_pixels).orientation == 1
    expected = np.asarray(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode_picture(data, LIMITS), expected)
