"""A small HTTP server that answers as the face API does, for tests of its client.

It stands in for a gateway where a test needs answers that a real one gives only in trouble.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """A request as it arrived. json: of its body, None where it is none."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    json: Any = None


@dataclass
class FaceApi:
    """What the server answers next, and what it was asked.

    answers: one a request, the last one for all further ones: a result, a number of an error, an
        HTTP status with a body, or None to break the connection without an answer.
    """

    answers: list[Any] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def next(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass(frozen=True)
class Status:
    """An answer with an HTTP status of its own and a document that is not the API's."""

    status: int
    document: Any = None
    text: str = ""


@dataclass(frozen=True)
class Error:
    """An error in the API's frame."""

    number: int
    message: str = "what is wrong"


def framed(result: Any, error: Error | None = None) -> dict[str, Any]:
    """A result or an error in the frame that every answer of the face API has."""
    return {
        "error_code": error.number if error else 0,
        "error_msg": error.message if error else "SUCCESS",
        "log_id": 1234567890,
        "timestamp": 1700000000,
        "cached": 0,
        "result": result,
    }


@contextmanager
def face_api() -> Iterator[FaceApi]:
    """The server on a free port of this machine."""
    api = FaceApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, url.path, parse_qs(url.query), headers, body)
            if headers.get("content-type") == "application/json":
                asked.json = json.loads(body)
            api.asked.append(asked)
            self._answer(api.next())

        do_GET = do_POST  # noqa: N815

        def _answer(self, answer: Any) -> None:
            if answer is None:
                self.close_connection = True
                return
            if not isinstance(answer, Status):
                error = answer if isinstance(answer, Error) else None
                answer = Status(200, framed(None if error else answer, error))
            content = answer.text or json.dumps(answer.document)
            data = content.encode()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
