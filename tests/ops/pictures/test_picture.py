"""What becomes of a picture's bytes before any model sees them."""

from __future__ import annotations

import contextlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ops.errors import ErrorKind, ServiceError
from ops.pictures.picture import (
    PictureLimits,
    decode_picture,
    open_picture,
    pixels_of,
    reduction_of,
    upright_size,
)
from tests.support import pictures

LIMITS = PictureLimits(max_bytes=8_000_000, max_pixels=4_000_000)
MARKED = np.zeros((40, 60, 3), np.uint8)
MARKED[:12, :20] = (250, 20, 20)  # red in the upper left corner
MARKED[28:, 40:] = (20, 20, 250)  # blue in the lower right one


def kind_of(call, *arguments) -> ErrorKind:
    with pytest.raises(ServiceError) as caught:
        call(*arguments)
    return caught.value.kind


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_every_documented_format_gives_rgb_pixels(form):
    options = {"lossless": True} if form == "WEBP" else {}
    decoded = decode_picture(pictures.encode(MARKED, form, **options), LIMITS)
    assert decoded.shape == (40, 60, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - MARKED).mean() <= (3 if form == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    decoded = decode_picture(pictures.with_orientation(MARKED, orientation), LIMITS)
    assert decoded.shape == MARKED.shape
    assert decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - MARKED).mean() < 5


def test_grey_alpha_palette_and_one_bit_pictures_become_rgb():
    grey = MARKED.mean(axis=2).astype(np.uint8)
    rgba = np.dstack([MARKED, np.full(MARKED.shape[:2], 7, np.uint8)])
    assert (decode_picture(pictures.encode(grey, "PNG"), LIMITS) == grey[:, :, None]).all()
    assert (decode_picture(pictures.encode(rgba, "PNG"), LIMITS) == MARKED).all()
    assert decode_picture(pictures.encode(grey > 50, "PNG"), LIMITS).max() == 255


def test_sixteen_bit_grey_keeps_its_brightness():
    decoded = decode_picture(pictures.png16(MARKED), LIMITS)
    assert np.abs(decoded[:, :, 0].astype(int) - MARKED.mean(axis=2).astype(int)).max() <= 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_pictures_of_sixteen_bits_are_scaled_by_those_that_they_use(bits):
    values = (MARKED.astype(np.uint16) << 8 | MARKED) >> (16 - bits)
    opaque = np.full((40, 60, 1), 65535, np.uint16)
    forms = {
        "colour": (values[:, :, ::-1], MARKED),
        "grey": (values[:, :, :1], MARKED[:, :, :1]),
        "alpha": (np.dstack([values[:, :, ::-1], opaque]), MARKED),
    }
    for stored, expected in forms.values():
        decoded = decode_picture(cv2.imencode(".png", stored)[1].tobytes(), LIMITS)
        assert decoded.dtype == np.uint8
        assert decoded.shape == MARKED.shape
        assert np.abs(decoded.astype(int) - expected).max() <= 1


def test_black_of_sixteen_bits_is_black_and_half_a_file_is_broken():
    black = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint16))[1].tobytes()
    assert decode_picture(black, LIMITS).max() == 0
    noise = np.random.RandomState(1).randint(0, 4096, (40, 60, 3)).astype(np.uint16)
    data = cv2.imencode(".png", noise)[1].tobytes()
    assert kind_of(decode_picture, data[: len(data) // 2], LIMITS) is ErrorKind.BROKEN_PICTURE


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_means_nothing_is_as_none(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = pictures.encode(MARKED, exif=exif.tobytes())
    assert upright_size(open_picture(data, LIMITS.max_pixels)) == MARKED.shape[1::-1]
    assert np.abs(decode_picture(data, LIMITS).astype(int) - MARKED).mean() < 5


def test_a_cmyk_jpeg_keeps_its_colours():
    decoded = decode_picture(pictures.cmyk_jpeg(MARKED), LIMITS)
    assert np.abs(decoded.astype(int) - MARKED).mean() < 6


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_jpeg_is_broken_and_not_half_grey(share):
    data = pictures.encode(pictures.astronaut())
    whole = len(data)
    assert kind_of(decode_picture, data[: int(whole * share)], LIMITS) is ErrorKind.BROKEN_PICTURE


def test_a_truncated_png_is_broken():
    data = pictures.encode(pictures.astronaut(), "PNG")
    assert kind_of(decode_picture, data[: len(data) // 2], LIMITS) is ErrorKind.BROKEN_PICTURE


def test_a_huge_picture_is_refused_from_its_header():
    bomb = pictures.png_header_bomb(20_000, 20_000, 1_000_000)
    assert abs(len(bomb) - 1_000_000) < 1000
    assert kind_of(decode_picture, bomb, LIMITS) is ErrorKind.PICTURE_TOO_MANY_PIXELS


@pytest.mark.parametrize("data", [b"x", b"hello, this is text", b"\xff\xd8\xff", b"\x89PNG\r\n"])
def test_bytes_that_are_no_picture_are_unsupported(data):
    assert kind_of(decode_picture, data, LIMITS) is ErrorKind.UNSUPPORTED_FORMAT


def test_random_damage_gives_pixels_or_an_error_and_nothing_else():
    random = np.random.RandomState(3)
    for form in ("JPEG", "PNG", "WEBP", "BMP"):
        good = bytearray(pictures.encode(MARKED, form))
        for _ in range(150):
            data = bytearray(good)
            for place in random.randint(0, len(data), 4):
                data[place] = random.randint(0, 256)
            with contextlib.suppress(ServiceError):
                assert decode_picture(bytes(data), LIMITS).ndim == 3


@pytest.mark.parametrize(
    ("size", "keep", "reduction"),
    [
        ((3840, 2160), 1920, 2),
        ((3839, 2160), 1920, 1),
        ((1001, 4003), 500, 8),
        ((9000, 1), 1920, 1),
    ],
)
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(size, keep, reduction):
    blank = np.full((size[1], size[0], 3), 90, np.uint8)
    data = pictures.encode(blank, "JPEG")
    header = open_picture(data, 50_000_000)
    assert reduction_of(header, keep) == reduction
    height, width = pixels_of(data, header, reduction).shape[:2]
    assert (width, height) == tuple(-(-side // reduction) for side in size)


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
@pytest.mark.parametrize("tail", [b"", b"\0" * 20, b"what a camera adds" * 9])
def test_a_jpeg_has_the_same_pixels_whoever_decodes_it(reduction, tail):
    data = pictures.encode(pictures.astronaut(), "JPEG") + tail
    header = open_picture(data, 10**6)
    assert reduction_of(header, 512 // reduction if reduction > 1 else 0) == reduction
    expected = Image.open(io.BytesIO(data))
    expected.draft("RGB", (512 // reduction, 512 // reduction))
    assert np.array_equal(pixels_of(data, header, reduction), np.asarray(expected))


def test_only_jpegs_are_reduced_and_none_where_it_is_switched_off():
    large = np.zeros((400, 600, 3), np.uint8)
    assert reduction_of(open_picture(pictures.encode(large, "PNG"), 10**6), 100) == 1
    assert reduction_of(open_picture(pictures.encode(large, "JPEG"), 10**6), 0) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_told_as_the_picture_stands_upright(orientation):
    data = pictures.with_orientation(MARKED, orientation)
    height, width = decode_picture(data, LIMITS).shape[:2]
    assert upright_size(open_picture(data, 10**6)) == (width, height)
