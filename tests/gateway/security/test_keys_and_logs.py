"""What an attacker shows as a key, and what is written down of keys and faces."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.gateway.client import FACE, PRIVATE, App, document, new_app
from tests.support.gateway.guarded_service import GuardedService
from tests.support.service import wait_until

APPS = f"{PRIVATE}/app/list"
# Wrong keys are counted by address: each test that shows some has one of its own.
_ADDRESSES = itertools.count(2)


@pytest.fixture
def stranger(access_service: GuardedService) -> Iterator[Callable[..., int]]:
    """A client without a key, from an address of its own; the error's number of a request."""
    transport = httpx.HTTPTransport(local_address=f"127.0.0.{next(_ADDRESSES)}")
    with httpx.Client(
        base_url=access_service.gateway_url, transport=transport, timeout=60
    ) as client:

        def ask(key: str = "", token: str = "", header: str = "x-api-key") -> int:
            headers = {header: key} if key else {}
            query = {"access_token": token} if token else {}
            return int(document(client.get(APPS, headers=headers, params=query))["error_code"])

        yield ask


def test_wrong_keys_open_nothing(access_service, stranger):
    key, secret = access_service.new_key("write")
    other, _ = access_service.new_key("write")
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    for shown in (
        "",
        "nonsense",
        f"{key}.{wrong}",
        f"{key}.",
        f"{key}.{secret}0",
        f"{key}.{secret[:-1]}",
        f"{key}.{secret.upper()}x",
        f"{other}.{secret}",
        f"ak_{'0' * 24}.{secret}",
        f"' OR 1=1 --.{secret}",
        key,
        secret,
        "A" * 8000,
    ):
        assert stranger(key=shown) == 110, shown[:80]
    assert stranger(key=f"{key}.{secret}") == 0
    assert stranger(key=f"Bearer {key}.{secret}", header="authorization") == 0


def test_a_secret_in_the_address_is_refused(access_service, stranger):
    key, secret = access_service.new_key("write")
    assert stranger(token=f"{key}.{secret}") == 110


def test_forged_tokens_open_nothing(access_service, stranger):
    key, secret = access_service.new_key("read")
    ends = int(time.time()) + 1000
    good = access_service.token(key, ends)
    signature = good.rpartition(".")[2]
    other, _ = access_service.new_key("write")
    for shown in (
        f"{key}.{ends + 1}.{signature}",
        f"{other}.{ends}.{signature}",
        f"{key}.{ends}.{'0' * 64}",
        f"{key}.{ends}.{secret}",
        f"{key}.{ends}",
        good + "0",
        "24." + secrets.token_hex(40),
    ):
        assert stranger(token=shown) == 110, shown
    assert stranger(token=good) == 0


def test_an_expired_and_a_revoked_token_open_nothing(access_service, stranger):
    key, secret = access_service.new_key("read")
    assert stranger(token=access_service.token(key, int(time.time()) - 1)) == 111
    token = access_service.token(key, int(time.time()) + 1000)
    assert stranger(token=token) == 0
    access_service.keys.revoke(key)
    assert wait_until(lambda: stranger(token=token) == 110, 10)
    assert stranger(key=f"{key}.{secret}") == 110


def test_whoever_guesses_keys_is_slowed_and_nobody_else(access_service, stranger, insider):
    guesses = [f"ak_{secrets.token_hex(12)}.{secrets.token_hex(32)}" for _ in range(60)]
    answered = [stranger(key=guess) for guess in guesses]
    assert answered[0] == 110
    assert answered[-1] == 18
    assert insider.code("group/list") == 0
    # Behind a proxy everybody has the same address, so a good key is good from it all the same.
    key, secret = access_service.new_key("read")
    assert wait_until(lambda: stranger(key=f"{key}.{secret}") == 0, 10)


def test_a_token_of_another_apps_face_is_none(access_service, insider):
    other = access_service.client("write", new_app())
    other.result("group/add", group_id="staff")
    token = other.enrol("staff", "a", FACE)
    assert insider.code("face/detect", image=token, image_type="FACE_TOKEN") == 222209
    insider.code("group/add", group_id="staff")
    added = {"image": token, "image_type": "FACE_TOKEN", "group_id": "staff", "user_id": "b"}
    assert insider.code("face/add", **added) == 222209


@pytest.mark.attack
def test_health_tells_a_wrong_key_no_more_than_none(access_service, stranger):
    url = f"{access_service.gateway_url}/health"
    key, secret = access_service.new_key("read")
    access_service.keys.revoke(key)
    for shown in ("nonsense", f"{key}.{'0' * 64}", f"{key}.{secret}", "A" * 8000):
        told = httpx.get(url, headers={"x-api-key": shown}, timeout=60).json()
        assert told.keys() == {"status", "reasons"}


def test_logs_hold_no_secret_and_no_picture(access_service):
    name = new_app()
    key, secret = access_service.new_key("write", name)
    app = App(access_service.gateway_url, "", headers={"x-api-key": f"{key}.{secret}"})
    token = access_service.token(key, int(time.time()) + 1000)
    by_token = App(access_service.gateway_url, "", query={"access_token": token})
    app.result("group/add", group_id="staff")
    app.enrol("staff", "eileen", FACE, user_info="her secret info")
    assert by_token.result("group/list") == {"group_id_list": ["staff"]}
    assert app.code("group/add", appid="another_app", group_id="staff") == 6
    folder = access_service.directory

    def logged() -> str:
        files = [path for path in folder.rglob("*") if "log" in path.name and path.is_file()]
        texts = [path.read_bytes().decode("utf-8", "replace") for path in files]
        return "\n".join([*texts, *access_service.output])

    assert wait_until(lambda: key in logged(), 10), "what a key has changed is written down"
    text = logged()
    for hidden in (secret, token, FACE[:64], FACE[2000:2064], "her secret info"):
        assert hidden not in text
