"""What the audit log is told of: requests that change something, and refused ones."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from gateway.auth.access import address_of
from gateway.auth.audit import Audit, Event
from gateway.auth.refusals import Refusal
from gateway.errors import ApiError, ErrorCode
from gateway.http.request_ids import log_id_of, request_id_of

_REFUSALS = {ErrorCode.INVALID_TOKEN, ErrorCode.EXPIRED_TOKEN, ErrorCode.NO_PERMISSION}


@dataclass(frozen=True)
class Trail:
    """What one change leaves in the audit log. started: time.monotonic() of its request."""

    audit: Audit
    event: Event
    started: float

    async def begin(self, timeout: float) -> None:
        """See Audit.begin."""
        await self.audit.begin(self.event, timeout)

    async def end(self, error: ApiError | None) -> None:
        """See Audit.end. error: None where it was done."""
        await self.audit.end(self.event, error, time.monotonic() - self.started)

    def end_late(self, error: ApiError | None) -> None:
        """See Audit.end_late."""
        self.audit.end_late(self.event, error, time.monotonic() - self.started)


def trail_of(
    audit: Audit, request: Request, started: float, path: str, app: str, values: Mapping[str, Any]
) -> Trail:
    """The trail of a request.

    path: of its route, which no client can make up. values: its parameters, of which the ids are
    noted.
    """
    event = Event(
        log_id=log_id_of(request),
        request_id=request_id_of(request),
        address=address_of(request).partition("%")[0],
        key=getattr(request.state, "key", ""),
        app=app,
        path=path,
        group_id=_id(values, "group_id", "dst_group_id"),
        user_id=_id(values, "user_id"),
    )
    return Trail(audit, event, started)


def note_refusal(
    audit: Audit | None, request: Request, path: str, app: str, key: str, error: ApiError
) -> None:
    """Tell the audit log of a refused request, if it was one.

    path: of its route. app, key: "" where they are not known; the key may be a wrong one.
    """
    if audit is None or error.kind not in _REFUSALS:
        return
    audit.refuse(
        Refusal(
            address=address_of(request),
            path=path,
            error_code=error.code,
            key=key,
            app=app,
            log_id=log_id_of(request),
            request_id=request_id_of(request),
        )
    )


def _id(values: Mapping[str, Any], *names: str) -> str | None:
    value = next((values[name] for name in names if name in values), None)
    return str(value) if isinstance(value, (str, int)) else None
