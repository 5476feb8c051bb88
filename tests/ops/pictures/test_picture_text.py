"""A picture as text, in the spellings that clients send."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import quote

import pytest

from gateway.backends.pictures import base64_of
from gateway.errors import ApiError, ErrorCode
from ops.errors import ErrorKind, ServiceError
from ops.pictures.picture_text import from_base64
from tests.support import pictures

# All 64 characters of base64, and padding.
FILE = bytes(range(256)) * 4
TEXT = pictures.base64_of(FILE)
URL_SAFE = base64.urlsafe_b64encode(FILE).decode("ascii")
WRAPPED = base64.encodebytes(FILE).decode("ascii")

SPELLINGS = {
    "plain": TEXT,
    "line breaks": WRAPPED,
    "Windows line breaks": WRAPPED.replace("\n", "\r\n"),
    "blanks around it": f" \n{TEXT}\t\n",
    "no padding": TEXT.rstrip("="),
    "url-safe": URL_SAFE,
    "url-safe without padding": URL_SAFE.rstrip("="),
    "a data: URL": "data:image/jpeg;base64," + TEXT,
    "upper case": "DATA:IMAGE/JPEG;BASE64," + TEXT,
    "a parameter": "data:image/jpeg;charset=utf-8;base64," + TEXT,
    "a quoted parameter": 'data:image/jpeg;name="a b.jpg";base64,' + TEXT,
    "no media type": "data:;base64," + TEXT,
    "no semicolon either": "data:base64," + TEXT,
    "an SVG's media type": "data:image/svg+xml;base64," + TEXT,
    "blanks in it": " data:image/png ; base64 , \n" + TEXT,
    "a data: URL with line breaks": "data:image/png;base64,\r\n" + WRAPPED,
    "a data: URL as it stands in a URL": "data:image/png;base64," + quote(TEXT, safe=""),
    "a data: URL without padding": "data:image/png;base64," + URL_SAFE.rstrip("="),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_every_spelling_is_the_same_picture_to_the_pipeline_and_behind_the_gateway(case):
    text = SPELLINGS[case]
    assert from_base64(text, 2000) == FILE
    passed_on = asyncio.run(base64_of(text, "BASE64", None, 2000))
    assert from_base64(passed_on, 2000) == FILE


BAD = {
    "other characters": ("@@@@", ErrorKind.NOT_BASE64),
    "a length that none has": ("abcde", ErrorKind.NOT_BASE64),
    "an exclamation mark": ("Zm9v!", ErrorKind.NOT_BASE64),
    "letters of elsewhere": ("ü" * 8, ErrorKind.NOT_BASE64),
    "padding in the middle": ("Zg==Zg==", ErrorKind.NOT_BASE64),
    "a data: URL of text": ("data:text/plain,hello", ErrorKind.NOT_BASE64),
    "a data: URL of nothing": ("data:,", ErrorKind.NOT_BASE64),
    "a comma": ("data," + TEXT, ErrorKind.NOT_BASE64),
    "nothing": ("", ErrorKind.EMPTY_PICTURE),
    "blanks": (" \r\n", ErrorKind.EMPTY_PICTURE),
    "padding alone": ("==", ErrorKind.EMPTY_PICTURE),
    "a data: URL that ends": ("data:image/png;base64,", ErrorKind.EMPTY_PICTURE),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_picture_is_refused_with_the_reason(case):
    text, kind = BAD[case]
    with pytest.raises(ServiceError) as caught:
        from_base64(text, 2000)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "EMPTY_PICTURE"),
        ("data:image/png;base64, ", "EMPTY_PICTURE"),
        ("data:text/plain,hello", "NOT_BASE64: The data: URL does not say that it is base64."),
        ("图片", "NOT_BASE64"),
    ],
)
def test_the_gateway_says_what_the_pipeline_would(text, said):
    with pytest.raises(ApiError) as caught:
        asyncio.run(base64_of(text, "BASE64", None, 2000))
    assert caught.value.kind is ErrorCode.BAD_PICTURE
    assert caught.value.detail.startswith(said)


@pytest.mark.parametrize(
    "text", ["A" * 1000, pictures.base64_of(bytes(101)), "data:;base64," + TEXT]
)
def test_too_much_is_refused(text):
    with pytest.raises(ServiceError) as caught:
        from_base64(text, 100)
    assert caught.value.kind is ErrorKind.PICTURE_TOO_MANY_BYTES
