"""Servers of the web with pictures, and what fetches from them, for tests."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

from gateway.backends.url_images import UrlImages, resolve
from gateway.errors import ApiError

MOST = 100_000
FILE = b"\xff\xd8 a file \xff\xd9" * 100
# The servers of these tests are on 127.0.0.1, the ones that must not be asked on 127.0.0.2.
NAME = "pictures.example"
OPEN, PRIVATE, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.3"
SOON_S = 20
# The words for an address that is refused: by what it is, by its spelling, and where the machine
# does not know of IPv6.
REASONS = ("not a public address", "InvalidURL", "gaierror")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # saves reading the authorities in every test


def answer(body=FILE, status="200 OK", **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Web:
    """A server. says: what it answers, bytes for all paths or one for each."""

    def __init__(self, says=None):
        self.says = says if says is not None else answer()
        self.requests = []
        self.connections = 0
        self.most = 0

    async def start(self, address=OPEN, port=0, tls=None):
        self.server = await asyncio.start_server(self._serve, address, port, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def url(self, path="/", name=OPEN, scheme="http"):
        return f"{scheme}://{name}:{self.port}{path}"

    async def _serve(self, reader, writer):
        self.connections += 1
        self.most = max(self.most, self.connections)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            says = self.says
            if isinstance(says, dict):
                says = says[head.split(" ")[1]]
            if callable(says):
                await says(writer)
            else:
                writer.write(says)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # who asked is gone
        finally:
            self.connections -= 1
            writer.close()


def is_open(address, port):
    return address in (OPEN, NOBODY)


def names(**known):
    """A resolver for these names, `_` for a dot; each has its answers one after the other."""
    answers = {name.replace("_", "."): list(lists) for name, lists in known.items()}
    asked = []

    async def look_up(name, port):
        asked.append(name)
        if name not in answers:
            return await resolve(name, port)
        return answers[name].pop(0)

    look_up.asked = asked
    return look_up


@asynccontextmanager
async def images(timeout_s=SOON_S, most=MOST, is_allowed=is_open, tls=NO_TLS, **options):
    made = UrlImages(timeout_s, most, is_allowed, tls=tls, **options)
    yield made
    await made.close()


async def refusal(url, **options):
    """The error for a URL, which never says why."""
    async with images(**options) as urls:
        with pytest.raises(ApiError) as caught:
            await urls.fetch(url)
    assert caught.value.detail == ""
    return caught.value.kind


# Fixtures of the modules that take them.


def uvloop_backend():
    """As in production."""
    return "asyncio", {"use_uvloop": True}


async def starting():
    """Start servers; all are gone when the test ends."""
    made = []

    async def make(says=None, **where):
        made.append(await Web(says).start(**where))
        return made[-1]

    yield make
    for one in made:
        one.server.close()
