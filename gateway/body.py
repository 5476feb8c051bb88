"""Bodies of requests: received within limits of size and time, read as JSON or as a form."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Union
from urllib.parse import parse_qsl

import orjson
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message

from gateway.errors import ApiError, ErrorCode

# Above this a body is parsed on a thread, so that other requests do not wait for it.
_LARGE = 512 * 1024
_MAX_FIELDS = 64
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"

Values = Union[dict[str, Any], list[Any]]


class GoneError(Exception):
    """The client hung up before it had sent its request."""


class Bodies:
    """Receives bodies. most_bytes: of one; together_bytes: of all that are being received."""

    def __init__(self, most_bytes: int, together_bytes: int, timeout_s: float) -> None:
        self._most = most_bytes
        self._together = together_bytes
        self._timeout_s = timeout_s
        self._receiving = 0

    async def read(self, request: Request) -> bytes:
        """The body. Raises ApiError PICTURE_TOO_LARGE, TOO_MANY_REQUESTS, and GoneError."""
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._most:
            raise self._too_large()
        parts: list[bytes] = []
        try:
            await asyncio.wait_for(self._collect(request, parts), self._timeout_s)
        except asyncio.TimeoutError:
            raise ApiError(ErrorCode.INVALID_PARAMETER, "the body did not arrive in time") from None
        finally:
            self._receiving -= sum(map(len, parts))
        return b"".join(parts)

    async def _collect(self, request: Request, parts: list[bytes]) -> None:
        size = 0
        more = True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            part = message.get("body", b"")
            more = message.get("more_body", False)
            parts.append(part)
            size += len(part)
            self._receiving += len(part)
            if size > self._most:
                raise self._too_large()
            if self._receiving > self._together:
                raise ApiError(ErrorCode.TOO_MANY_REQUESTS, "too much is being uploaded")

    def _too_large(self) -> ApiError:
        return ApiError(
            ErrorCode.PICTURE_TOO_LARGE, f"a request may have at most {self._most} bytes"
        )


async def values_of(request: Request, body: bytes) -> Values:
    """What a body holds: a JSON object or array, or the fields of a form; {} for an empty one.

    JSON is known by its first character, since clients send it under any content type. Raises
    ApiError INVALID_PARAMETER.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    start = body[:64].lstrip()[:1]
    if not body:
        return {}
    if kind == _MULTIPART:
        return await _texts(request, body)
    if kind == _FORM and start not in (b"{", b"["):
        return await _maybe_on_thread(_form, body)
    values = await _maybe_on_thread(_json, body)
    if not isinstance(values, (dict, list)):
        raise ApiError(ErrorCode.INVALID_PARAMETER, "a JSON object or array is expected")
    return values


async def files_of(request: Request, body: bytes) -> dict[str, Union[str, bytes]]:
    """Fields of a multipart form: texts, and files as bytes. Raises ApiError INVALID_PARAMETER."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    replayed = Request(request.scope, receive)
    parser = MultiPartParser(
        replayed.headers,
        replayed.stream(),
        max_files=_MAX_FIELDS,
        max_fields=_MAX_FIELDS,
        max_part_size=len(body) + 1,
    )
    # The body is in memory already, so files stay there as well.
    parser.spool_max_size = len(body) + 1
    fields: dict[str, Union[str, bytes]] = {}
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError):
        raise ApiError(ErrorCode.INVALID_PARAMETER, "the form cannot be read") from None
    for name, value in form.multi_items():
        fields[name] = await value.read() if isinstance(value, UploadFile) else value
    await form.close()
    return fields


async def _texts(request: Request, body: bytes) -> dict[str, Any]:
    fields = await files_of(request, body)
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        raise ApiError(ErrorCode.INVALID_PARAMETER, "the body is not JSON") from None


def _form(body: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=_MAX_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise ApiError(ErrorCode.INVALID_PARAMETER, "the form cannot be read") from None
    return dict(pairs)


async def _maybe_on_thread(work: Any, body: bytes) -> Any:
    if len(body) <= _LARGE:
        return work(body)
    return await asyncio.get_running_loop().run_in_executor(None, work, body)
