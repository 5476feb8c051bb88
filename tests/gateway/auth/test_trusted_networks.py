"""Clients that cannot send a key, let in by the network they are in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.auth.access import Access
from gateway.auth.keys import new_token
from gateway.auth.proxies import Proxied
from gateway.server import _warn_of_trust
from settings.config import ConfigError, load_config
from settings.gateway import GatewayConfig
from tests.support.gateway.access import (
    INVALID,
    LET_IN,
    NO_PERMISSION,
    ROOT,
    TOO_MANY,
    config_in,
    doors,
    error_of,
    keys_of,
)
from tests.support.gateway.alone import LoneGateway, raw_request

NEIGHBOUR, STRANGER, PROXY = "10.0.0.5", "203.0.113.7", "10.9.9.9"
TRUST = {"trusted_networks": ["10.0.0.0/16", "2001:db8::/32"], "trusted_app": "shop"}
OWN = {"Host": "192.0.2.1:8300"}


@pytest.fixture
def enter(tmp_path):
    """Clients of a gateway that trusts a network, by the addresses that they come from."""
    opened: list[TestClient] = []

    def make(address: str, proxies: Sequence[str] = (), **gateway: Any) -> TestClient:
        access = Access(config_in(tmp_path, **{**TRUST, **gateway}))
        app = Proxied(doors(access), proxies)
        client = TestClient(app, base_url="http://192.0.2.1:8300", client=(address, 50000))
        opened.append(client.__enter__())
        return opened[-1]

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (NEIGHBOUR, LET_IN),
        ("10.0.255.255", LET_IN),
        ("::ffff:10.0.0.5", LET_IN),
        ("2001:db8:1::7", LET_IN),
        ("10.1.0.1", INVALID),
        (STRANGER, INVALID),
        ("127.0.0.1", INVALID),
        ("2001:db9::7", INVALID),
        ("2001:db8::7%eth0", INVALID),
        ("testclient", INVALID),
        ("", INVALID),
    ],
)
def test_who_is_in_a_trusted_network_needs_no_key(enter, address, expected):
    assert error_of(enter(address)) == expected


def test_without_the_setting_nobody_is_let_in(enter):
    assert error_of(enter(NEIGHBOUR, trusted_networks=[])) == INVALID
    assert GatewayConfig().trusted_networks == ()


@pytest.mark.parametrize("role", ["read", "write"])
def test_a_neighbour_acts_in_one_app_with_one_role(enter, role):
    client = enter(NEIGHBOUR, trusted_role=role)
    told = client.get("/who").json()
    assert (told["app"], told["role"]) == ("shop", role)
    assert error_of(client, app="shop") == LET_IN
    assert error_of(client, app="bank") == NO_PERMISSION
    assert error_of(client, role="write") == (LET_IN if role == "write" else NO_PERMISSION)
    assert error_of(client, role="admin") == NO_PERMISSION


def test_who_shows_a_key_is_what_the_key_says(enter, tmp_path):
    keys = keys_of(config_in(tmp_path))
    key, secret = keys.create("bank", "write")
    keys.close()
    client = enter(NEIGHBOUR)
    told = client.get("/who", headers={"X-Api-Key": f"{key.id}.{secret}"}).json()
    assert (told["key"], told["app"], told["role"]) == (key.id, "bank", "write")
    wrong: list[dict[str, Any]] = [
        {"headers": {"X-Api-Key": f"{key.id}.{'0' * 64}"}},
        {"headers": {"X-Api-Key": "no key at all"}},
        {"headers": {"Authorization": "Bearer"}},
        {"headers": {"Authorization": "Bearer none"}},
        {"params": {"access_token": "none"}},
        {"params": {"access_token": f"{key.id}.{secret}"}},
    ]
    assert [client.get("/who", **one).json()["error"] for one in wrong] == [INVALID] * 6
    assert error_of(client, new_token(key, 4_000_000_000)) == LET_IN
    proxys = {"Authorization": "Basic dXNlcjpwYXNz"}
    assert client.get("/who", headers=proxys).json()["app"] == "shop"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([NEIGHBOUR], LET_IN),
        (["10.0.0.5:4711"], LET_IN),
        ([f"{NEIGHBOUR}, {PROXY}"], LET_IN),
        ([STRANGER], INVALID),
        # What stands on the left is anybody's word: the client, or a proxy that nobody told us of.
        ([f"{NEIGHBOUR}, {STRANGER}"], INVALID),
        ([f"{STRANGER}, {NEIGHBOUR}"], INVALID),
        ([f"{NEIGHBOUR}, {NEIGHBOUR}"], INVALID),
        ([f"garbage, {NEIGHBOUR}"], INVALID),
        ([NEIGHBOUR, STRANGER], INVALID),
        (["garbage"], INVALID),
        ([""], INVALID),
        # The proxy itself, which says of nobody that it asks for them.
        ([], INVALID),
        ([PROXY], INVALID),
        ([", ".join([NEIGHBOUR] * 40)], INVALID),
    ],
    ids=lambda value: str(value)[:50],
)
def test_behind_a_trusted_proxy_its_client_counts_not_the_proxy(enter, forwarded, expected):
    client = enter(PROXY, [PROXY], trusted_networks=["10.0.0.0/8"])
    headers = [("X-Forwarded-For", one) for one in forwarded]
    assert client.get("/who", headers=headers).json()["error"] == expected


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For: 10.0.0.7", "Forwarded: for=1.2.3.4", "Via: 1.1 a", "X-Real-IP: 1"]
)
def test_a_proxy_that_nobody_told_us_of_lets_nobody_in(enter, header):
    """It is in the trusted network, and those that it asks for may be anywhere."""
    name, value = header.split(": ")
    assert enter(NEIGHBOUR).get("/who", headers={name: value}).json()["error"] == INVALID


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "faces.example.org"},
        {"Host": "faces.example.org:8300", "Origin": "http://faces.example.org:8300"},
        {**OWN, "Origin": "https://example.org"},
        {**OWN, "Origin": "null"},
        {**OWN, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_browser_in_the_network_may_nothing_for_pages_of_elsewhere(enter, headers):
    assert enter(NEIGHBOUR).get("/who", headers=headers).json()["error"] == NO_PERMISSION
    assert enter(STRANGER).get("/who", headers=headers).json()["error"] == INVALID


def test_a_neighbour_is_held_to_the_rate_of_keys_without_one(enter):
    client = enter(NEIGHBOUR, rate_limit=0.01)
    assert [error_of(client), error_of(client)] == [LET_IN, TOO_MANY]


@pytest.mark.parametrize(
    ("networks", "reason"),
    [
        ('["10.0.0.1/8"]', "is no address and no network"),
        ('["office.example"]', "is no address and no network"),
        ('["0.0.0.0/0"]', "is every address there is"),
        ('["::/0"]', "is every address there is"),
    ],
)
def test_networks_that_are_none_or_everything_are_refused(tmp_path, networks, reason):
    file = tmp_path / "config.yml"
    text = (ROOT / "config.yml").read_text()
    assert "trusted_networks: []" in text
    file.write_text(text.replace("trusted_networks: []", f"trusted_networks: {networks}"))
    with pytest.raises(ConfigError, match=f"gateway.trusted_networks: .*{reason}"):
        load_config(file)


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"host": "0.0.0.0"}, True),
        ({"access": "on"}, True),
        ({}, False),  # where no keys are asked for at all
        ({"access": "on", "trusted_networks": []}, False),
    ],
)
def test_who_starts_it_is_warned(settings, warned, capsys):
    _warn_of_trust(GatewayConfig(**{**TRUST, **settings}))
    said = capsys.readouterr().err
    assert ("10.0.0.0/16" in said and "may read in app shop without a key" in said) == warned


def test_a_gateway_lets_clients_of_a_network_in_and_warns(models, tmp_path):
    """As it runs: 127.0.0.2 is trusted, and 127.0.0.3 is not."""
    network = {"trusted_networks": ["127.0.0.2"], "trusted_role": "write", "trusted_app": "shop"}
    gateway = LoneGateway(tmp_path, access="on", **network).start()
    try:
        body = b'{"group_id": "staff"}'
        path = b"POST /face-api/v3/group/add?appid=shop HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        codes = [
            json.loads(raw_request(gateway.port, path, body, address).partition(b"\r\n\r\n")[2])
            for address in ("127.0.0.3", "127.0.0.2")
        ]
        assert [code["error_code"] for code in codes] == [INVALID, LET_IN]
        log = (gateway.logs / "gateway.log").read_text()
        assert "everybody in 127.0.0.2 may write in app shop without a key" in log
    finally:
        gateway.stop()
