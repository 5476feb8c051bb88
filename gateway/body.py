"""Bodies of requests: received within limits of size and time, read as JSON or as a form."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import Request

from gateway.errors import ApiError, ErrorCode
from gateway.forms import Fields, parse_multipart, parse_urlencoded
from gateway.places import place_of
from ops.json_text import parse_json
from ops.turns import Turns
from ops.uploads import Body, FullError, TooLargeError, TooSlowError

_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"

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
        """The body, which holds a part of `upload_bytes` until the request is answered.

        owner: whose share of places and bytes the request has, "" for nobody's. deadline: of
        time.monotonic. most: bytes, where fewer than usual are taken.
        Raises ApiError PICTURE_TOO_LARGE, TOO_MANY_REQUESTS, INVALID_PARAMETER, and GoneError.
        """
        most = self._most if most is None else most
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise _too_large(most)
        try:
            seconds = max(deadline - time.monotonic(), 0.0)
            return await place_of(request).receive(request.receive, owner, seconds, most)
        except TooLargeError:
            raise _too_large(most) from None
        except TooSlowError:
            raise ApiError(ErrorCode.INVALID_PARAMETER, "the body did not arrive in time") from None
        except FullError:
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS, "too much is being uploaded") from None

    async def values(self, request: Request, body: Body, deadline: float) -> Values:
        """What a body holds: a JSON object or array, or a form's fields; {} for an empty one.

        JSON is known by its first character, since clients send it under any content type.
        Raises ApiError INVALID_PARAMETER, TOO_MANY_REQUESTS.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        start = body[:64].lstrip()[:1]
        if not body:
            return {}
        if kind == _MULTIPART:
            fields = await self.fields(request, body, deadline)
            return {name: value for name, value in fields.items() if isinstance(value, str)}
        if kind == _FORM and start not in (b"{", b"["):
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
            sentence = str(error)
            detail = sentence[:1].lower() + sentence[1:]
            raise ApiError(ErrorCode.INVALID_PARAMETER, detail) from None
        except TimeoutError:
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS, "too much is being uploaded") from None


def _too_large(most: int) -> ApiError:
    return ApiError(ErrorCode.PICTURE_TOO_LARGE, f"a request may have at most {most} bytes")
