"""What the audit log tells of: requests that change something, and refused ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from starlette.requests import Request

from gateway.access import address_of
from gateway.audit import Audit, Event
from gateway.errors import ApiError, ErrorCode
from gateway.requests import log_id_of, request_id_of

_REFUSALS = {ErrorCode.INVALID_TOKEN, ErrorCode.EXPIRED_TOKEN, ErrorCode.NO_PERMISSION}


def note(
    audit: Optional[Audit],
    request: Request,
    app: str,
    error: Optional[ApiError],
    seconds: float,
    changes: bool = False,
    values: Optional[Mapping[str, Any]] = None,
) -> None:
    """Tell the audit log of a request that has been answered, if it is one of those.

    app: "" where it is not known. changes: whether it is to change something. values: its
    parameters, of which the ids are noted.
    """
    refused = error is not None and error.kind in _REFUSALS
    if audit is None or not (refused or changes):
        return
    audit.record(
        Event(
            log_id=log_id_of(request),
            request_id=request_id_of(request),
            address=address_of(request),
            key=getattr(request.state, "key", ""),
            app=app or None,
            path=request.url.path,
            error_code=error.code if error else 0,
            seconds=seconds,
            group_id=_id(values or {}, "group_id", "dst_group_id"),
            user_id=_id(values or {}, "user_id"),
        )
    )


def _id(values: Mapping[str, Any], *names: str) -> Optional[str]:
    value = next((values[name] for name in names if name in values), None)
    return str(value) if isinstance(value, (str, int)) else None
