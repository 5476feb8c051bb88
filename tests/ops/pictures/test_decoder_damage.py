"""Damaged and lying files of the formats whose decoders are often attacked."""

from __future__ import annotations

import contextlib

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.attacks import containers
from ops.errors import ErrorKind, ServiceError
from ops.pictures.decoder import Decoder
from ops.pictures.decoder_process import memory_for
from ops.pictures.picture import open_picture
from ops.pictures.pixels import ESSENTIAL
from tests.support import pictures
from tests.support.processes.decoders import decoders_among

pytestmark = pytest.mark.attack
MAX_PIXELS = 50_000_000
SMALL = np.ascontiguousarray(pictures.astronaut()[::4, ::4])


@pytest.fixture(scope="module")
def decoder():
    made = Decoder(memory_for(MAX_PIXELS))
    yield made
    made.close()


def damaged(data: bytes, random: np.random.RandomState) -> bytes:
    """A few bytes are others: of its beginning, or anywhere."""
    changed = bytearray(data)
    for place in random.randint(0, random.choice([600, len(data)]), 6):
        changed[place % len(data)] = random.randint(0, 256)
    return bytes(changed)


def fault_of(decoder: Decoder, data: bytes) -> ErrorKind | None:
    """Why a small picture cannot be decoded; None where it can, and has the announced size."""
    try:
        header = open_picture(data, 1_000_000)
        shape = decoder.decode(data, header, 1, lambda: True).shape
    except ServiceError as error:
        return error.kind
    assert sorted(shape) == sorted((header.width, header.height, 3))
    return None


@pytest.mark.parametrize("form", ["AVIF", "GIF", "HEIC", "TIFF"])
def test_a_damaged_file_gives_pixels_or_an_error_and_the_next_one_its_pixels(decoder, form):
    options = {"compression": "tiff_lzw"} if form == "TIFF" else {}
    good = pictures.heic(SMALL) if form == "HEIC" else pictures.encode(SMALL, form, **options)
    expected = decoder.decode(good, open_picture(good, MAX_PIXELS), 1, lambda: True)
    random = np.random.RandomState(4)
    for _ in range(60):
        fault = fault_of(decoder, damaged(good, random))
        assert fault is None or fault.code // 100 == 51, "it is the picture's"
    assert np.array_equal(
        decoder.decode(good, open_picture(good, MAX_PIXELS), 1, lambda: True), expected
    )


FILES = [
    pictures.heic(SMALL, 6),
    pictures.encode(SMALL, "AVIF"),
    pictures.encode(SMALL, "GIF"),
    pictures.tiff(SMALL, 6),
    pictures.encode(SMALL, "WEBP"),
    pictures.encode(SMALL, "PNG"),
    pictures.encode(SMALL, progressive=True),
]
# Where in a file, as a share of what is looked at of it, and what stands there then.
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8)


@given(st.sampled_from(FILES), st.sampled_from([64, 600, 10**6]), CHANGES, st.floats(0, 1))
def test_a_damaged_header_is_read_or_refused_and_nothing_else(good, reach, changes, kept):
    data = bytearray(good)
    end = min(reach, len(data)) - 1
    for place, value in changes:
        data[round(place * end)] = value
    for cut in (bytes(data), bytes(data[: round(kept * len(data))])):
        with contextlib.suppress(ServiceError):
            header = open_picture(cut, MAX_PIXELS)
            if header.form in ESSENTIAL:
                assert ESSENTIAL[header.form](cut)


FLAT = np.zeros((2048, 2048, 3), np.uint8)


@pytest.mark.parametrize("form", ["AVIF", "HEIC"])
def test_a_file_that_has_more_pixels_than_it_says_makes_no_trouble(decoder, form):
    good = pictures.heic(FLAT) if form == "HEIC" else pictures.encode(FLAT, form, speed=10)
    lying = containers.with_other_size(good, 64, 64)
    assert fault_of(decoder, lying) in (None, ErrorKind.BROKEN_PICTURE)
    small = pictures.encode(SMALL, "AVIF")
    assert fault_of(decoder, small) is None
    process = max(decoders_among(psutil.Process().children()), key=lambda one: one.create_time())
    soft, hard = process.rlimit(psutil.RLIMIT_DATA)
    assert 0 < soft < hard // 2


@pytest.mark.parametrize("form", ["AVIF", "HEIC"])
def test_a_file_that_has_fewer_pixels_than_it_says_is_broken_or_stretched(decoder, form):
    good = pictures.heic(SMALL) if form == "HEIC" else pictures.encode(SMALL, form)
    lying = containers.with_other_size(good, 900, 900)
    assert fault_of(decoder, lying) is (ErrorKind.BROKEN_PICTURE if form == "HEIC" else None)
