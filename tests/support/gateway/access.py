"""A gateway's doors without what is behind them: settings that ask for keys, and a small app."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from gateway.api.oauth import token_endpoint
from gateway.app import Gate
from gateway.auth.access import Access
from gateway.auth.audit import Audit
from gateway.auth.key_store import KeyStore
from gateway.errors import ApiError
from gateway.http.body import Bodies
from gateway.http.places import Places
from gateway.http.request_ids import RequestIds
from gateway.monitoring.metrics import Metrics
from settings.config import Config, load_config
from settings.gateway import GatewayConfig
from settings.library import LibraryConfig

ROOT = Path(__file__).resolve().parents[3]
ADDRESS = "203.0.113.7"
# Errors by their numbers.
LET_IN, NO_PERMISSION, TOO_MANY, INVALID, EXPIRED, DATABASE = 0, 6, 18, 110, 111, 222910
SOON_S = 10.0


def config_in(folder: Path, database: str = "sqlite:///faces.db", **gateway: Any) -> Config:
    """Settings of a gateway in a folder that asks for keys."""
    library = LibraryConfig(database=database, database_timeout_s=2)
    settings = GatewayConfig(**{"access": "on", **gateway})
    update = {"path": folder / "config.yml", "library": library, "gateway": settings}
    return load_config(ROOT / "config.yml").model_copy(update=update)


def keys_of(config: Config) -> KeyStore:
    """The keys that a gateway with these settings looks for."""
    return KeyStore(config.library_config())


def doors(access: Access, audit: Audit | None = None) -> ASGIApp:
    """An app that says who calls, and hands out tokens.

    /who takes `role` and `app` for what the caller wants to do; the answer has the error's number
    or the caller, and the app that the caller acts in.
    """

    async def who(request: Request) -> Response:
        try:
            caller = await access.caller(request)
            wanted = request.query_params
            app = access.authorise(caller, wanted.get("role", "read"), wanted.get("app"))
        except ApiError as error:
            return JSONResponse({"error": error.code, "key": request.state.key})
        return JSONResponse({"error": 0, "key": caller.key, "role": caller.role, "app": app})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await access.close()

    endpoint = token_endpoint(access, Bodies(1_000_000), SOON_S, audit)
    token = Route("/oauth/2.0/token", endpoint, methods=["GET", "POST"])
    app = Starlette(routes=[Route("/who", who), token], lifespan=lifespan)
    metrics = Metrics(load_config(ROOT / "config.yml"))
    return RequestIds(Gate(app, Places(GatewayConfig()), metrics, not access.required))


def at(access: Access, address: str = ADDRESS, audit: Audit | None = None) -> TestClient:
    """A client at the doors; to be entered, so that all its requests meet one event loop."""
    app = doors(access, audit)
    return TestClient(app, base_url="http://127.0.0.1:8300", client=(address, 50000))


def error_of(client: TestClient, credential: str = "", **wanted: str) -> int:
    """The error's number of a call with a credential as X-Api-Key; 0 where it is let in."""
    headers = {"X-Api-Key": credential} if credential else {}
    return int(client.get("/who", params=wanted, headers=headers).json()["error"])


def becomes(expected: Any, call: Callable[[], Any]) -> bool:
    """Whether a call returns what is expected within a time that is long enough."""
    end = time.monotonic() + SOON_S
    while (got := call()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    return bool(got == expected)
