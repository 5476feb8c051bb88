"""Whom a request came from, and over which scheme, with proxies in front and without."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from gateway.auth.proxies import MOST_HOPS, Proxied, address_in
from settings.config import ConfigError, load_config
from tests.support.gateway.access import ROOT

PROXY, NETWORK = "192.0.2.1", "10.0.0.0/8"


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope)
    assert request.client is not None
    await JSONResponse([request.client.host, scope["scheme"]])(scope, receive, send)


def seen(peer: str, *forwarded: str, proto: str | None = None) -> list[str]:
    """The address and the scheme that are taken for a request's."""
    headers = [("X-Forwarded-For", one) for one in forwarded]
    if proto is not None:
        headers.append(("X-Forwarded-Proto", proto))
    client = TestClient(Proxied(who, [PROXY, NETWORK, "2001:db8::/32"]), client=(peer, 5))
    return list(client.get("/", headers=headers).json())


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ((), PROXY),
        (("203.0.113.5",), "203.0.113.5"),
        # What a client sends by itself stands on the left.
        (("198.51.100.9, 203.0.113.5",), "203.0.113.5"),
        (("198.51.100.9, 203.0.113.5, 10.1.2.3",), "203.0.113.5"),
        (("198.51.100.9", "203.0.113.5", "10.1.2.3, 10.4.5.6"), "203.0.113.5"),
        (("10.1.2.3, 10.4.5.6",), "10.1.2.3"),
        (("203.0.113.5:4711",), "203.0.113.5"),
        (("[2001:db9::5]:4711",), "2001:db9::5"),
        (("[2001:db9::5]",), "2001:db9::5"),
        (("2001:DB9:0:0::5",), "2001:db9::5"),
        (("203.0.113.5, 2001:db8::7",), "203.0.113.5"),
        (("203.0.113.5, ::ffff:10.1.2.3",), "203.0.113.5"),
        # Garbage: the last proxy that is known is as far as anybody can tell.
        (("unknown",), PROXY),
        (("203.0.113.5, garbage",), PROXY),
        (("203.0.113.5, garbage, 10.1.2.3",), "10.1.2.3"),
        (("",), PROXY),
        (("203.0.113.5,",), PROXY),
        (("fe80::1%eth0",), PROXY),
        (("203.0.113.5\u00ff",), PROXY),
        (("x" * 60_000,), PROXY),
        (("1" * 60_000 + ", 203.0.113.5",), "203.0.113.5"),
        ((", ".join(["203.0.113.5"] + ["10.0.0.1"] * MOST_HOPS),), "10.0.0.1"),
        ((", ".join(["203.0.113.5"] + ["10.0.0.1"] * (MOST_HOPS - 1)),), "203.0.113.5"),
        (("," * 60_000,), PROXY),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_behind_a_trusted_proxy_the_right_most_address_that_is_none_counts(forwarded, expected):
    assert seen(PROXY, *(one.encode("latin-1") for one in forwarded))[0] == expected


@pytest.mark.parametrize("peer", ["203.0.113.5", "127.0.0.1", "::1", "testclient", ""])
def test_nobody_else_is_believed(peer):
    assert seen(peer, "198.51.100.9", proto="https") == [peer, "http"]


@pytest.mark.parametrize(
    ("proto", "expected"),
    [("https", "https"), ("HTTPS", "https"), ("http, https", "https"), ("javascript", "http")],
)
def test_a_trusted_proxy_says_the_scheme(proto, expected):
    assert seen(PROXY, proto=proto)[1] == expected


def test_no_text_but_an_address_is_one():
    for text in ("", "1", "1.2.3", "01.2.3.4", "1.2.3.4/8", "[1.2.3.4", "::1]", "1.2.3.4:x", "a.b"):
        assert address_in(text) is None


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.1/8", "*", "", "10.0.0.0/33"])
def test_a_trusted_proxy_that_is_no_network_is_refused_with_its_name(tmp_path, value):
    file = tmp_path / "config.yml"
    text = (ROOT / "config.yml").read_text()
    assert "trusted_proxies: []" in text
    file.write_text(text.replace("trusted_proxies: []", f'trusted_proxies: ["{value}"]'))
    with pytest.raises(ConfigError, match=r"gateway.trusted_proxies: .*is no address"):
        load_config(file)
