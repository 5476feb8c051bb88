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
from gateway.components import Components
from gateway.errors import ApiError, ErrorCode
from gateway.http.request_ids import request_id_of
from ops.errors import without_frames
from runtime.telemetry import tracing
from web.uploads import GoneError

# Errors that are the service's own.
_FAULTS = {
    kind.number
    for kind in (ErrorCode.UNKNOWN, ErrorCode.PIPELINE, ErrorCode.DATABASE, ErrorCode.AUDIT)
}
LOG = logging.getLogger("gateway")


class RequestFacts:
    """What has been found out about a request so far. started, deadline: of time.monotonic.

    app: that it acts in, "" before that is known.
    """

    def __init__(self, started: float, deadline: float) -> None:
        self.started = started
        self.deadline = deadline
        self.app = ""


class Endpoint(ABC):
    """Answers requests. path: to count them under."""

    def __init__(self, components: Components, path: str) -> None:
        self._components = components
        self._backends = components.backends
        self._path = path
        self._timeout_s = components.backends.config.request_timeout_ms / 1000.0

    async def __call__(self, request: Request) -> Response:
        """The answer, whatever happens."""
        started = time.monotonic()
        facts = RequestFacts(started, started + self._timeout_s)
        error: ApiError | None = None
        try:
            response = await self._answer(request, facts)
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
        code = error.code if error else 0
        self._backends.metrics.request(self._path, code, facts.app, seconds)
        span = tracing.CURRENT.get()
        if span is not None:
            span.set({"face.error_code": code, "face.app": facts.app})
            if code in _FAULTS:
                span.fail(str(code))
        if error is not None:
            key = getattr(request.state, "key", "")
            path = self._audit_path(request)
            note_refusal(self._components.audit, request, path, facts.app, key, error)
        return response

    def _audit_path(self, request: Request) -> str:
        """The path of a request as the audit log tells it."""
        return self._path

    @abstractmethod
    async def _answer(self, request: Request, facts: RequestFacts) -> Response:
        """The answer to a good request; what is known of it goes into `facts`.

        Raises ApiError and GoneError.
        """

    @abstractmethod
    def _refusal(self, request: Request, error: ApiError) -> Response:
        """The answer that tells of an error."""


def json_response(content: Any, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")
