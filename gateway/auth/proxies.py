"""Proxies in front of the gateway: whom a request came from, as those say that are trusted."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Proxies that a request may have come through.
MOST_HOPS = 16
# What proxies add that nobody has told us of (RFC 7239; RFC 9110, 7.6.3).
_FORWARDING = {b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"}
_SURE = "client_is_sure"
# An address with brackets and a port has 47 characters at most.
_LONGEST = 64
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class Proxied:
    """ASGI: sets a request's client and scheme by X-Forwarded-For and X-Forwarded-Proto.

    Only where it comes from one of `trusted`. Each proxy adds to the right whom it was asked by, so
    the client is the right-most address that is none of them; what stands left of it is anybody's
    word. Whether the client asks for itself is kept as well: see `is_sure`.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        """trusted: addresses and networks."""
        self._app = app
        self._trusted = [ipaddress.ip_network(one) for one in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope.get("client"):
            host, port = scope["client"]
            peer = address_in(host)
            if peer is not None and self._is_trusted(peer):
                client, sure = self._client(peer, _items(scope["headers"], b"x-forwarded-for"))
                scope["client"] = (str(client), 0 if client != peer else port)
                scope[_SURE] = sure
                self._set_scheme(scope)
            else:
                scope[_SURE] = not any(name in _FORWARDING for name, _ in scope["headers"])
        await self._app(scope, receive, send)

    def _client(self, peer: Address, forwarded: Sequence[str]) -> tuple[Address, bool]:
        """The client, and whether it is known to ask for itself.

        peer: a trusted proxy. forwarded: the addresses, the nearest first.
        """
        client = peer
        for count, text in enumerate(forwarded, 1):
            found = address_in(text)
            if found is None:
                break  # whatever it is, the proxy that says it is the last that is known
            client = found
            if not self._is_trusted(client):
                return client, count == len(forwarded) < MOST_HOPS
        return client, False

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)

    def _set_scheme(self, scope: Scope) -> None:
        scheme = next(iter(_items(scope["headers"], b"x-forwarded-proto")), "").lower()
        if scheme in ("http", "https"):
            scope["scheme"] = scheme


def is_sure(scope: Scope) -> bool:
    """Whether a request is known to be its client's own: nobody says that it was passed on.

    Not so of a trusted proxy's that does not say whose it is.
    """
    return bool(scope.get(_SURE, False))


def address_in(text: str) -> Address | None:
    """The address that a text is, with or without a port; None for any other text."""
    text = text.strip()
    if len(text) > _LONGEST or "%" in text:
        return None
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _items(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Of the lists in all headers of a name, the last MOST_HOPS items, the last first."""
    items: list[str] = []
    for key, value in reversed(list(headers)):
        if key == name and len(items) < MOST_HOPS:
            found = value.rsplit(b",", MOST_HOPS)
            # What is left over of a longer list comes first.
            found = found[1:] if len(found) > MOST_HOPS else found
            items.extend(item.decode("latin-1").strip() for item in reversed(found))
    return items[:MOST_HOPS]
