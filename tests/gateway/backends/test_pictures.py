"""Pictures as requests name them: base64 in the forms that clients send, and URLs."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import parse_qs, urlencode

import pytest

from gateway.backends.pictures import base64_of
from gateway.errors import ApiError, ErrorCode

MOST = 3000
# All 64 characters of base64.
FILE = bytes(range(256)) * 4
TEXT = base64.b64encode(FILE).decode("ascii")


class Web:
    """What the gateway fetches: any URL is this file."""

    def __init__(self, file: bytes) -> None:
        self.file = file
        self.asked: list[str] = []

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        return self.file


def cleaned(image, image_type="BASE64", urls=None):
    return asyncio.run(base64_of(image, image_type, urls, MOST))


def refused(*args, **kwargs):
    with pytest.raises(ApiError) as caught:
        cleaned(*args, **kwargs)
    return caught.value


def test_base64_is_taken_as_it_is():
    assert cleaned(TEXT) == TEXT


@pytest.mark.parametrize(
    "prefix",
    [
        "data:image/jpeg;base64,",
        "data:image/svg+xml;base64,",
        "data:image/svg xml;base64,",  # from a form that was not quoted
        "data:image/jpeg;charset=utf-8;base64,",
        "DATA:;BASE64,",
        " \n",
    ],
)
def test_a_prefix_is_cut_off(prefix):
    assert cleaned(prefix + TEXT) == TEXT


def test_what_a_form_without_quotes_did_to_the_plus_signs_is_undone():
    assert "+" in TEXT
    (received,) = parse_qs(f"image={TEXT.rstrip('=')}")["image"]
    assert " " in received
    assert cleaned(received) == TEXT.rstrip("=")
    (quoted,) = parse_qs(urlencode({"image": TEXT}))["image"]
    assert cleaned(quoted) == TEXT


def test_line_breaks_are_left_to_the_pipeline_which_takes_them():
    wrapped = base64.encodebytes(FILE).decode("ascii")
    assert cleaned(wrapped) == wrapped.strip()


@pytest.mark.parametrize("image", ["", " \r\n", "data:image/png;base64,", "data:;base64, \n"])
def test_an_empty_picture_is_a_bad_one(image):
    assert refused(image).kind is ErrorCode.BAD_PICTURE


@pytest.mark.parametrize("image", ["图片", "\ud800", "AAAA\xa0"])
def test_what_is_not_ascii_is_a_bad_picture(image):
    assert refused(image).kind is ErrorCode.BAD_PICTURE


@pytest.mark.parametrize("character", ["A", " ", "图"])
def test_too_much_is_refused_before_anything_else(character):
    assert refused(character * (MOST * 2)).kind is ErrorCode.PICTURE_TOO_LARGE


def test_a_picture_of_just_the_largest_size_is_taken_also_with_line_breaks():
    wrapped = base64.encodebytes(bytes(MOST)).decode("ascii")
    assert cleaned("data:image/jpeg;base64," + wrapped) == wrapped.strip()


def test_a_url_becomes_the_base64_of_its_file():
    web = Web(FILE)
    assert cleaned(" http://a.example/b.jpg\n", "URL", web) == TEXT
    assert web.asked == ["http://a.example/b.jpg"]


def test_an_empty_file_behind_a_url_is_a_bad_picture():
    assert refused("http://a.example/", "URL", Web(b"")).kind is ErrorCode.BAD_PICTURE


def test_a_file_behind_a_url_that_is_larger_than_a_picture_may_be_is_refused():
    error = refused("http://a.example/", "URL", Web(bytes(MOST + 1)))
    assert error.kind is ErrorCode.PICTURE_TOO_LARGE


def test_urls_can_be_switched_off():
    error = refused("http://a.example/", "URL")
    assert (error.kind, error.detail) == (ErrorCode.IMAGE_TYPE, "URL is switched off")


@pytest.mark.parametrize("image_type", ["", "base64", "FILE", "FACE_TOKEN"])
def test_another_type_is_a_malformed_parameter(image_type):
    assert refused(TEXT, image_type, Web(FILE)).kind is ErrorCode.IMAGE_TYPE
