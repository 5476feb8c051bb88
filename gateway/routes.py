"""Requests to the face API: who asks, for what, within which limits; and the answer's form."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Optional

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.access import Access
from gateway.audit import Audit
from gateway.body import Bodies, GoneError, Values, values_of
from gateway.errors import ApiError, ErrorCode
from gateway.metrics import Metrics
from gateway.noting import note
from gateway.parameters import is_app_id, parse
from gateway.requests import log_id_of, request_id_of
from gateway.services import Call, Services
from gateway.table import WRITE, Operation

LOG = logging.getLogger("gateway")

JSON = "application/json"


class Endpoint:
    """Answers the requests of one operation."""

    def __init__(
        self,
        operation: Operation,
        services: Services,
        access: Access,
        bodies: Bodies,
        metrics: Metrics,
        audit: Optional[Audit],
    ) -> None:
        self._operation = operation
        self._services = services
        self._access = access
        self._bodies = bodies
        self._metrics = metrics
        self._audit = audit
        self._path = operation.paths[0]
        self._timeout_s = services.config.request_timeout_ms / 1000.0

    async def __call__(self, request: Request) -> Response:
        """The answer, HTTP 200 whatever it says."""
        started = time.monotonic()
        asked = _Asked()
        error: Optional[ApiError] = None
        result = None
        try:
            result = await self._answer(request, asked, started + self._timeout_s)
        except ApiError as raised:
            error = raised
        except GoneError:
            return Response(status_code=499)
        except Exception:
            LOG.exception("request %s failed", request_id_of(request))
            error = ApiError(ErrorCode.UNKNOWN)
        seconds = time.monotonic() - started
        code = error.code if error else 0
        self._metrics.request(self._path, code, asked.app, seconds)
        changes = self._operation.role == WRITE
        note(self._audit, request, asked.app, error, seconds, changes, asked.values)
        return _response(request, result, error)

    async def _answer(self, request: Request, asked: _Asked, deadline: float) -> Any:
        caller = await self._access.caller(request)
        body = await self._bodies.read(request)
        values = self._values(request, await values_of(request, body))
        del body
        first = values[0] if isinstance(values, list) else values
        asked.values = first
        app = self._access.authorise(caller, self._operation.role, _app_of(first))
        asked.app = app
        apps = None if caller.app is None else frozenset({caller.app})
        call = Call(app, apps, deadline)
        return await self._operation.run(self._services, call, self._parameters(values))

    def _values(self, request: Request, body: Values) -> Values:
        """Parameters of query and body together; the body's count more."""
        query = dict(request.query_params)
        if isinstance(body, dict):
            if self._operation.most:
                raise ApiError(ErrorCode.INVALID_PARAMETER, "a JSON array is expected")
            return {**query, **body}
        if not self._operation.most or not all(isinstance(one, dict) for one in body):
            raise ApiError(ErrorCode.INVALID_PARAMETER, "JSON of another form is expected")
        least, most = self._operation.least, self._operation.most
        if not least <= len(body) <= most:
            raise ApiError(ErrorCode.INVALID_PARAMETER, f"{least} to {most} pictures are expected")
        return [{**query, **one} for one in body]

    def _parameters(self, values: Values) -> Any:
        if isinstance(values, dict):
            return parse(self._operation.takes, values)
        return [parse(self._operation.takes, one) for one in values]


class _Asked:
    """What has been found out about a request so far."""

    def __init__(self) -> None:
        self.app = ""
        self.values: Mapping[str, Any] = {}


def _app_of(values: Mapping[str, Any]) -> Optional[str]:
    """The app that a request names. Raises ApiError APP_ID."""
    app = values.get("appid")
    if app is None or app == "":
        return None
    text = str(app)
    if isinstance(app, bool) or not isinstance(app, (str, int)) or not is_app_id(text):
        raise ApiError(ErrorCode.APP_ID)
    return text


def _response(request: Request, result: Any, error: Optional[ApiError]) -> Response:
    content = {
        "error_code": error.code if error else 0,
        "error_msg": error.message if error else "SUCCESS",
        "log_id": log_id_of(request),
        "timestamp": int(time.time()),
        "cached": 0,
        "result": result,
    }
    return Response(orjson.dumps(content), media_type=JSON)


def failure(request: Request, error: ApiError) -> Response:
    """An error in the face API's form, for what never came to an operation."""
    return _response(request, None, error)
