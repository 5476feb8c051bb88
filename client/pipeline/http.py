"""The service over HTTP: POST of a JSON document."""

from __future__ import annotations

import http
import json
import re
from typing import Any

import httpx

from client.certificates import verification
from client.errors import (
    ConnectionLostError,
    MalformedAnswerError,
    ServiceTimeoutError,
    UnreachableError,
    refusal,
)
from client.pipeline.answer import Answer, Options, read_answer

DEFAULT_URL = "http://127.0.0.1:9998/ArcFace/prediction"
CONNECT_TIMEOUT = 5.0  # seconds: a service that is there accepts within milliseconds


class HttpTransport:
    """Sends requests to ``url``; an answer may take ``timeout`` seconds."""

    def __init__(self, url: str = DEFAULT_URL, timeout: float = 30.0):
        """Raises ValueError for a URL that is not http:// or https:// with a host."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"not a URL: {url} ({error})") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"not an http:// address: {url}")
        self.url = url
        self.timeout = timeout
        # trust_env: a proxy set for the internet would get, and break, requests to this machine.
        # The pool has no limit of its own: the number of threads is the limit.
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
            verify=verification(parsed),
        )

    def __enter__(self) -> HttpTransport:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; requests under way fail."""
        self._client.close()

    def predict(self, picture: str, options: Options) -> Answer:
        """See :class:`client.pipeline.transport.Transport`."""
        keys, values = options.request(picture)
        try:
            response = self._client.post(self.url, json={"key": keys, "value": values})
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error))
            raise UnreachableError(f"no service at {self.url} ({reason})") from None
        except httpx.TimeoutException:
            raise ServiceTimeoutError(self.timeout) from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ConnectionLostError(f"{self.url}: {reason}") from None
        body = _body(response)
        if response.status_code != http.HTTPStatus.OK and not body.get("err_no"):
            raise refusal(str(response.status_code), _reason(response, body))
        return _read_body(body)


def _read_body(body: dict[str, Any]) -> Answer:
    try:
        err_no = int(body.get("err_no", 0))
        keys, values = list(body.get("key") or []), list(body.get("value") or [])
    except (TypeError, ValueError) as error:
        raise MalformedAnswerError(f"unexpected fields in the answer ({error})") from None
    if not all(isinstance(item, str) for item in keys + values):
        raise MalformedAnswerError("key and value of the answer are not lists of strings")
    return read_answer(err_no, str(body.get("err_msg", "")), keys, values)


def _body(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a response; an empty one for an error page of a proxy or gateway."""
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        body = None
    if isinstance(body, dict):
        return body
    if response.status_code != http.HTTPStatus.OK:
        return {}
    raise MalformedAnswerError(f"the answer is not a JSON object: {response.text!r:.80}")


def _reason(response: httpx.Response, body: dict[str, Any]) -> str:
    """The service says why in ``err_msg``, a gateway before it in ``message`` or ``error``."""
    text = body.get("err_msg") or body.get("message") or body.get("error")
    return str(text or response.reason_phrase)
