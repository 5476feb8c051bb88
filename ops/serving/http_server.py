"""HTTP: JSON in the form of Paddle Serving's gateway, answered in the pipeline's own process.

Paddle Serving's gateway is a second process that parses the JSON, packs it for gRPC and back; for
a picture of 100 KB that took 3.7 ms of processor time, here it takes about 0.1 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import orjson

from ops.errors import HTTP_STATUS, ErrorKind, ServiceError
from ops.figures import MEDIA_TYPE, Written
from ops.serving.executor import Answer, Executor
from runtime.telemetry import tracing
from settings.config import Config
from settings.gateway import is_loopback
from web.json_text import parse_json
from web.origins import is_of_elsewhere, is_own_host
from web.turns import Turns
from web.unpacking import BrokenEncodingError, UnknownEncodingError, unpacker_of
from web.uploads import (
    Body,
    FullError,
    GoneError,
    Receive,
    TooLargeError,
    TooSlowError,
    Upload,
    Uploads,
)

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_LOGGER = logging.getLogger(__name__)
# Requests whose bodies are on their way: they take memory only.
MOST_UPLOADS = 1024
# What a refusal says of how it is to be done (RFC 9110, 15.5.6 and 15.5.16).
_HEADERS = {405: (b"allow", b"POST"), 415: (b"accept-encoding", b"gzip, deflate")}
_TRACED = {"network.protocol.name": "http"}
_FIELDS = {"key", "value", "tensors", "logid", "clientip", "name", "method"}


class PipelineApp:
    """The ASGI application: ``POST /<service>/prediction``, and ``GET /metrics``."""

    def __init__(self, config: Config, executor: Executor) -> None:
        self._limits = config.limits
        self._timeout_s = config.limits.request_timeout_ms / 1000.0
        self._path = f"/{config.name}/prediction"
        self._executor = executor
        # A name is only a rebound page's where nobody but this machine can reach the port.
        self._needs_own_host = is_loopback(config.http_host)
        self._uploads = Uploads(
            MOST_UPLOADS, config.limits.upload_bytes, config.limits.request_bytes
        )
        self._turns = Turns()
        self._figures = Written(config)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except GoneError:
            return
        except _RefusedError as refused:
            await _send(send, refused.status, Answer(refused.error, ""), close=True)
        except FullError:
            await _send(send, 429, Answer(ServiceError(ErrorKind.BUSY), ""), close=True)
        except ServiceError as error:
            status = HTTP_STATUS[error.kind.grpc_status or ""]
            await _send(send, status, Answer(error, ""), close=False)
        except Exception:
            _LOGGER.error("a request failed outside the stages", exc_info=True)
            await _send(send, 500, Answer(ServiceError(ErrorKind.INTERNAL), ""), close=True)

    async def _route(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if is_of_elsewhere(headers) or (self._needs_own_host and not is_own_host(headers)):
            raise _RefusedError(403, ServiceError(ErrorKind.FOREIGN_PAGE))
        if (scope["path"], scope["method"]) == ("/metrics", "GET"):
            text = await asyncio.to_thread(self._figures.text)
            await _respond(send, 200, MEDIA_TYPE, text)
            return
        if scope["path"] != self._path:
            raise _RefusedError(404, ServiceError(ErrorKind.NO_SUCH_SERVICE))
        if scope["method"] != "POST":
            raise _RefusedError(405, ServiceError(ErrorKind.MALFORMED_REQUEST, "Use POST."))
        # Before a byte of the body is read: refusing must cost less than answering.
        self._executor.admission.check()
        upload = self._uploads.begin()
        try:
            with tracing.request("pipeline request", headers, _TRACED) as span:
                keys, values = await self._parse(await self._read(scope, receive, upload))
                work = self._executor.answer(keys, values, span=span)
                answer = await _unless_gone(work, receive)
        finally:
            self._uploads.end(upload)
        if answer is not None:
            await _send(send, 200, answer, close=False)

    async def _read(self, scope: Message, receive: Receive, upload: Upload) -> Body:
        """The body, unpacked, within the limits on bytes and time."""
        declared = next((int(v) for k, v in scope["headers"] if k == b"content-length"), 0)
        if declared > self._limits.request_bytes:
            raise _RefusedError(413, ServiceError(ErrorKind.REQUEST_TOO_LARGE))
        try:
            unpacker = unpacker_of(scope["headers"])
            return await self._uploads.receive(upload, receive, self._timeout_s, unpacker=unpacker)
        except UnknownEncodingError as error:
            raise _RefusedError(415, ServiceError(ErrorKind.BAD_ENCODING, f"{error}.")) from None
        except BrokenEncodingError as error:
            raise _RefusedError(400, ServiceError(ErrorKind.BAD_ENCODING, f"{error}.")) from None
        except TooLargeError:
            raise _RefusedError(413, ServiceError(ErrorKind.REQUEST_TOO_LARGE)) from None
        except TooSlowError:
            raise _RefusedError(408, ServiceError(ErrorKind.TIMEOUT)) from None

    async def _parse(self, body: Body) -> tuple[list[str], list[str]]:
        """Keys and values; those of a large body on a thread, one after the other."""
        try:
            return await self._turns.parse(parse_body, body, self._timeout_s)
        except TimeoutError:
            raise FullError from None
        except ServiceError as error:
            raise _RefusedError(400, error) from None


def parse_body(body: Body) -> tuple[list[str], list[str]]:
    """Keys and values of a request in JSON.

    Raises ServiceError: MALFORMED_REQUEST, UNKNOWN_KEY, UNSUPPORTED_TENSOR.
    """
    try:
        content = parse_json(body or b"{}")
    except ValueError as error:
        raise ServiceError(ErrorKind.MALFORMED_REQUEST, f"{error}.") from None
    if not isinstance(content, dict):
        raise ServiceError(ErrorKind.MALFORMED_REQUEST, "The body is not a JSON object.")
    unknown = next((name for name in content if name not in _FIELDS), None)
    if unknown is not None:
        raise ServiceError(ErrorKind.UNKNOWN_KEY, f"The field {unknown[:64]!r} is not known.")
    if content.get("tensors"):
        raise ServiceError(ErrorKind.UNSUPPORTED_TENSOR)
    keys, values = content.get("key") or [], content.get("value") or []
    for strings in (keys, values):
        if not isinstance(strings, list) or not all(isinstance(s, str) for s in strings):
            raise ServiceError(
                ErrorKind.MALFORMED_REQUEST, "key and value have to be lists of strings."
            )
    return keys, values


class _RefusedError(Exception):
    """A request that is answered with an HTTP status of its own; the connection is closed."""

    def __init__(self, status: int, error: ServiceError) -> None:
        super().__init__(status)
        self.status = status
        self.error = error


async def _unless_gone(work: Any, receive: Receive) -> Answer | None:
    """The answer; None when the client hangs up first, and the work is given up."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError, ServiceError):
            await working
        return None
    finally:
        gone.cancel()


async def _send(send: Send, status: int, answer: Answer, close: bool) -> None:
    error = answer.error
    body = orjson.dumps(
        {
            "err_no": error.code if error else 0,
            "err_msg": error.message if error else "",
            "key": ["result"] if answer.document else [],
            "value": [answer.document] if answer.document else [],
            "tensors": [],
        }
    )
    more = [_HEADERS[status]] if status in _HEADERS else []
    if close:
        more.append((b"connection", b"close"))
    await _respond(send, status, "application/json", body, more)


async def _respond(
    send: Send, status: int, media_type: str, body: bytes, more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    headers = [
        (b"content-type", media_type.encode("ascii")),
        (b"content-length", str(len(body)).encode("ascii")),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
