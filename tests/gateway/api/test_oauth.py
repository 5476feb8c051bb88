"""Access tokens, as the cloud's clients ask for them."""

from __future__ import annotations

import json

import pytest

from gateway.api.oauth import MAX_FORM
from gateway.auth import rates
from gateway.auth.access import Access
from gateway.auth.audit import Audit
from gateway.auth.key_store import KeyStore
from library.errors import DatabaseError
from tests.support.gateway.access import LET_IN, at, config_in, error_of, keys_of

TOKEN = "/oauth/2.0/token"
TEXT = {"Content-Type": "text/plain"}
GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def config(tmp_path):
    return config_in(tmp_path, access_token_s=1000)


@pytest.fixture
def pair(config):
    """A new key's id and secret."""
    store = keys_of(config)
    key, secret = store.create("shop", "write")
    store.close()
    return key.id, secret


@pytest.fixture
def client(config):
    with at(Access(config)) as client:
        yield client


def parameters(pair):
    return {**GRANT, "client_id": pair[0], "client_secret": pair[1]}


def test_a_token_is_given_for_a_key_and_opens_the_door(client, pair):
    answers = [
        client.post(TOKEN, params=parameters(pair)),
        client.get(TOKEN, params=parameters(pair)),
        client.post(TOKEN, data=parameters(pair)),
        client.post(TOKEN, files={name: (None, one) for name, one in parameters(pair).items()}),
        client.post(TOKEN, json=parameters(pair)),
        client.post(TOKEN, params=parameters(pair), content=b"what is this", headers=TEXT),
        client.post(TOKEN, params=GRANT, auth=pair),
        client.post(TOKEN, params=parameters(pair), data={"client_secret": pair[1]}),
        # As the Java SDK does: a JSON type without a body.
        client.post(TOKEN, params=parameters(pair), headers={"Content-Type": "application/json"}),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        given = answer.json()
        assert given["expires_in"] == 1000
        assert given["scope"] == "brain_all_scope"
        assert {"refresh_token", "session_key", "session_secret"} <= set(given)
        assert pair[1] not in answer.text
        token = given["access_token"]
        assert client.get("/who", params={"access_token": token}).json()["app"] == "shop"


@pytest.mark.parametrize(
    ("change", "description"),
    [
        ({"client_id": "nobody"}, "unknown client id"),
        ({"client_id": ""}, "unknown client id"),
        ({"client_id": "ak_" + "0" * 24}, "unknown client id"),
        ({"client_id": "钥匙" * 3000}, "unknown client id"),
        ({"client_secret": "wrong"}, "Client authentication failed"),
        ({"client_secret": ""}, "Client authentication failed"),
        ({"client_secret": "0" * 64}, "Client authentication failed"),
        ({"client_secret": "4000000000." + "0" * 64}, "Client authentication failed"),
    ],
)
def test_wrong_credentials_are_told_in_oauths_words(client, pair, change, description):
    answer = client.post(TOKEN, params={**parameters(pair), **change})
    assert answer.status_code == 401
    assert answer.json() == {"error": "invalid_client", "error_description": description}


def test_a_revoked_key_gets_no_token(client, config, pair):
    keys = keys_of(config)
    keys.revoke(pair[0])
    answer = client.post(TOKEN, params=parameters(pair))
    assert answer.status_code == 401
    assert answer.json()["error_description"] == "unknown client id"
    keys.close()


@pytest.mark.parametrize("grant", ["", "password", "refresh_token"])
def test_another_grant_is_not_supported(client, pair, grant):
    answer = client.post(TOKEN, params={**parameters(pair), "grant_type": grant})
    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    "form",
    [b"a=" + b"b" * MAX_FORM, b"\xff\xfe=1", b"&".join(b"a%d=1" % n for n in range(100))],
)
def test_a_form_that_cannot_be_read_is_refused(client, form):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post(TOKEN, content=form, headers=kind)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic /w==", "Basic YQ=="])
def test_basic_authentication_that_is_none_leaves_what_else_was_sent(client, pair, value):
    headers = {"Authorization": value}
    assert client.post(TOKEN, params=parameters(pair), headers=headers).status_code == 200
    assert client.post(TOKEN, params=GRANT, headers=headers).status_code == 401


def test_many_wrong_secrets_are_told_to_wait_and_the_right_one_still_works(
    client, pair, monkeypatch
):
    monkeypatch.setattr(rates, "FAILURES", 3)
    wrong = parameters((pair[0], "0" * 64))
    statuses = [client.post(TOKEN, params=wrong).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert client.post(TOKEN, params=parameters(pair)).status_code == 200


def test_wrong_credentials_are_noted_in_the_audit_log_without_the_secret(config, pair, tmp_path):
    audit = Audit(tmp_path / "audit.log", 1_000_000, 1)
    with at(Access(config), audit=audit) as client:
        client.post(TOKEN, params=parameters(pair))
        answer = client.post(TOKEN, params=parameters((pair[0], "guessed")))
        client.post(TOKEN, params=parameters(("no\nbody", "guessed")))
    audit.close()
    written = (tmp_path / "refusals.log").read_text()
    assert "guessed" not in written
    first, second = map(json.loads, written.splitlines())
    assert (first["keys"], first["error_code"], first["path"]) == ([pair[0]], 110, TOKEN)
    assert first["request_id"] == answer.headers["X-Request-Id"]
    assert (second["keys"], second["count"]) == ([], 1)


def test_a_database_that_is_away_is_told(client, pair, monkeypatch):
    def away(self, id_):
        raise DatabaseError("database_unavailable", "host db.internal")

    monkeypatch.setattr(KeyStore, "find", away)
    answer = client.post(TOKEN, params=parameters(pair))
    assert answer.status_code == 503
    assert "db.internal" not in answer.text


def test_where_no_keys_are_asked_for_every_client_gets_a_token(tmp_path, pair):
    with at(Access(config_in(tmp_path, access="auto"))) as client:
        token = client.get(TOKEN, params=parameters(("any", "thing"))).json()["access_token"]
        assert client.get("/who", params={"access_token": token}).json()["app"] == "default"
    with at(Access(config_in(tmp_path))) as client:
        assert client.get("/who", params={"access_token": token}).json()["error"] == 110
        assert error_of(client, ".".join(pair)) == LET_IN
