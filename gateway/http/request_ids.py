"""What a request is called: the client's X-Request-Id or one of ours, and the API's log_id."""

from __future__ import annotations

import re
import secrets

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.telemetry.json_lines import REQUEST_ID

_SANE = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# JavaScript reads larger numbers inexactly.
_LOG_ID_BITS = 53


def request_id_of(request: Request) -> str:
    """The request's id, as the answer's header X-Request-Id tells it."""
    return str(request.scope["request_id"])


def log_id_of(request: Request) -> int:
    """The request's number, as the answer's log_id tells it."""
    return int(request.scope["log_id"])


class RequestIds:
    """ASGI: gives each request its names, and puts the id into the answer's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        id_ = sent if _SANE.fullmatch(sent) else secrets.token_hex(16).encode()
        scope["request_id"] = id_.decode("ascii")
        # Each request has a task of its own, and with it its own context.
        REQUEST_ID.set(scope["request_id"])
        scope["log_id"] = secrets.randbits(_LOG_ID_BITS)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", id_)]
            await send(message)

        await self._app(scope, receive, named)
