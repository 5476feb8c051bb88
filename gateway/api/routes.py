"""Requests to the face API: who asks, for what, within which limits; and the answer's form."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.api.endpoint import Endpoint, RequestFacts, json_response
from gateway.api.operations_table import PRIVATE, READ, Operation
from gateway.api.parameters import app_of, parse
from gateway.api.results import Answer
from gateway.auth.audit_notes import Trail, trail_of
from gateway.components import Components
from gateway.context import Call
from gateway.errors import ApiError, ErrorCode
from gateway.http.body import Values
from gateway.http.request_ids import log_id_of


class OperationEndpoint(Endpoint):
    """Answers the requests of one operation, with HTTP 200 whatever the answer says."""

    def __init__(self, components: Components, operation: Operation) -> None:
        super().__init__(components, operation.paths[0])
        self._operation = operation
        self._takes = operation.takes

    async def _answer(self, request: Request, facts: RequestFacts) -> Response:
        access = self._components.access
        caller = await access.caller(request)
        bodies = self._components.bodies
        body = await bodies.read(request, caller.key, facts.deadline)
        values = self._values(request, await bodies.values(request, body, facts.deadline))
        del body
        first = values[0] if isinstance(values, list) else values
        facts.app = access.authorise(caller, self._operation.role, app_of(first))
        apps = None if caller.app is None else frozenset({caller.app})
        trail = self._trail(request, facts, first)
        creates_groups = makes_groups(self._backends.config.create_groups, request.scope["path"])
        call = Call(self._backends, facts.app, apps, facts.deadline, trail, creates_groups)
        result = await self._operation.run(call, self._parameters(values))
        return _response(request, result, None)

    def _refusal(self, request: Request, error: ApiError) -> Response:
        return failure(request, error)

    def _audit_path(self, request: Request) -> str:
        # Of the scope: a request's `url` is made of its Host, which may be any text. And one of
        # the operation's own: a route also takes its path with a line break behind it.
        path = str(request.scope["path"])
        return path if path in self._operation.paths else self._operation.paths[0]

    def _trail(
        self, request: Request, facts: RequestFacts, values: Mapping[str, Any]
    ) -> Trail | None:
        audit = self._components.audit
        if audit is None or self._operation.role == READ:
            return None
        return trail_of(audit, request, facts.started, self._audit_path(request), facts.app, values)

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
            return parse(self._takes, values)
        return [parse(self._takes, one) for one in values]


def makes_groups(setting: str, path: str) -> bool:
    """Whether adding a face makes its group, by `gateway.create_groups` and the path's spelling."""
    return setting == "all" or (setting == "private" and path.startswith(PRIVATE))


def _response(request: Request, result: Any, error: ApiError | None) -> Response:
    content: Answer[Any] = {
        "error_code": error.code if error else 0,
        "error_msg": error.message if error else "SUCCESS",
        "log_id": log_id_of(request),
        "timestamp": int(time.time()),
        "cached": 0,
        "result": result,
    }
    if error is not None and error.detail:
        content["error_detail"] = error.detail
    return json_response(content)


def failure(request: Request, error: ApiError) -> Response:
    """An error in the face API's form, for what never came to an operation."""
    return _response(request, None, error)
