"""Bodies of requests: received within limits of size and time, read as JSON or as a form."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pybase64
from starlette.requests import Request

from gateway.errors import ApiError, ErrorCode
from gateway.http.forms import Fields, parse_multipart, parse_urlencoded
from gateway.http.places import place_of
from web.json_text import MARK, parse_json
from web.turns import Turns
from web.unpacking import BrokenEncodingError, UnknownEncodingError, unpacker_of
from web.uploads import Body, FullError, TooLargeError, TooSlowError

_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
# How a form begins that does not say that it is one; no JSON begins so.
_PAIR = re.compile(rb"[A-Za-z0-9_.-]{1,64}=")
_START = 128

T = TypeVar("T")
Values = dict[str, Any] | list[Any]


class Bodies:
    """Receives bodies and reads them. most_bytes: of one."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._turns = Turns()

    async def read(
        self, request: Request, owner: str, deadline: float, most: int | None = None
    ) -> Body:
        """The body, unpacked, which holds a part of `upload_bytes` until the request is answered.

        owner: whose share of places and bytes the request has, "" for nobody's. deadline: of
        time.monotonic. most: bytes, where fewer than usual are taken.
        Raises ApiError PICTURE_TOO_LARGE, TOO_MANY_REQUESTS, INVALID_PARAMETER, and GoneError.
        """
        most = self._most if most is None else most
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise _too_large(most)
        try:
            unpacker = unpacker_of(request.headers.raw)
            seconds = max(deadline - time.monotonic(), 0.0)
            return await place_of(request).receive(request.receive, owner, seconds, most, unpacker)
        except (UnknownEncodingError, BrokenEncodingError) as error:
            raise _invalid(error) from None
        except TooLargeError:
            raise _too_large(most) from None
        except TooSlowError:
            raise ApiError(ErrorCode.INVALID_PARAMETER, "the body did not arrive in time") from None
        except FullError:
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS, "too much is being uploaded") from None

    async def values(self, request: Request, body: Body, deadline: float) -> Values:
        """What a body holds: a JSON object or array, or a form's fields; {} for an empty one.

        JSON and forms are known by how they begin, since clients send them under any content type.
        Raises ApiError INVALID_PARAMETER, IMAGE_TYPE, TOO_MANY_REQUESTS.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        start = bytes(body[:_START]).removeprefix(MARK).lstrip()
        if not body:
            return {}
        if not start.startswith((b"{", b"[")):
            if kind == _MULTIPART:
                return _with_picture(await self.fields(request, body, deadline))
            if kind == _FORM or _PAIR.match(start):
                return await self._parsed(parse_urlencoded, body, deadline)
        values = await self._parsed(parse_json, body, deadline)
        if not isinstance(values, (dict, list)):
            raise ApiError(ErrorCode.INVALID_PARAMETER, "a JSON object or array is expected")
        return values

    async def fields(self, request: Request, body: Body, deadline: float) -> Fields:
        """Fields of a multipart form: texts, and files as bytes.

        Raises ApiError INVALID_PARAMETER, TOO_MANY_REQUESTS.
        """
        content_type = request.headers.get("content-type", "")
        return await self._parsed(lambda body: parse_multipart(body, content_type), body, deadline)

    async def _parsed(self, parse: Callable[[Body], T], body: Body, deadline: float) -> T:
        try:
            seconds = max(deadline - time.monotonic(), 0.0)
            return await self._turns.parse(parse, body, seconds)
        except ValueError as error:
            raise _invalid(error) from None
        except TimeoutError:
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS, "too much is being uploaded") from None


def _with_picture(fields: Fields) -> dict[str, Any]:
    """The texts of a form, and its picture, which may be a file. Raises ApiError IMAGE_TYPE."""
    values = {name: value for name, value in fields.items() if isinstance(value, str)}
    picture = fields.get("image")
    if isinstance(picture, bytes):
        image_type = values.get("image_type") or "BASE64"
        if image_type.upper() != "BASE64":
            raise ApiError(ErrorCode.IMAGE_TYPE, "a file is the picture itself")
        values.update(image=pybase64.b64encode_as_string(picture), image_type=image_type)
    return values


def _invalid(error: ValueError) -> ApiError:
    """The error that has a sentence of elsewhere as its detail."""
    sentence = str(error)
    return ApiError(ErrorCode.INVALID_PARAMETER, sentence[:1].lower() + sentence[1:])


def _too_large(most: int) -> ApiError:
    return ApiError(ErrorCode.PICTURE_TOO_LARGE, f"a request may have at most {most} bytes")
