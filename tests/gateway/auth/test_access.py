"""Who is let in, and what each may do."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth import key_cache, rates
from gateway.auth.access import Access
from gateway.auth.keys import MAX_CREDENTIAL, credential_of, new_token
from tests.support.gateway.access import (
    EXPIRED,
    INVALID,
    LET_IN,
    NO_PERMISSION,
    TOO_MANY,
    at,
    becomes,
    config_in,
    error_of,
    keys_of,
)


@pytest.fixture
def config(tmp_path):
    return config_in(tmp_path)


@pytest.fixture
def keys(config):
    store = keys_of(config)
    yield store
    store.close()


@pytest.fixture
def client(config):
    with at(Access(config)) as client:
        yield client


@pytest.fixture
def make(keys):
    """Makes a key; it, and what a client sends in X-Api-Key."""

    def make(app="shop", role="read", rate=None):
        key, secret = keys.create(app, role, rate=rate)
        return key, f"{key.id}.{secret}"

    return make


def in_an_hour():
    return int(time.time()) + 3600


def test_a_key_may_be_sent_in_each_of_three_ways(client, make):
    key, credential = make()
    token = new_token(key, in_an_hour())
    expected = {"error": 0, "key": key.id, "role": "read", "app": "shop"}
    for headers in (
        {"X-Api-Key": credential},
        {"X-Api-Key": token},
        {"Authorization": f"Bearer {credential}"},
        {"Authorization": f"bearer  {token}"},
    ):
        assert client.get("/who", headers=headers).json() == expected
    assert client.get("/who", params={"access_token": token}).json() == expected
    basic = {"Authorization": "Basic dXNlcjpwYXNz"}  # of a proxy in front
    assert client.get("/who", params={"access_token": token}, headers=basic).json() == expected


@pytest.mark.parametrize("tail", ["?aipSdk=node", "?", "?aipSdk=node&aipVersion=4.16", "%3FaipSdk"])
def test_what_the_node_sdk_adds_to_a_token_is_no_part_of_it(client, make, tail):
    key, _ = make()
    token = new_token(key, in_an_hour())
    assert client.get(f"/who?access_token={token}{tail}").json()["key"] == key.id
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    assert client.get(f"/who?access_token={wrong}{tail}").json()["error"] == INVALID


def test_a_secret_in_the_address_is_refused(client, make):
    _, credential = make()
    assert client.get("/who", params={"access_token": credential}).json()["error"] == INVALID


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Api-Key": ""},
        {"X-Api-Key": "ak_"},
        {"X-Api-Key": "a" * 60_000},
        {"X-Api-Key": "é".encode("latin-1")},
        {"X-Api-Key": "钥匙".encode()},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer ."},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "bce-auth-v1/ak/2026-01-01T00:00:00Z/1800/host/abc"},
    ],
)
def test_what_is_no_credential_is_refused_without_asking_the_database(tmp_path, headers):
    with at(Access(config_in(tmp_path))) as client:
        assert client.get("/who", headers=headers).json() == {"error": INVALID, "key": ""}
    assert not list(tmp_path.iterdir()), "no database was made"


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_no_header_breaks_the_reading_of_credentials(value):
    assert credential_of(value.decode("latin-1")) is None


@pytest.mark.parametrize("digit", ["٣", "３", "G", "A"])
def test_only_one_spelling_of_a_credential_is_one(make, digit):
    key, credential = make()
    token = new_token(key, 4_000_000_000)
    for good in (credential, token):
        assert credential_of(good) is not None
        assert len(good) <= MAX_CREDENTIAL
        for bad in (
            f" {good}",
            f"{good}\n",
            f"{good}0",
            good[:-1],
            good.upper(),
            good[:-1] + digit,
        ):
            assert credential_of(bad) is None
    assert credential_of(token.replace("4", digit)) is None


def test_a_wrong_secret_another_keys_secret_and_an_unknown_id_are_refused(client, make):
    key, credential = make()
    _, another = make()
    secret, foreign = (one.partition(".")[2] for one in (credential, another))
    turned = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    for wrong in (f"{key.id}.{turned}", f"{key.id}.{foreign}", f"ak_{'0' * 24}.{secret}"):
        assert error_of(client, wrong) == INVALID
    # Who has read the database has hashes, which are no secrets.
    assert error_of(client, f"{key.id}.{key.secret_hash.hex()}") == INVALID
    assert error_of(client, credential) == LET_IN


def test_a_token_is_good_until_its_end_and_for_its_key_only(client, make):
    key, _ = make()
    other, _ = make("bank", "write")
    ends = in_an_hour()
    token = new_token(key, ends)
    assert error_of(client, token) == LET_IN
    assert error_of(client, new_token(key, int(time.time()) - 1)) == EXPIRED
    assert error_of(client, token.replace(str(ends), str(ends + 1))) == INVALID
    assert error_of(client, token.replace(key.id, other.id)) == INVALID
    assert error_of(client, token.replace(str(ends), "9" * 12)) == INVALID


def test_a_revoked_key_and_its_tokens_are_refused_soon(client, keys, make):
    key, credential = make()
    token = new_token(key, in_an_hour())
    assert error_of(client, credential) == LET_IN
    keys.revoke(key.id)
    assert becomes(INVALID, lambda: error_of(client, credential))
    assert error_of(client, token) == INVALID
    assert client.get("/who", headers={"X-Api-Key": token}).json()["key"] == key.id


def test_a_key_that_was_made_after_it_was_tried_is_let_in_soon(client, config, keys, monkeypatch):
    monkeypatch.setattr("gateway.auth.key_store.new_id", lambda: f"ak_{'1' * 24}")
    assert error_of(client, f"ak_{'1' * 24}.{'0' * 64}") == INVALID
    key, secret = keys.create("shop", "read")
    assert becomes(LET_IN, lambda: error_of(client, f"{key.id}.{secret}"))


@pytest.mark.parametrize(
    ("has", "allowed"),
    [("read", ["read"]), ("write", ["read", "write"]), ("admin", ["read", "write", "admin"])],
)
def test_a_role_may_what_the_lower_ones_may(client, make, has, allowed):
    _, credential = make(None if has == "admin" else "shop", has)
    for role in ("read", "write", "admin"):
        expected = LET_IN if role in allowed else NO_PERMISSION
        assert error_of(client, credential, role=role) == expected


def test_a_key_acts_in_its_own_app_only_and_an_admins_in_every_app(client, make):
    def app_of(credential, **wanted):
        answer = client.get("/who", params=wanted, headers={"X-Api-Key": credential}).json()
        return answer.get("app", answer["error"])

    _, own = make("shop", "write")
    assert app_of(own) == app_of(own, app="shop") == "shop"
    assert app_of(own, app="bank") == app_of(own, app="Shop") == NO_PERMISSION
    assert app_of(own, app="") == NO_PERMISSION
    _, admin = make(None, "admin")
    assert app_of(admin) == "default"
    assert app_of(admin, app="bank") == "bank"


def test_without_keys_everybody_may_everything_and_no_database_is_asked(tmp_path):
    config = config_in(tmp_path, access="auto", host="127.0.0.1", default_app="house")
    with at(Access(config)) as client:
        for headers in ({}, {"X-Api-Key": "anything"}):
            answer = client.get("/who", params={"role": "admin"}, headers=headers).json()
            assert answer == {"error": 0, "key": "", "role": "admin", "app": "house"}
        assert client.get("/who", params={"app": "shop"}).json()["app"] == "shop"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("access", "host", "required"),
    [
        ("auto", "127.0.0.1", False),
        ("auto", "localhost", False),
        ("auto", "::1", False),
        ("auto", "0.0.0.0", True),
        ("auto", "::", True),
        ("auto", "192.0.2.1", True),
        ("auto", "faces.example.org", True),
        ("on", "127.0.0.1", True),
    ],
)
def test_keys_are_asked_for_wherever_other_machines_get_in(tmp_path, access, host, required):
    assert Access(config_in(tmp_path, access=access, host=host)).required is required


def test_a_key_calls_as_often_as_its_rate_says_and_others_are_not_concerned(tmp_path, keys, make):
    _, slow = make(rate=0.01)
    _, free = make(rate=0.0)
    _, usual = make()
    with at(Access(config_in(tmp_path, rate_limit=0.02))) as client:
        assert [error_of(client, slow) for _ in range(3)] == [LET_IN, TOO_MANY, TOO_MANY]
        assert [error_of(client, usual) for _ in range(3)] == [LET_IN, TOO_MANY, TOO_MANY]
        assert {error_of(client, free) for _ in range(20)} == {LET_IN}


def test_many_wrong_credentials_of_an_address_are_told_to_wait_but_good_ones_are_let_in(
    config, make, monkeypatch
):
    monkeypatch.setattr(rates, "FAILURES", 5)
    access = Access(config)
    key, good = make()
    _, never_seen = make()
    wrong = f"{key.id}.{'0' * 64}"
    with at(access) as client:
        assert error_of(client, good) == LET_IN
        tried = [error_of(client, wrong) for _ in range(rates.FAILURES + 5)]
        assert tried == [INVALID] * rates.FAILURES + [TOO_MANY] * 5
        assert error_of(client, good) == LET_IN
        assert error_of(client, never_seen) == LET_IN
        assert error_of(client) == INVALID, "who shows nothing is told what is missing"
    with at(access, "198.51.100.9") as client:
        assert error_of(client, wrong) == INVALID, "other addresses are not concerned"


def test_an_address_that_guesses_ids_soon_has_none_looked_up(config, keys, monkeypatch):
    asked = []
    find = key_cache.KeyCache.find

    async def counted(self, id_):
        asked.append(id_)
        return await find(self, id_)

    monkeypatch.setattr(rates, "FAILURES", 5)
    monkeypatch.setattr(key_cache.KeyCache, "find", counted)
    monkeypatch.setattr("gateway.auth.access._SPARE_LOOKUPS", 0.01)
    with at(Access(config)) as client:
        for number in range(20):
            error_of(client, f"ak_{number:024x}.{'0' * 64}")
    assert len(asked) <= rates.FAILURES + 1


def test_the_use_of_a_key_is_noted(client, keys, make):
    key, credential = make()
    assert error_of(client, credential) == LET_IN
    assert becomes(True, lambda: keys.find(key.id).used is not None)
