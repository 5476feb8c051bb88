"""One list of certificate authorities for all of a process's clients of httpx."""

from __future__ import annotations

import os
import ssl
from functools import cache
from typing import Any

import httpx
from httpx._transports import default

# What makes httpx take another list.
_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def share_certificates() -> None:
    """Have httpx read its list once: it takes 20 ms, and httpx does so for every client."""
    default.create_ssl_context = _context  # type: ignore[attr-defined]


def _context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    if verify is True and cert is None:
        return _shared(trust_env, tuple(map(os.environ.get, _VARIABLES)))
    return httpx.create_ssl_context(verify, cert, trust_env)


@cache
def _shared(trust_env: bool, _: tuple[str | None, ...]) -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=trust_env)
