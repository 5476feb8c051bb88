"""What all paths of the API have in common: time, counts, the audit log, and errors' answers."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.audit_notes import note_refusal
from gateway.components import Parts
from gateway.errors import ApiError, ErrorCode
from gateway.http.request_ids import request_id_of
from ops.errors import without_frames
from web.uploads import GoneError

LOG = logging.getLogger("gateway")


class Asked:
    """What has been found out about a request so far. started, deadline: of time.monotonic.

    app: that it acts in, "" before that is known.
    """

    def __init__(self, started: float, deadline: float) -> None:
        self.started = started
        self.deadline = deadline
        self.app = ""


class Endpoint(ABC):
    """Answers requests. path: to count them under."""

    def __init__(self, parts: Parts, path: str) -> None:
        self._parts = parts
        self._services = parts.services
        self._path = path
        self._timeout_s = parts.services.config.request_timeout_ms / 1000.0

    async def __call__(self, request: Request) -> Response:
        """The answer, whatever happens."""
        started = time.monotonic()
        asked = Asked(started, started + self._timeout_s)
        error: ApiError | None = None
        try:
            response = await self._answer(request, asked)
        except GoneError:
            return Response(status_code=499)
        except ApiError as raised:
            error = without_frames(raised)
            response = self._refusal(request, error)
        except Exception:
            LOG.exception("request %s failed", request_id_of(request))
            error = ApiError(ErrorCode.UNKNOWN)
            response = self._refusal(request, error)
        seconds = time.monotonic() - started
        self._services.metrics.request(self._path, error.code if error else 0, asked.app, seconds)
        if error is not None:
            key = getattr(request.state, "key", "")
            note_refusal(self._parts.audit, request, self._noted(request), asked.app, key, error)
        return response

    def _noted(self, request: Request) -> str:
        """The path of a request as the audit log tells it."""
        return self._path

    @abstractmethod
    async def _answer(self, request: Request, asked: Asked) -> Response:
        """The answer to a good request; what is known of it goes into `asked`.

        Raises ApiError and GoneError.
        """

    @abstractmethod
    def _refusal(self, request: Request, error: ApiError) -> Response:
        """The answer that tells of an error."""


def json_response(content: Any, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")
