"""The recognition pipeline as the gateway uses it: pictures in, faces out, over gRPC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import grpc
import grpc.aio
import orjson
import pybase64

from client.errors import numbered
from client.pipeline.messages import Request
from client.pipeline.wire import PictureSeen, read_document
from gateway.backends.connections import Connections
from gateway.errors import ApiError, ErrorCode
from ops.errors import PICTURE_CODES, ErrorKind

_LOGGER = logging.getLogger(__name__)
# Seconds that a call waits for a connection while there is none: a lost one is back within that.
_PATIENCE_S = 2.0
# Seconds before a call is sent once more: what broke one connection to a process breaks the
# others, and gRPC notices one after the other.
_SETTLING_S = 0.02
# Bytes of a request beside its pictures.
_ENVELOPE = 8192

_TOO_LARGE = {
    ErrorKind.REQUEST_TOO_LARGE.code,
    ErrorKind.PICTURE_TOO_MANY_BYTES.code,
    ErrorKind.PICTURE_TOO_MANY_PIXELS.code,
    ErrorKind.SEARCH_TOO_LARGE.code,
}
_decode = partial(pybase64.b64decode, validate=True)


def picture_error(error: tuple[int, str]) -> ApiError:
    """What an application is told about one of the pipeline's errors (number, sentence)."""
    number, sentence = error
    if number in _TOO_LARGE:
        return ApiError(ErrorCode.PICTURE_TOO_LARGE, sentence)
    if number in PICTURE_CODES:
        return ApiError(ErrorCode.BAD_PICTURE, sentence)
    if number == ErrorKind.BUSY.code:
        return ApiError(ErrorCode.TOO_MANY_REQUESTS)
    _LOGGER.warning("the pipeline answered %d %s", number, sentence)
    return ApiError(ErrorCode.PIPELINE)


class Pipeline:
    """Asks one or several pipelines; made in the running event loop, and for that loop.

    models: stage name to model name, as the newest answer told; empty before the first.
    last_success: `time.monotonic` of the newest answer to pictures, 0.0 before the first.
    """

    def __init__(self, addresses: Sequence[str], connections: int, message_bytes: int) -> None:
        """addresses: HOST:PORT of pipelines that answer alike. connections: to each of them.

        message_bytes: the largest request that they take.
        """
        self.models: dict[str, str] = {}
        self.last_success = 0.0
        self._message_bytes = message_bytes
        self._connections = Connections(addresses, connections)

    async def see(
        self,
        pictures: Sequence[str],
        *,
        want: Collection[str],
        timeout: float,
        max_faces: int = 1,
        min_score: float | None = None,
        aligned: bool = False,
    ) -> list[PictureSeen]:
        """The faces in pictures, one result each in order.

        pictures: base64 of picture files. want: parts of the answer, as in the pipeline's
        options. timeout: seconds for all of it. max_faces: in each picture, largest first.
        min_score: 0 to 1, None for the pipeline's own. aligned: the pictures already are
        aligned faces.
        Raises ApiError: PICTURE_TOO_LARGE, TOO_MANY_REQUESTS, PIPELINE. A picture that cannot be
        used is no error here, see `picture_error`.
        """
        if sum(map(len, pictures)) + _ENVELOPE > self._message_bytes:
            raise ApiError(ErrorCode.PICTURE_TOO_LARGE)
        options = {"want": sorted(want), "max_faces": max_faces, "embedding_format": "base64"}
        if min_score is not None:
            options["min_score"] = min_score
        if aligned:
            options["aligned"] = True
        # Only its bytes are kept while it is waited for: the message would hold the pictures, too.
        request = Request(
            key=["image"] * len(pictures) + ["options"],
            value=[*pictures, orjson.dumps(options).decode("ascii")],
        ).SerializeToString()
        try:
            response = await self._answer(request, time.monotonic() + timeout)
        except grpc.aio.AioRpcError as error:
            raise _of_status(error) from None
        except TimeoutError:
            _LOGGER.warning("no pipeline is there")
            raise ApiError(ErrorCode.PIPELINE) from None
        return self._read(response, len(pictures))

    def state(self) -> list[tuple[str, bool, int]]:
        """Of each connection: its address, whether it is up, and calls under way on it."""
        return [(one.address, one.is_up, one.under_way) for one in self._connections.all]

    async def close(self) -> None:
        """End the connections; calls under way are cancelled."""
        await self._connections.close()

    async def _answer(self, request: bytes, deadline: float) -> Any:
        """The response; sent once more where the connection was lost, which changes nothing.

        deadline: on the clock of `time.monotonic`.
        Raises grpc.aio.AioRpcError, and asyncio.TimeoutError where no pipeline is there.
        """
        first = await self._connections.pick(min(_PATIENCE_S, deadline - time.monotonic()))
        try:
            return await first.call(request, deadline - time.monotonic())
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            _LOGGER.info("sent once more after: %s", error.details())
        await asyncio.sleep(_SETTLING_S)
        second = await self._connections.pick(min(_PATIENCE_S, deadline - time.monotonic()), first)
        return await second.call(request, deadline - time.monotonic())

    def _read(self, response: Any, pictures: int) -> list[PictureSeen]:
        """Raises ApiError for a response without results."""
        if response.err_no and not (response.err_no in PICTURE_CODES and response.value):
            raise picture_error((response.err_no, response.err_msg))
        try:
            document = orjson.loads(response.value[0])
            seen, models = read_document(document, _decode)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            _LOGGER.error("what the pipeline answered is no answer: %s", type(error).__name__)
            raise ApiError(ErrorCode.PIPELINE) from None
        if len(seen) != pictures:
            _LOGGER.error("the pipeline answered %d pictures of %d", len(seen), pictures)
            raise ApiError(ErrorCode.PIPELINE)
        self.models = models
        if not response.err_no:
            self.last_success = time.monotonic()
        return seen


def _of_status(error: grpc.aio.AioRpcError) -> ApiError:
    """The error for a call that ended with a status.

    The pipeline's own refusals start with its number; the others are gRPC's, which refuses
    without one when there are too many calls.
    """
    details = error.details() or ""
    told = numbered(details)
    if told is not None:
        return picture_error(told)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        too_large = "message larger than" in details
        kind = ErrorCode.PICTURE_TOO_LARGE if too_large else ErrorCode.TOO_MANY_REQUESTS
        return ApiError(kind)
    _LOGGER.warning("the pipeline failed: %s %s", error.code().name, details)
    return ApiError(ErrorCode.PIPELINE)
