"""POST /compare: two pictures in a form, and whether they show the same person."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Sequence
from typing import Optional

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.access import Access
from gateway.audit import Audit
from gateway.body import Bodies, GoneError, files_of
from gateway.errors import ApiError, ErrorCode, missing
from gateway.faces import faces_of
from gateway.metrics import Metrics
from gateway.noting import note
from gateway.parameters import Image, is_app_id, parse
from gateway.requests import request_id_of
from gateway.services import Call, Services
from gateway.table import READ
from library.scores import SAME_PERSON

LOG = logging.getLogger("gateway")

PATH = "/compare"
_FIELDS = ("image1", "image2")
_STATUS = {
    ErrorCode.UNKNOWN: 500,
    ErrorCode.UNSUPPORTED_METHOD: 405,
    ErrorCode.NO_PERMISSION: 403,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.INVALID_TOKEN: 401,
    ErrorCode.EXPIRED_TOKEN: 401,
    ErrorCode.PICTURE_TOO_LARGE: 413,
    ErrorCode.PIPELINE: 503,
    ErrorCode.DATABASE: 503,
}


class Compare:
    """Answers POST /compare."""

    def __init__(
        self,
        services: Services,
        access: Access,
        bodies: Bodies,
        metrics: Metrics,
        audit: Optional[Audit],
    ) -> None:
        self._services = services
        self._access = access
        self._bodies = bodies
        self._metrics = metrics
        self._audit = audit
        self._timeout_s = services.config.request_timeout_ms / 1000.0

    async def __call__(self, request: Request) -> Response:
        """200 with the comparison, or another status with error_code and message."""
        started = time.monotonic()
        error: Optional[ApiError] = None
        app = ""
        try:
            caller = await self._access.caller(request)
            app = self._access.authorise(caller, READ, _app_of(request))
            images = await self._images(request)
            similarity = await self._similarity(Call(app, None, started + self._timeout_s), images)
            return _json(200, self._judged(similarity))
        except ApiError as raised:
            error = raised
        except GoneError:
            return Response(status_code=499)
        except Exception:
            LOG.exception("request %s failed", request_id_of(request))
            error = ApiError(ErrorCode.UNKNOWN)
        finally:
            self._note(request, app, error, time.monotonic() - started)
        return failure(error)

    def _note(self, request: Request, app: str, error: Optional[ApiError], seconds: float) -> None:
        self._metrics.request(PATH, error.code if error else 0, app, seconds)
        note(self._audit, request, app, error, seconds)

    async def _images(self, request: Request) -> list[Image]:
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise ApiError(ErrorCode.INVALID_PARAMETER, "a multipart form is expected")
        fields = await files_of(request, await self._bodies.read(request))
        aligned = fields.get("aligned") in ("true", "1")
        images = []
        for name in _FIELDS:
            if name not in fields:
                raise missing(name)
            sent = fields[name]
            # As a file, or as base64 in a plain field.
            text = sent if isinstance(sent, str) else base64.b64encode(sent).decode("ascii")
            values = {"image": text, "image_type": "BASE64"}
            images.append(parse(Image, {**values, "face_type": "ALIGNED"} if aligned else values))
        return images

    async def _similarity(self, call: Call, images: Sequence[Image]) -> float:
        (first, *_), (second, *_) = await faces_of(self._services, call, images)
        return float(np.dot(first.known.embedding, second.known.embedding))

    def _judged(self, similarity: float) -> dict[str, object]:
        score = float(self._services.people.recogniser.scores.of_cosine(similarity))
        same = score >= SAME_PERSON
        return {
            "similarity": round(min(similarity, 1.0), 6),
            "is_same_person": same,
            "message": "The same person." if same else "Not the same person.",
        }


def _app_of(request: Request) -> Optional[str]:
    app = request.query_params.get("appid")
    if app and not is_app_id(app):
        raise ApiError(ErrorCode.APP_ID)
    return app or None


def failure(error: ApiError) -> Response:
    """An error with an HTTP status of its own."""
    status = _STATUS.get(error.kind, 400)
    return _json(status, {"error_code": error.code, "message": error.message})


def _json(status: int, content: dict[str, object]) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
