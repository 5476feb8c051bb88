"""``/oauth/2.0/token``: an access token for a key, as clients of the cloud's face API ask for it.

The client credentials grant of OAuth 2.0 (RFC 6749, 4.4). Parameters come in the address or in a
body of any kind; the key may also come as HTTP Basic authentication, as the RFC wants it.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.auth.access import WRONG_SECRET, Access, Grant, address_of
from gateway.auth.audit import Audit
from gateway.auth.audit_notes import note_refusal
from gateway.auth.keys import is_key_id
from gateway.errors import ApiError, ErrorCode
from gateway.http.body import Bodies
from web.uploads import GoneError

PATH = "/oauth/2.0/token"
# Bytes of a form; the two fields of a key take about a hundred.
MAX_FORM = 8192
# Answers hold secrets: RFC 6749, 5.1.
_HEADERS = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def token_endpoint(
    access: Access, bodies: Bodies, timeout_s: float, audit: Audit | None = None
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint, for GET and POST.

    timeout_s: in which a form has to arrive. audit: where wrong credentials are noted.
    """

    async def token(request: Request) -> Response:
        started = time.monotonic()
        # Nobody has shown a key yet, so what one address sends has a share of its own.
        owner = address_of(request) if access.required else ""
        try:
            form = await _form(request, bodies, owner, started + timeout_s)
        except GoneError:
            return Response(status_code=499)
        except ApiError as error:
            if error.kind is ErrorCode.TOO_MANY_REQUESTS:
                return _failed(error)
            return _refused(400, "invalid_request", error.detail)
        given = {**request.query_params, **form}
        if given.get("grant_type") != "client_credentials":
            return _refused(
                400, "unsupported_grant_type", "The authorization grant type is not supported"
            )
        client_id, client_secret = _basic(request) or (
            given.get("client_id", "").strip(),
            given.get("client_secret", "").strip(),
        )
        try:
            grant = await access.grant(client_id, client_secret, address_of(request))
        except ApiError as error:
            key = client_id if is_key_id(client_id) else ""
            note_refusal(audit, request, PATH, "", key, error)
            return _failed(error)
        return _granted(grant)

    return token


def _granted(grant: Grant) -> Response:
    answer = {
        "access_token": grant.token,
        "expires_in": grant.seconds,
        "scope": "brain_all_scope",
        # Clients expect the fields. There is no session, and a new token costs no more than
        # refreshing one would.
        "refresh_token": "",
        "session_key": "",
        "session_secret": "",
    }
    return JSONResponse(answer, headers=_HEADERS)


def _failed(error: ApiError) -> Response:
    if error.kind is ErrorCode.INVALID_TOKEN:
        return _refused(401, "invalid_client", error.detail or WRONG_SECRET)
    if error.kind is ErrorCode.TOO_MANY_REQUESTS:
        return _refused(429, "temporarily_unavailable", error.detail or "too many failed attempts")
    if error.kind is ErrorCode.DATABASE:
        return _refused(503, "temporarily_unavailable", "keys cannot be looked up now")
    raise error


def _refused(status: int, error: str, description: str) -> Response:
    headers = dict(_HEADERS)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="face"'
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status, headers)


async def _form(request: Request, bodies: Bodies, owner: str, deadline: float) -> dict[str, str]:
    """The texts in the body; none in one that is neither said to be a form nor can be read as one.

    Raises ApiError and GoneError.
    """
    if request.method != "POST":
        return {}
    body = await bodies.read(request, owner, deadline, MAX_FORM)
    try:
        values = await bodies.values(request, body, deadline)
    except ApiError as error:
        kind = request.headers.get("content-type", "").lower()
        if error.kind is not ErrorCode.INVALID_PARAMETER or "form" in kind:
            raise
        return {}
    if isinstance(values, list):
        return {}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _basic(request: Request) -> tuple[str, str] | None:
    """The id and the secret of HTTP Basic authentication; None where there is none."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(text.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    client_id, colon, secret = pair.partition(":")
    return (unquote_plus(client_id), unquote_plus(secret)) if colon else None
