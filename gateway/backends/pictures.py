"""A picture as a request names it, as the base64 that the pipeline takes."""

from __future__ import annotations

import pybase64

from gateway.backends.url_images import UrlImages
from gateway.errors import ApiError, ErrorCode
from ops.errors import ErrorKind, ServiceError
from ops.pictures.picture_text import without_prefix

# Characters of a `data:` prefix and of blanks around it, beyond the picture's own.
_SURPLUS = 512


async def base64_of(image: str, image_type: str, urls: UrlImages | None, most_bytes: int) -> str:
    """The base64 of a picture that is given as BASE64 or URL.

    urls: None where fetching is switched off. most_bytes: of the picture's file.
    Whether it is a picture is for the pipeline to say. Raises ApiError: IMAGE_TYPE, BAD_PICTURE,
    PICTURE_TOO_LARGE, URL_FAILED.
    """
    if image_type == "BASE64":
        return _cleaned(image, most_bytes)
    if image_type != "URL":
        raise ApiError(ErrorCode.IMAGE_TYPE)
    if urls is None:
        raise ApiError(ErrorCode.IMAGE_TYPE, "URL is switched off")
    data = await urls.fetch(image.strip())
    if not data:
        raise ApiError(ErrorCode.BAD_PICTURE, ServiceError(ErrorKind.EMPTY_PICTURE).message)
    if len(data) > most_bytes:
        raise ApiError(ErrorCode.PICTURE_TOO_LARGE)
    return pybase64.b64encode_as_string(data)


def _cleaned(image: str, most_bytes: int) -> str:
    """Base64 without a ``data:`` prefix, and with the + that an unquoted form made blanks of."""
    # Base64 is 4 characters for 3 bytes; the rest leaves room for line breaks.
    if len(image) > most_bytes * 3 // 2 + _SURPLUS:
        raise ApiError(ErrorCode.PICTURE_TOO_LARGE)
    try:
        if not image.isascii():
            raise ServiceError(ErrorKind.NOT_BASE64)
        text = without_prefix(image).strip()
        if not text:
            raise ServiceError(ErrorKind.EMPTY_PICTURE)
    except ServiceError as error:
        raise ApiError(ErrorCode.BAD_PICTURE, error.message) from None
    return text.replace(" ", "+")
