"""Without keys: which requests a browser sends for its user, and which for somebody else's page."""

from __future__ import annotations

import pytest

from gateway.auth.access import Access
from tests.support.gateway.access import LET_IN, NO_PERMISSION, at, config_in, keys_of

OWN = {"Host": "127.0.0.1:8300"}


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, True),
        ({"Host": "localhost."}, True),
        ({"Host": "camera.localhost:8300"}, True),
        ({"Host": "192.0.2.7"}, True),
        ({"Host": "[fe80::7]"}, True),
        ({"Host": "faces.example.org"}, False),
        ({"Host": "faces.example.org:8300"}, False),
        ({"Host": "localhost.example.org"}, False),
        ({"Host": "127.0.0.1.example.org"}, False),
        ({"Host": "user@127.0.0.1:8300"}, False),
        ({"Host": "127.0.0.1:8300/"}, False),
        ({"Host": "127.0.0.1:8300, 127.0.0.1"}, False),
        ({"Host": "fe80::7"}, False),
        ({"Host": "[fe80::7%25eth0]"}, False),
        ({"Host": "0x7f.1"}, False),
        ({"Host": "localhost:port"}, False),
        ({"Host": "x" * 60_000}, False),
        ({"Host": ""}, False),
        ({**OWN, "Origin": "http://127.0.0.1:8300"}, True),
        ({**OWN, "Origin": "http://127.0.0.1:8300", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Host": "LOCALHOST:8300", "Origin": "http://localhost:8300"}, True),
        ({"Host": "[::1]:8300", "Origin": "http://[::1]:8300"}, True),
        ({**OWN, "Sec-Fetch-Site": "none"}, True),
        ({**OWN, "Origin": "https://example.org"}, False),
        ({**OWN, "Origin": "http://127.0.0.1:3000"}, False),
        ({**OWN, "Origin": "null"}, False),
        ({**OWN, "Origin": ""}, False),
        ({**OWN, "Origin": "http://[", "Sec-Fetch-Site": "same-origin"}, False),
        ({**OWN, "Sec-Fetch-Site": "cross-site"}, False),
        ({**OWN, "Sec-Fetch-Site": "same-site"}, False),
        ({"Host": "example.org:8300", "Origin": "http://example.org:8300"}, False),
        ({"Host": "[", "Origin": "http://["}, False),
    ],
)
def test_without_keys_a_web_page_of_elsewhere_may_nothing(tmp_path, headers, let_in):
    with at(Access(config_in(tmp_path, access="auto"))) as client:
        expected = LET_IN if let_in else NO_PERMISSION
        answer = client.get("/who", headers=headers).json()
        assert answer.get("error", answer.get("error_code")) == expected


def test_with_a_key_a_web_page_may_what_the_key_may(tmp_path):
    config = config_in(tmp_path)
    keys = keys_of(config)
    key, secret = keys.create("shop", "read")
    keys.close()
    headers = {"X-Api-Key": f"{key.id}.{secret}", **OWN, "Origin": "https://example.org"}
    with at(Access(config)) as client:
        assert client.get("/who", headers=headers).json()["error"] == LET_IN
