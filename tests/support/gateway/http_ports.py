"""The two ports for HTTP, for tests of what both have to take."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.gateway.client import DETECT, PICTURE
from tests.support.pictures import ONE
from tests.support.service import Service


@dataclass(frozen=True)
class Port:
    """One of the two, with a request that is answered well. code: the name of an error's number."""

    number: int
    path: str
    body: bytes
    code: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.number}{self.path}"

    def head(self, *lines: str, method: str = "POST", version: str = "1.1") -> bytes:
        """A request's head as it goes over the wire, with the body's length unless it is told."""
        if not any(line.lower().startswith(("content-length", "transfer-")) for line in lines):
            lines = (*lines, f"Content-Length: {len(self.body)}")
        host = f"Host: 127.0.0.1:{self.number}"
        first = f"{method} {self.path} HTTP/{version}"
        return "\r\n".join([first, host, *lines, "", ""]).encode()

    def is_good(self, answer: bytes) -> bool:
        return json.loads(answer)[self.code] == 0

    def post(self, content: Any, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(self.url, content=content, headers=named, timeout=60, trust_env=False)


def port_of(service: Service, name: str) -> Port:
    """The `pipeline`'s or the `gateway`'s."""
    if name == "pipeline":
        body = json.dumps({"key": ["image"], "value": [ONE]}).encode()
        return Port(service.http_port, "/ArcFace/prediction", body, "err_no")
    return Port(service.gateway_port, DETECT, json.dumps(PICTURE).encode(), "error_code")
