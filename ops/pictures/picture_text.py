"""A picture as text: base64 in the spellings that clients send, with or without ``data:``."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pybase64

from ops.errors import ErrorKind, ServiceError

# RFC 2397: a media type, parameters, perhaps ";base64", all of them optional, then a comma.
_DATA_URL = re.compile(r"\s*data:([^,]{0,256}),", re.IGNORECASE)
_IN_BASE64 = re.compile(r"(?:^|;)\s*base64\s*$", re.IGNORECASE)
_BLANKS = b" \t\r\n\f\v"
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")  # RFC 4648, section 5


def without_prefix(text: str) -> str:
    """The base64 behind a ``data:`` prefix; a text that has none as it is.

    Raises ServiceError: NOT_BASE64 for a ``data:`` URL that is not in base64.
    """
    prefix = _DATA_URL.match(text)
    if prefix is None:
        return text
    if not _IN_BASE64.search(prefix[1]):
        raise ServiceError(ErrorKind.NOT_BASE64, "The data: URL does not say that it is base64.")
    text = text[prefix.end() :]
    # As programs quote URLs. Base64 has no percent sign.
    return unquote_to_bytes(text).decode("latin-1") if "%" in text else text


def plain_base64(text: bytes) -> bytes:
    """The one spelling that bytes have: standard base64 without blanks and padding."""
    return text.translate(_FROM_URL_SAFE, _BLANKS).rstrip(b"=")


def from_base64(text: str, max_bytes: int) -> bytes:
    """The bytes behind base64, also behind a ``data:`` prefix.

    Blanks and line breaks may stand anywhere, - and _ for + and /, and the padding may be missing.
    Raises ServiceError: EMPTY_PICTURE, NOT_BASE64, PICTURE_TOO_MANY_BYTES.
    """
    text = without_prefix(text)
    if len(text) > max_bytes * 3 // 2 + 4:
        raise ServiceError(ErrorKind.PICTURE_TOO_MANY_BYTES, f"More than {max_bytes} bytes.")
    data = _decoded(text)
    if not data:
        raise ServiceError(ErrorKind.EMPTY_PICTURE)
    if len(data) > max_bytes:
        raise ServiceError(ErrorKind.PICTURE_TOO_MANY_BYTES, f"More than {max_bytes} bytes.")
    return data


def _decoded(text: str) -> bytes:
    try:
        # As nearly everybody spells it: straight from the text, without a copy of that.
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass
    try:
        raw = plain_base64(text.encode("ascii"))
        return pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except ValueError:
        raise ServiceError(ErrorKind.NOT_BASE64) from None
