"""The FastAPI application: every path, and what is opened at its start and closed at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.compare import PATH as COMPARE
from gateway.api.compare import Compare
from gateway.api.compare import failure as plain_failure
from gateway.api.docs_page import add_docs
from gateway.api.documents import (
    COMPARE_ERRORS,
    DESCRIPTION,
    TITLE,
    described,
    described_compare,
    tag_of,
)
from gateway.api.endpoint import json_response
from gateway.api.oauth import PATH as TOKEN
from gateway.api.oauth import token_endpoint
from gateway.api.operations_table import OPERATIONS, Operation
from gateway.api.results import Answer, CompareResult
from gateway.api.routes import OperationEndpoint, failure
from gateway.auth.audit import Audit
from gateway.auth.audit_notes import note_refusal
from gateway.auth.keys import ADMIN
from gateway.auth.proxies import Proxied
from gateway.auth.refusals import OTHER
from gateway.components import Components
from gateway.errors import ApiError, ErrorCode
from gateway.http.forms import MOST_FIELDS
from gateway.http.places import Places
from gateway.http.request_ids import RequestIds
from gateway.http.traced import Traced
from gateway.monitoring.health import TIMEOUT_S, HealthResult
from gateway.monitoring.metrics import Metrics
from ops.figures import MEDIA_TYPE
from runtime.telemetry import tracing
from web.origins import is_own_host

VERSION = "1"
_API = ("/face-api/", "/rest/")
_UNLIMITED = ("/health", "/metrics")


async def _nothing_more() -> None:
    pass


def make_app(
    components: Components, started: Callable[[], Awaitable[None]] = _nothing_more
) -> ASGIApp:
    """The whole application. started: awaited when all is open, before a request is accepted."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await components.backends.library.start()
        try:
            await started()
            yield
        finally:
            await components.close()

    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    config = components.backends.config
    for operation in OPERATIONS:
        _add(app, operation, components)
    _add_compare(app, components)
    timeout_s = config.request_timeout_ms / 1000.0
    token = token_endpoint(components.access, components.bodies, timeout_s, components.audit)
    app.add_route(TOKEN, token, methods=["GET", "POST"], include_in_schema=False)
    _add_operation(app, components)
    add_docs(app, TITLE)
    app.add_exception_handler(HTTPException, _no_such_path)
    metrics = components.backends.metrics
    gate: ASGIApp = Gate(app, components.places, metrics, not config.needs_keys, components.audit)
    if tracing.is_on():
        gate = Traced(gate, _UNLIMITED)
    return Proxied(RequestIds(gate), config.trusted_proxies)


def _add(app: FastAPI, operation: Operation, components: Components) -> None:
    endpoint = OperationEndpoint(components, operation)
    model: Any = Answer
    described_once = described(operation)

    async def answer(request: Request) -> Response:
        return await endpoint(request)

    for path in operation.paths:
        for method in ("POST", "GET") if operation.get else ("POST",):
            extra = dict(described_once)
            if method == "GET":
                del extra["requestBody"]
            app.add_api_route(
                path,
                answer,
                methods=[method],
                tags=[tag_of(path)],
                summary=path.rpartition("/v3/")[2].rpartition("/facehub/")[2],
                description=(operation.run.__doc__ or "").strip(),
                operation_id=f"{method.lower()}{path}".replace("/", "_"),
                response_model=model[operation.answers],
                openapi_extra=extra,
            )


def _add_compare(app: FastAPI, components: Components) -> None:
    compare = Compare(components)

    async def answer(request: Request) -> Response:
        return await compare(request)

    app.add_api_route(
        COMPARE,
        answer,
        methods=["POST"],
        tags=[tag_of(COMPARE)],
        summary="compare",
        description="Whether two pictures show the same person.",
        response_model=CompareResult,
        responses=COMPARE_ERRORS,
        openapi_extra=described_compare(),
    )


def _add_operation(app: FastAPI, components: Components) -> None:
    backends = components.backends

    async def health(request: Request) -> Response:
        trusted = asyncio.ensure_future(_has_key(components, request))
        # A database that hangs must not keep the answer waiting for what a key is.
        await asyncio.wait({trusted}, timeout=TIMEOUT_S)
        well, content = await components.health.check(trusted.done() and trusted.result())
        return json_response(content, 200 if well else 503)

    async def metrics(request: Request) -> Response:
        try:
            caller = await components.access.caller(request)
            components.access.authorise(caller, ADMIN, None)
        except ApiError as error:
            note_refusal(components.audit, request, "/metrics", "", request.state.key, error)
            return plain_failure(error)
        text = await backends.metrics.render(backends.pipeline, backends.library, components.health)
        return Response(text, media_type=MEDIA_TYPE)

    async def index(_: Request) -> Response:
        return json_response({"name": TITLE, "docs": "/docs", "openapi": "/openapi.json"})

    app.add_api_route(
        "/health",
        health,
        methods=["GET"],
        tags=["operation"],
        description="Whether a request would be answered now.",
        response_model=HealthResult,
        responses={503: {"model": HealthResult, "description": "Not now."}},
    )
    # Balancers ask with HEAD; the document has it once.
    app.add_route("/health", health, methods=["HEAD"], include_in_schema=False)
    app.add_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    app.add_route("/", index, methods=["GET"], include_in_schema=False)


async def _has_key(components: Components, request: Request) -> bool:
    """Whether somebody asks who may know about the service's inside."""
    try:
        await components.access.caller(request)
    except ApiError as error:
        if request.state.key:
            note_refusal(components.audit, request, "/health", "", request.state.key, error)
        return False
    return True


async def _no_such_path(request: Request, error: Exception) -> Response:
    """404 and 405, for the face API in its own form."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    response = failure(request, ApiError(ErrorCode.UNSUPPORTED_METHOD))
    response.status_code = status
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


class Gate:
    """ASGI: refuses requests by their head, and those over the number under way, unread."""

    def __init__(
        self,
        app: ASGIApp,
        places: Places,
        metrics: Metrics,
        needs_own_host: bool,
        audit: Audit | None = None,
    ) -> None:
        """needs_own_host: whether a Host must be an address or localhost, see `web.origins`."""
        self._app = app
        self._audit = audit
        self._needs_own_host = needs_own_host
        self._places = places
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            place = self._places.enter(scope["path"] in _UNLIMITED)
        except ApiError as error:
            self._metrics.refused(error.code)
            note_refusal(self._audit, Request(scope), OTHER, "", "", error)
            is_api = scope["path"].startswith(_API)
            response = failure(Request(scope), error) if is_api else plain_failure(error)
            await response(scope, receive, send)
            return
        scope["place"] = place

        async def hanging_up(message: Message) -> None:
            if place.is_stalled and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        self._metrics.in_flight(1)
        try:
            await self._app(scope, receive, hanging_up)
        finally:
            place.leave()
            self._metrics.in_flight(-1)

    def _check(self, scope: Scope) -> None:
        """Raise the ApiError of what is wrong with a request's head."""
        if self._needs_own_host and not is_own_host(scope["headers"]):
            detail = "without keys, the Host has to be an address or localhost"
            raise ApiError(ErrorCode.NO_PERMISSION, detail)
        if scope["query_string"].count(b"&") >= MOST_FIELDS:
            raise ApiError(ErrorCode.INVALID_PARAMETER, f"more than {MOST_FIELDS} parameters")
