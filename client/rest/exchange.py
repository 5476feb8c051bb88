"""How a call becomes an HTTP request, an answer a result, and a failure another attempt."""

from __future__ import annotations

import http
import random
import re
from typing import Any, TypeVar

import httpx

from client.certificates import verification
from client.rest.calls import Call
from client.rest.error_numbers import ErrorNumber
from client.rest.records import FaceServiceError, NoAnswerError

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8300"
CONNECT_TIMEOUT_S = 5.0  # a service that is there accepts within milliseconds
# The service is busy, or its pipeline is away for a moment.
BUSY = frozenset(
    {
        ErrorNumber.TOO_MANY_REQUESTS,
        ErrorNumber.PIPELINE,
        http.HTTPStatus.TOO_MANY_REQUESTS,
        http.HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
_LOST = ("unreachable", "connection-lost")
_PAUSE_S = 0.1  # before the first repetition; twice as long before each further one


class Exchange:
    """What the two clients have in common; it sends nothing itself.

    url: http://HOST:PORT. key: an API key (id.secret) or an access token. app: whose people are
    meant, for keys that may act for several. timeout: seconds for an answer.
    retries: how often a call that changes nothing is sent again.
    """

    def __init__(
        self, url: str, key: str | None, app: str | None, timeout: float, retries: int
    ) -> None:
        """Raises ValueError for an address that is none."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"not a URL: {url} ({error})") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"not an http:// address: {url}")
        self._url = url.rstrip("/")
        self._verify = verification(parsed)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._parameters = {"appid": app} if app else {}
        self._timeout = timeout
        self._retries = retries

    def settings(self) -> dict[str, Any]:
        """Arguments of httpx's client."""
        return {
            "headers": self._headers,
            "timeout": httpx.Timeout(
                self._timeout, connect=min(self._timeout, CONNECT_TIMEOUT_S), pool=None
            ),
            # The number of threads or tasks is the limit.
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=None),
            # A proxy set for the internet would get, and break, requests to this machine.
            "trust_env": False,
            "verify": self._verify,
        }

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """Arguments of httpx's `request`."""
        request: dict[str, Any] = {
            "method": "GET" if call.body is None and call.files is None else "POST",
            "url": self._url + call.path,
            "params": self._parameters,
        }
        if call.body is not None:
            request["json"] = call.body
        if call.files is not None:
            request["files"] = {name: (name, data) for name, data in call.files.items()}
        return request

    def result(self, call: Call[T], response: httpx.Response) -> T:
        """What the answer says. Raises FaceServiceError."""
        document = _document(response)
        if call.plain:
            if "error_code" in document or response.status_code not in call.statuses:
                raise _refusal(response, document)
            return self._read(call, document)
        if response.status_code != http.HTTPStatus.OK or "error_code" not in document:
            raise _refusal(response, document)
        if document["error_code"] == 0:
            return self._read(call, document.get("result"))
        error = _refusal(response, document)
        if error.code in call.instead:
            return call.instead[error.code]
        raise error

    def failure(self, error: httpx.HTTPError) -> NoAnswerError:
        """The error for an exchange that did not come to its end."""
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error))
            return NoAnswerError("unreachable", f"no service at {self._url} ({reason})")
        if isinstance(error, httpx.TimeoutException):
            return NoAnswerError("timeout", f"no answer within {self._timeout:g} s")
        reason = str(error) or type(error).__name__
        return NoAnswerError("connection-lost", f"{self._url}: {reason}")

    def pause(self, call: Call[Any], error: FaceServiceError, attempt: int) -> float | None:
        """Seconds to wait before the call is sent once more; None: it is not.

        attempt: number of those that failed, from 1.
        """
        if not call.repeatable or attempt > self._retries:
            return None
        if error.code not in BUSY and not (
            isinstance(error, NoAnswerError) and error.kind in _LOST
        ):
            return None
        # Clients that were refused together are not to come back together.
        return _PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311

    @staticmethod
    def _read(call: Call[T], value: Any) -> T:
        try:
            return call.read(value)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise NoAnswerError(
                "malformed", f"the answer to {call.path} is not as expected ({reason})"
            ) from None


def _document(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty for what is none, such as a proxy's page."""
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(response: httpx.Response, document: dict[str, Any]) -> FaceServiceError:
    """The error that an answer tells, by its own number or by its HTTP status."""
    code = document.get("error_code")
    if isinstance(code, int):
        said = (document.get("error_msg") or "no reason was given", document.get("error_detail"))
        return FaceServiceError(code, ": ".join(str(part) for part in said if part))
    status = response.status_code
    if status == http.HTTPStatus.OK:
        return NoAnswerError("malformed", f"what answers at {response.url.host} is another service")
    return FaceServiceError(status, str(document.get("message") or response.reason_phrase))
