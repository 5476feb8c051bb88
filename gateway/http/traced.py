"""A span for each request, from its head to its answer; only where requests are traced."""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.telemetry import tracing

# What stands for a path without a route, and for a method: what a caller has made up is no name.
NO_ROUTE, NO_METHOD = "other", "_OTHER"
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}


class Traced:
    """ASGI: takes the trace over that a request names, or begins one."""

    def __init__(self, app: ASGIApp, left_out: Collection[str]) -> None:
        """left_out: paths that are asked all the time, by balancers and by Prometheus."""
        self._app = app
        self._left_out = left_out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in self._left_out:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else NO_METHOD
        said = {"http.request.method": method, "face.request_id": scope["request_id"]}
        with tracing.request("request", scope["headers"], said) as span:

            async def noted(message: Message) -> None:
                if span is not None and message["type"] == "http.response.start":
                    route = getattr(scope.get("route"), "path", NO_ROUTE)
                    span.name(f"{method} {route}")
                    status = message["status"]
                    span.set({"http.route": route, "http.response.status_code": status})
                    if status >= 500:
                        span.fail(str(status))
                await send(message)

            await self._app(scope, receive, noted)
