"""POST /compare: two pictures in a form, and whether they show the same person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pybase64
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.endpoint import Endpoint, RequestFacts, json_response
from gateway.api.faces import faces_of
from gateway.api.operations_table import READ
from gateway.api.parameters import Image, app_of, parse
from gateway.api.results import CompareError, CompareResult
from gateway.auth.access import Caller
from gateway.components import Components
from gateway.context import Call
from gateway.errors import ApiError, ErrorCode, missing
from inference.scores import SAME_PERSON

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


class Compare(Endpoint):
    """Answers POST /compare: 200, or another status with error_code and message."""

    def __init__(self, components: Components) -> None:
        super().__init__(components, PATH)

    async def _answer(self, request: Request, facts: RequestFacts) -> Response:
        access = self._components.access
        caller = await access.caller(request)
        facts.app = access.authorise(caller, READ, app_of(request.query_params))
        images = await self._images(request, caller, facts.deadline)
        call = Call(self._backends, facts.app, None, facts.deadline)
        similarity = await self._similarity(call, images)
        return json_response(self._judged(similarity))

    def _refusal(self, request: Request, error: ApiError) -> Response:
        return failure(error)

    async def _images(self, request: Request, caller: Caller, deadline: float) -> list[Image]:
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise ApiError(ErrorCode.INVALID_PARAMETER, "a multipart form is expected")
        bodies = self._components.bodies
        body = await bodies.read(request, caller.key, deadline)
        fields = await bodies.fields(request, body, deadline)
        del body
        aligned = fields.get("aligned") in ("true", "1")
        images = []
        for name in _FIELDS:
            if name not in fields:
                raise missing(name)
            sent = fields[name]
            # As a file, or as base64 in a plain field.
            text = sent if isinstance(sent, str) else pybase64.b64encode_as_string(sent)
            values = {"image": text, "image_type": "BASE64"}
            images.append(parse(Image, {**values, "face_type": "ALIGNED"} if aligned else values))
        return images

    async def _similarity(self, call: Call, images: Sequence[Image]) -> float:
        (first, *_), (second, *_) = await faces_of(call, images)
        return float(np.dot(first.known.embedding, second.known.embedding))

    def _judged(self, similarity: float) -> CompareResult:
        score = float(self._backends.library.recogniser.scores.of_cosine(similarity))
        same = score >= SAME_PERSON
        return {
            "similarity": round(min(similarity, 1.0), 6),
            "is_same_person": same,
            "message": "The same person." if same else "Not the same person.",
        }


def failure(error: ApiError) -> Response:
    """An error with an HTTP status of its own."""
    status = _STATUS.get(error.kind, 400)
    content: CompareError = {"error_code": error.code, "message": error.sentence}
    return json_response(content, status)
