"""Asking the gateway, and what an answer, or none, says about what was done."""

from __future__ import annotations

import asyncio
import enum
import time
from dataclasses import dataclass
from typing import Any

import httpx

SUCCESS, DATABASE, INVALID_TOKEN, BUSY = 0, 222910, 110, 18
USER_NOT_FOUND, GROUP_NOT_FOUND = 223103, 223100
PATHS = "/face-api/v3"
# Longer than the gateway takes for any request (gateway.request_timeout_ms).
TIMEOUT_S = 45.0
# Seconds that a client waits before it asks again after it was not answered.
PAUSE_S = 0.05
# Not a code of the gateway: no answer came, or one that is none.
NO_ANSWER = -1


class End(enum.Enum):
    """How a request ended."""

    DONE = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """code: of the gateway, or NO_ANSWER. sent, ended: of `time.monotonic`."""

    end: End
    code: int
    result: Any
    sent: float
    ended: float


def end_of(code: int) -> End:
    """What a code says. When the database failed nobody knows whether it did before the commit."""
    if code == SUCCESS:
        return End.DONE
    return End.UNKNOWN if code in (DATABASE, NO_ANSWER) else End.REFUSED


class Asker:
    """A client with connections of its own."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=TIMEOUT_S,
            trust_env=False,
            limits=httpx.Limits(max_connections=4, keepalive_expiry=600),
        )

    async def ask(self, credential: str, path: str, **parameters: Any) -> Answer:
        """Ask once. credential: ID.SECRET of a key, or an access token of the gateway."""
        sent = time.monotonic()
        end, code, result = await self._ask(credential, path, parameters)
        return Answer(end, code, result, sent, time.monotonic())

    async def _ask(
        self, credential: str, path: str, parameters: dict[str, Any]
    ) -> tuple[End, int, Any]:
        headers = {"authorization": f"Bearer {credential}"}
        try:
            answer = await self._client.post(f"{PATHS}/{path}", json=parameters, headers=headers)
            content = answer.json()
            code = int(content["error_code"])
            return end_of(code), code, content["result"]
        except (httpx.ConnectError, httpx.ConnectTimeout):
            await asyncio.sleep(PAUSE_S)
            return End.REFUSED, NO_ANSWER, None  # nothing was sent
        except (httpx.TransportError, ValueError, LookupError, TypeError):
            return End.UNKNOWN, NO_ANSWER, None

    async def token(self, id_: str, secret: str) -> str:
        """An access token of a key; "" where none was given."""
        query = {
            "grant_type": "client_credentials",
            "client_id": id_,
            "client_secret": secret,
        }
        try:
            answer = await self._client.post("/oauth/2.0/token", params=query)
            return str(answer.json().get("access_token", ""))
        except (httpx.TransportError, ValueError, AttributeError):
            return ""

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()
