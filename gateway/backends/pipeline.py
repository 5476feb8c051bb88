"""The recognition pipeline as the gateway uses it: pictures in, faces out, over gRPC."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import numpy as np
import orjson
import pybase64

from gateway.backends.connections import Connections
from gateway.errors import ApiError, ErrorCode
from paddle_fence.messages import pipeline_messages

_LOGGER = logging.getLogger(__name__)
# Seconds that a call waits for a connection while there is none: a lost one is back within that.
_PATIENCE_S = 2.0
# Seconds before a call is sent once more: what broke one connection to a process breaks the
# others, and gRPC notices one after the other.
_SETTLING_S = 0.02
# Bytes of a request beside its pictures.
_ENVELOPE = 8192

# The pipeline's numbers. See ops/errors.py.
_BUSY = 3003
_TOO_LARGE = (5006, 5104, 5105)
_BAD_PICTURE = (5101, 5102, 5103, 5106, 5107)
_OF_PICTURES = range(5100, 5200)


@dataclass(frozen=True)
class FaceSeen:
    """A face in a picture; what was not asked for is None (`attributes`: empty).

    box: x1 y1 x2 y2 in pixels of the upright picture. score: 0 to 1, the detector's.
    landmarks: 5 points x y in pixels: left eye, right eye, nose, left and right mouth corner.
    embedding: (D,) float32 of unit length; no_embedding: why there is none, where it was asked for.
    liveness: 0 to 1, 1 is live.
    angle: yaw, pitch and roll in degrees. quality: as the pipeline says it.
    mesh: (468, 3) float32, x y z in pixels. aligned: PNG of the aligned crop.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: list[list[float]] | None
    embedding: np.ndarray | None = field(repr=False)
    attributes: dict[str, Any]
    angle: dict[str, Any] | None
    quality: dict[str, Any] | None
    mesh: np.ndarray | None
    liveness: float | None
    aligned: bytes | None
    no_embedding: str | None = None


@dataclass(frozen=True)
class PictureSeen:
    """A picture's faces, largest first.

    width, height: pixels of the upright picture, 0 where there is an error.
    error: the pipeline's number and sentence where it could not use the picture.
    """

    width: int
    height: int
    faces: tuple[FaceSeen, ...]
    error: tuple[int, str] | None = None


def picture_error(error: tuple[int, str]) -> ApiError:
    """What an application is told about one of the pipeline's errors (number, sentence)."""
    number, sentence = error
    if number in _TOO_LARGE:
        return ApiError(ErrorCode.PICTURE_TOO_LARGE, sentence)
    if number in _BAD_PICTURE:
        return ApiError(ErrorCode.BAD_PICTURE, sentence)
    if number == _BUSY:
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
        self._request = pipeline_messages().Request
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
        request = self._request(
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
        if response.err_no and not (response.err_no in _OF_PICTURES and response.value):
            raise picture_error((response.err_no, response.err_msg))
        try:
            document = orjson.loads(response.value[0])
            seen = [_picture(image) for image in document["images"]]
            models = dict(document["models"])
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
    numbered = re.match(r"(\d{4}) (.*)", details, re.DOTALL)
    if numbered:
        return picture_error((int(numbered.group(1)), numbered.group(2)))
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        too_large = "message larger than" in details
        kind = ErrorCode.PICTURE_TOO_LARGE if too_large else ErrorCode.TOO_MANY_REQUESTS
        return ApiError(kind)
    _LOGGER.warning("the pipeline failed: %s %s", error.code().name, details)
    return ApiError(ErrorCode.PIPELINE)


def _picture(image: Mapping[str, Any]) -> PictureSeen:
    error = image.get("error")
    if error is not None:
        return PictureSeen(0, 0, (), (int(error["code"]), str(error["message"])))
    faces = tuple(_face(face) for face in image["faces"])
    return PictureSeen(int(image["width"]), int(image["height"]), faces)


def _face(face: Mapping[str, Any]) -> FaceSeen:
    x1, y1, x2, y2 = face["box"]
    liveness = face.get("liveness")
    aligned = face.get("aligned")
    mesh = _floats(face.get("mesh"))
    return FaceSeen(
        box=(x1, y1, x2, y2),
        score=face["score"],
        landmarks=face.get("landmarks"),
        embedding=_floats(face.get("embedding")),
        attributes=face.get("attributes") or {},
        angle=face.get("angle"),
        quality=face.get("quality"),
        mesh=None if mesh is None else mesh.reshape(-1, 3),
        liveness=None if liveness is None else float(liveness["score"]),
        aligned=None if aligned is None else pybase64.b64decode(aligned, validate=True),
        no_embedding=face.get("no_embedding"),
    )


def _floats(value: Any) -> np.ndarray | None:
    """float32 from base64 of little-endian float32, or from a list."""
    if isinstance(value, str):
        return np.frombuffer(pybase64.b64decode(value, validate=True), "<f4")
    return None if value is None else np.asarray(value, np.float32)
