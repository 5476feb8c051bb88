"""Which certificates the clients believe."""

from __future__ import annotations

import ssl

import httpx
import pytest

from client.certificates import verification
from client.pipeline.http import HttpTransport
from client.rest.exchange import Exchange


def test_at_https_those_of_the_usual_authorities_are_believed():
    assert verification(httpx.URL("https://faces.example:8300")) is True


def test_at_http_no_authority_is_read_and_none_would_be_believed():
    context = verification(httpx.URL("http://127.0.0.1:8300"))
    assert context.get_ca_certs() == []
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_both_clients_ask_so_and_follow_no_redirection(scheme, monkeypatch):
    made = []
    monkeypatch.setattr(httpx, "Client", lambda **arguments: made.append(arguments))
    url = f"{scheme}://127.0.0.1:8300"
    HttpTransport(url)
    httpx.Client(**Exchange(url, None, None, 1.0, 0).settings())
    assert [one["verify"] is True for one in made] == [scheme == "https"] * 2
    assert not any(one.get("follow_redirects") for one in made)
