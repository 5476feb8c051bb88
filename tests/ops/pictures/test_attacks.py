"""Pictures that were made to be expensive, and the limits that end them at their header."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from bench.attacks import containers
from bench.attacks import pictures as attacks
from ops.errors import ErrorKind, ServiceError
from ops.pictures.headers.header import MAX_CHUNKS, MAX_MARKERS, MAX_SCANS
from ops.pictures.picture import PictureLimits, decode_picture, open_picture, pixels_of
from tests.support import pictures

pytestmark = pytest.mark.attack
LIMITS = PictureLimits(max_bytes=16 * 1024 * 1024, max_pixels=50_000_000)

TOO_COMPLEX = {
    "6,000 scans": lambda: attacks.jpeg_of_many_scans(6000),
    "scans of all components after one of a single": lambda: attacks.jpeg_of_many_sequential_scans(
        6000
    ),
    "three million markers": lambda: attacks.jpeg_of_many_markers(3_000_000),
    "tables between scans": lambda: attacks.jpeg_of_many_tables(200_000),
    "a million chunks": lambda: attacks.png_of_many_chunks(1_000_000),
    "a million empty pixel chunks": lambda: attacks.png_of_many_empty_parts(1_000_000),
    "a million chunks of an animation": lambda: attacks.webp_of_many_chunks(1_000_000),
    "a million comments in a GIF": lambda: containers.gif_of_many_extensions(1_000_000),
    "a million strips": lambda: containers.tiff_of_many_strips(1_000_000),
    "a million properties": lambda: containers.heif_of_many_properties(4000),
    "a million boxes": lambda: containers.heif_of_many_boxes(1_000_000),
    "50,000 items": lambda: containers.heif_grid(b"av01", (640, 480), (64, 64), 80, 50_000),
    "60,000 tiles": lambda: containers.heif_grid(b"hvc1", (640, 480), (64, 64), 60_000),
}


@pytest.mark.parametrize("case", TOO_COMPLEX)
def test_more_parts_than_a_picture_needs_are_refused_at_the_header(case):
    with pytest.raises(ServiceError) as caught:
        open_picture(TOO_COMPLEX[case](), LIMITS.max_pixels)
    assert caught.value.kind is ErrorKind.PICTURE_TOO_COMPLEX


def test_a_gif_of_blocks_of_a_byte_is_refused_before_it_is_decoded():
    with pytest.raises(ServiceError) as caught:
        decode_picture(containers.gif_of_short_blocks(2_000_000), LIMITS)
    assert caught.value.kind is ErrorKind.PICTURE_TOO_COMPLEX


BROKEN = {
    "tiles of a gigapixel": lambda: containers.tiff_of_large_tiles(64, 64, 32_768),
    "strips over each other": lambda: containers.tiff_of_one_strip_for_all(40_000, 10_000),
    "tiles over each other": lambda: containers.heif_grid(b"hvc1", (64, 64), (8192, 8192), 1000),
    "a picture within itself": lambda: containers.heif_grid(b"grid", (64, 64), (64, 64), 1),
}


@pytest.mark.parametrize("case", BROKEN)
def test_parts_that_do_not_fit_the_picture_are_refused_at_the_header(case):
    with pytest.raises(ServiceError) as caught:
        open_picture(BROKEN[case](), LIMITS.max_pixels)
    assert caught.value.kind in (ErrorKind.BROKEN_PICTURE, ErrorKind.UNSUPPORTED_FORMAT)


HUGE = {
    "GIF": lambda: containers.gif_of_size(60_000, 60_000),
    "TIFF": lambda: containers.tiff_of_size(60_000, 60_000),
    "HEIC": lambda: containers.heif_grid(b"hvc1", (60_000, 60_000), (512, 512), 400),
    "AVIF": lambda: containers.heif_grid(b"av01", (60_000, 60_000), (512, 512), 400),
}


@pytest.mark.parametrize("form", HUGE)
def test_a_gigapixel_is_refused_by_the_size_in_the_header(form):
    tracemalloc.start()
    try:
        with pytest.raises(ServiceError) as caught:
            open_picture(HUGE[form](), LIMITS.max_pixels)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.kind is ErrorKind.PICTURE_TOO_MANY_PIXELS
    assert most < 5_000_000


HARMLESS = {
    "as many scans as are taken": lambda: attacks.jpeg_of_many_scans(MAX_SCANS, 640, 480),
    "many markers": lambda: attacks.jpeg_of_many_markers(MAX_MARKERS - 20),
    "many chunks": lambda: attacks.png_of_many_chunks(MAX_CHUNKS - 20),
    "pixels in many chunks": lambda: attacks.png_of_many_empty_parts(MAX_CHUNKS - 20),
    "texts of 600 MB": lambda: attacks.png_of_large_texts(600),
    "a profile of 100 MB": lambda: attacks.png_of_large_profile(),
    "EXIF entries of 300 MB": lambda: attacks.jpeg_of_many_exif_entries(),
    "an animation": lambda: attacks.animated_webp(300),
    "a million runs": lambda: attacks.bmp_of_many_runs(1000, 1000),
    "many comments": lambda: containers.gif_of_many_extensions(MAX_CHUNKS - 20),
    "many strips": lambda: containers.tiff_of_many_strips(20_000),
    "an interlaced picture": lambda: attacks.png_of_random_pixels(300, 200, interlaced=True),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_is_no_part_of_the_pixels_costs_nothing(case):
    data = HARMLESS[case]()
    tracemalloc.start()
    try:
        header = open_picture(data, LIMITS.max_pixels)
        pixels = pixels_of(data, header)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pixels.shape == (header.height, header.width, 3)
    assert most < 40_000_000


@pytest.mark.parametrize("pair", ["ffff", "ff00", "ffd0"])
def test_bytes_that_only_look_like_markers_are_no_picture(pair):
    start = b"\xff\xd8\xff\xe0\0\2" + bytes.fromhex(pair) * 2_000_000
    for file in (start, start + b"\xff\xd9"):
        with pytest.raises(ServiceError) as caught:
            open_picture(file, LIMITS.max_pixels)
        assert caught.value.kind is ErrorKind.BROKEN_PICTURE


def test_a_header_takes_no_memory_for_the_pixels_that_it_announces():
    tracemalloc.start()
    try:
        header = open_picture(attacks.webp_of_one_colour(7000, 7000), LIMITS.max_pixels)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (header.width, header.height) == (7000, 7000)
    assert most < 1_000_000


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "JPEG", "GIF", "TIFF", "AVIF"])
def test_every_format_is_refused_by_the_size_in_its_header(form):
    data = pictures.encode(np.zeros((300, 400, 3), np.uint8), form)
    assert decode_picture(data, PictureLimits(10**6, 120_000)).shape == (300, 400, 3)
    with pytest.raises(ServiceError) as caught:
        open_picture(data, 119_999)
    assert caught.value.kind is ErrorKind.PICTURE_TOO_MANY_PIXELS


ORDINARY = {
    "jpeg": {"form": "JPEG", "quality": 95},
    "progressive jpeg": {"form": "JPEG", "quality": 95, "progressive": True},
    "jpeg with restarts": {"form": "JPEG", "quality": 90, "restart_marker_rows": 1},
    "png": {"form": "PNG"},
    "webp": {"form": "WEBP", "quality": 90},
    "bmp": {"form": "BMP"},
}


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_pictures_are_cheap_and_have_the_pixels_that_pillow_gives(case):
    data = pictures.encode(pictures.astronaut(), **ORDINARY[case])
    header = open_picture(data, LIMITS.max_pixels)
    assert header.seconds < 0.1
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(pixels_of(data, header), expected)


def test_a_photo_with_profile_notes_and_a_second_picture_is_an_ordinary_one():
    data = pictures.encode(
        pictures.astronaut(), icc_profile=bytes(3_000_000), comment=b"x" * 60_000
    )
    second = pictures.encode(pictures.astronaut()[:128, :128], progressive=True)
    data += second * 3 + b"a film of some megabytes" * 100_000 + b"\xff\xd9"
    header = open_picture(data, LIMITS.max_pixels)
    assert (header.width, header.height) == (512, 512)
    assert pixels_of(data, header).shape == (512, 512, 3)


def test_an_orientation_that_does_not_exist_leaves_the_picture_as_it_is():
    exif = Image.Exif()
    exif[0x0112] = 9
    data = pictures.encode(pictures.astronaut()[:, :300], exif=exif.tobytes())
    assert open_picture(data, LIMITS.max_pixels).orientation == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_every_format_is_turned_by_its_exif_orientation(form):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = pictures.encode(pictures.astronaut()[:, :300], form, exif=exif.tobytes())
    assert open_picture(data, LIMITS.max_pixels).orientation == 6
    assert decode_picture(data, LIMITS).shape == (300, 512, 3)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_webp_is_broken(share):
    data = pictures.encode(pictures.astronaut(), "WEBP")
    with pytest.raises(ServiceError) as caught:
        decode_picture(data[: int(len(data) * share)], LIMITS)
    assert caught.value.kind is ErrorKind.BROKEN_PICTURE


def test_a_picture_whose_notes_are_damaged_is_read():
    data = pictures.encode(pictures.astronaut(), "PNG")
    place = data.index(b"IDAT") - 4
    note = bytearray(attacks.png_chunk(b"tEXt", b"note\0what somebody wrote"))
    note[-1] ^= 1
    damaged = data[:place] + bytes(note) + data[place:]
    assert (decode_picture(damaged, LIMITS) == pictures.astronaut()).all()
