"""Pictures that are given by URL: fetched from public addresses only, within narrow limits.

Whoever may call the API could otherwise have this machine ask servers that only it can reach. So
a name is resolved once, every address behind it is checked, and the connection goes to the very
address that was checked, for every redirect anew.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

import httpx

from gateway.backends.public_addresses import PORTS, is_public
from gateway.errors import ApiError, ErrorCode

_LOGGER = logging.getLogger(__name__)

_MOST_LENGTH = 2048  # characters of a URL
_MOST_REDIRECTS = 3
_MOST_ADDRESSES = 3  # of a name that are tried
# Fetches at once: each may hold a whole file in memory.
_MOST_AT_ONCE = 16
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {
    "Accept": "image/*, */*;q=0.1",
    # What is packed would have to be unpacked, and could become any size.
    "Accept-Encoding": "identity",
    "User-Agent": "face-serving",
    "Connection": "close",
}

# The addresses behind a name.
Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolve(name: str, port: int) -> list[str]:
    """The addresses of a name, or of an address in any spelling. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class UrlImages:
    """Fetches; for one event loop.

    timeout_s: for all of a fetch, with its redirects. most_bytes: of a file.
    is_allowed: says of an address and a port whether they may be connected to.
    tls: what certificates are checked against; None for the usual authorities.
    """

    def __init__(
        self,
        timeout_s: float,
        most_bytes: int,
        is_allowed: Callable[[str, int], bool] = is_public,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._is_allowed = is_allowed
        self._resolve = resolve
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)
        # The bare transport: no proxies, no cookies, no redirects. A connection is used once: one
        # that is kept would be taken for another name at the same address, whose certificate
        # nobody has seen.
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or httpx.create_ssl_context(trust_env=False),
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def fetch(self, url: str) -> bytes:
        """The file at a URL.

        Raises ApiError: PICTURE_TOO_LARGE, and URL_FAILED for everything else; why is only
        logged, since it would tell about the network.
        """
        try:
            return await asyncio.wait_for(self._fetch(url), self._timeout_s)
        except TimeoutError:
            reason = "not in time"
        except _RefusedError as error:
            reason = str(error)
        # Names that cannot be encoded, sockets, TLS and HTTP.
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            reason = type(error).__name__
        _LOGGER.info("a picture's URL could not be fetched: %s", reason)
        raise ApiError(ErrorCode.URL_FAILED)

    async def close(self) -> None:
        """End the connections."""
        await self._transport.aclose()

    async def _fetch(self, text: str) -> bytes:
        if len(text) > _MOST_LENGTH:
            raise _RefusedError("a long URL")
        url = httpx.URL(text)
        async with self._at_once:
            for _ in range(_MOST_REDIRECTS + 1):
                response = await self._ask(url)
                try:
                    if response.status_code not in _REDIRECTS:
                        return await self._body(response)
                    url = url.join(response.headers.get("Location", ""))
                finally:
                    await response.aclose()
        raise _RefusedError("too many redirects")

    async def _ask(self, url: httpx.URL) -> httpx.Response:
        """The response, its body not read yet. Raises _RefusedError, httpx.HTTPError, OSError."""
        addresses = await self._addresses(url)
        for address in addresses[:-1]:
            try:
                return await self._connect(url, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # e.g. an IPv6 address, where there is no way to it
        return await self._connect(url, addresses[-1])

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """Where to connect to. Raises _RefusedError unless all addresses of the name may be."""
        if url.scheme not in PORTS or not url.host or url.userinfo:
            raise _RefusedError("not a plain http or https URL")
        port = url.port or PORTS[url.scheme]
        addresses = await self._resolve(_name(url), port)
        if not addresses or not all(self._is_allowed(address, port) for address in addresses):
            raise _RefusedError("not a public address")
        return addresses[:_MOST_ADDRESSES]

    async def _connect(self, url: httpx.URL, address: str) -> httpx.Response:
        timeout = httpx.Timeout(self._timeout_s, connect=self._timeout_s / _MOST_ADDRESSES)
        request = httpx.Request(
            "GET",
            url.copy_with(host=address),
            headers={"Host": url.netloc.decode("ascii"), **_HEADERS},
            # The name for TLS, which also checks the certificate against it.
            extensions={"timeout": timeout.as_dict(), "sni_hostname": _name(url).rstrip(".")},
        )
        return await self._transport.handle_async_request(request)

    async def _body(self, response: httpx.Response) -> bytes:
        if response.status_code != 200:
            raise _RefusedError(f"status {response.status_code}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _RefusedError("a packed body")
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > self._most_bytes:
            raise ApiError(ErrorCode.PICTURE_TOO_LARGE)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._most_bytes:
                raise ApiError(ErrorCode.PICTURE_TOO_LARGE)
        return bytes(body)


class _RefusedError(Exception):
    """Why a fetch was given up; for the log."""


def _name(url: httpx.URL) -> str:
    """The host in ASCII, also of an international name."""
    return url.raw_host.decode("ascii")
