"""Keys and access tokens: how clients show them, and what each role may do."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT
from tests.support.gateway.client import FACE, PICTURE, PRIVATE, App, document, new_app, of
from tests.support.service import wait_until

GRANT = "client_credentials"


def ask_token(service, method: str = "GET", form: bool = False, **parameters: str):
    place = {"data": parameters} if form else {"params": parameters}
    return httpx.request(method, f"{service.gateway_url}/oauth/2.0/token", timeout=60, **place)


def token_of(service, key: str, secret: str) -> str:
    answer = ask_token(service, grant_type=GRANT, client_id=key, client_secret=secret)
    return str(answer.json()["access_token"])


def keys_command(service, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m gateway keys ...`` on the service's settings."""
    command = [sys.executable, "-m", "gateway", "keys", *arguments, "--config", service.config]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="module")
def pair(access_service):
    """An app's name, and clients with a reading and a writing key of it."""
    name = new_app()
    writer = access_service.client("write", name)
    writer.result("group/add", group_id="staff")
    return name, access_service.client("read", name), writer


@pytest.mark.parametrize(("method", "form"), [("GET", False), ("POST", False), ("POST", True)])
def test_an_access_token_is_got_as_the_cloud_gives_it(access_service, method, form):
    key, secret = access_service.new_key("write")
    asked = {"grant_type": GRANT, "client_id": key, "client_secret": secret}
    answer = ask_token(access_service, method, form, **asked)
    assert answer.status_code == 200
    content = answer.json()
    assert content["scope"] == "brain_all_scope"
    assert content["expires_in"] == 2592000
    assert {"refresh_token", "session_key", "session_secret"} <= content.keys()
    app = App(access_service.gateway_url, "", query={"access_token": content["access_token"]})
    app.result("group/add", group_id="staff")
    assert app.groups() == ["staff"]


def test_credentials_that_are_wrong_get_no_token(access_service):
    key, secret = access_service.new_key("read")

    def answered(**asked: str) -> tuple[int, Any]:
        answer = ask_token(access_service, **asked)
        content = answer.json()
        assert "access_token" not in content
        return answer.status_code, (content["error"], content["error_description"])

    unknown = ("invalid_client", "unknown client id")
    wrong = ("invalid_client", "Client authentication failed")
    good = {"grant_type": GRANT, "client_id": key, "client_secret": secret}
    assert answered(**{**good, "client_id": "ak_" + "0" * 24}) == (401, unknown)
    assert answered(**{**good, "client_id": "nobody"}) == (401, unknown)
    assert answered(**{**good, "client_secret": "0" * 64}) == (401, wrong)
    assert answered(**{**good, "client_secret": ""}) == (401, wrong)
    status, (error, _) = answered(**{**good, "grant_type": "password"})
    assert (status, error) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("way", ["access_token", "Bearer token", "Bearer key", "X-Api-Key"])
def test_a_key_is_shown_in_four_ways(access_service, way):
    name = new_app()
    key, secret = access_service.new_key("write", name)
    token = token_of(access_service, key, secret)
    headers = {
        "Bearer token": {"authorization": f"Bearer {token}"},
        "Bearer key": {"authorization": f"Bearer {key}.{secret}"},
        "X-Api-Key": {"x-api-key": f"{key}.{secret}"},
    }.get(way)
    query = {"access_token": token} if headers is None else {}
    app = App(access_service.gateway_url, "", headers=headers, query=query)
    app.result("group/add", group_id=f"g_{way.replace(' ', '_').replace('-', '_')}")
    assert app.result("app/list")["app_id_list"] == [name]


def test_the_app_is_the_one_the_key_belongs_to_and_may_be_named(pair, access_service):
    name, reader, _ = pair
    assert reader.groups() == ["staff"]
    assert reader.result("group/list", appid=name)["group_id_list"] == ["staff"]


READING = {
    "face/detect": PICTURE,
    "face/match": [of(FACE), of(FACE)],
    "face/liveness": [of(FACE)],
    "group/list": {},
    "user/list": {"group_id": "staff"},
    "app/list": {},
    "/face-api/facehub/statapp": {},
}
WRITING = {
    "face/add": {**PICTURE, "group_id": "staff", "user_id": "a"},
    "face/update": {**PICTURE, "group_id": "staff", "user_id": "a"},
    "face/delete": {"group_id": "staff", "user_id": "a", "face_token": "5" * 32},
    "user/copy": {"user_id": "a", "src_group_id": "staff", "dst_group_id": "staff"},
    "user/delete": {"group_id": "staff", "user_id": "a"},
    "group/add": {"group_id": "more"},
    "group/delete": {"group_id": "staff"},
}


def code(app: App, path: str, content: Any) -> int:
    return app.code(path, content) if isinstance(content, list) else app.code(path, **content)


@pytest.mark.parametrize("path", READING)
def test_a_reading_key_reads(pair, path):
    assert code(pair[1], path, READING[path]) == 0


@pytest.mark.parametrize("path", WRITING)
def test_a_reading_key_writes_nothing(pair, path):
    assert code(pair[1], path, WRITING[path]) == 6
    assert pair[2].groups() == ["staff"]


@pytest.mark.parametrize("path", [*READING, *WRITING])
def test_a_key_opens_no_other_app(pair, access_service, path):
    stranger = access_service.client("write", new_app())
    content = {**READING, **WRITING}[path]
    if isinstance(content, list):
        answer = stranger.client.post(
            stranger.address(path), params={"appid": pair[0]}, json=content
        )
        assert document(answer)["error_code"] == 6
    else:
        assert stranger.code(path, appid=pair[0], **content) == 6


def test_only_the_keys_own_app_is_listed_and_counted(pair, access_service):
    name, reader, _ = pair
    stranger = access_service.client("write", new_app())
    stranger.result("group/add", group_id="staff")
    assert reader.result("app/list")["app_id_list"] == [name]
    assert list(reader.result("/face-api/facehub/statapp")) == [name]
    request = {"op_app_id": name, "group_id_list": "staff"}
    assert stranger.code("/face-api/facehub/statgroup", **request) == 6


def test_an_admins_key_acts_in_every_app_it_names(pair, access_service):
    name, _, _ = pair
    key, secret = access_service.new_key("admin")
    admin = App(access_service.gateway_url, name, headers={"x-api-key": f"{key}.{secret}"})
    assert admin.groups() == ["staff"]
    admin.result("group/add", group_id="by_admin")
    admin.result("group/delete", group_id="by_admin")
    everyone = admin.result("app/list")["app_id_list"]
    assert name in everyone


def test_a_key_over_its_rate_is_told_so_and_only_that_key(access_service):
    slow = access_service.client("read", new_app(), rate=2)
    fast = access_service.client("read", new_app())
    codes = [slow.code("group/list") for _ in range(6)]
    assert codes[0] == 0
    assert set(codes) == {0, 18}
    assert [fast.code("group/list") for _ in range(6)] == [0] * 6
    assert wait_until(lambda: slow.code("group/list") == 0, 10)


def test_keys_are_made_listed_and_revoked_while_the_service_runs(access_service):
    name = new_app()
    made = keys_command(access_service, "create", "--app", name, "--role", "write")
    assert made.returncode == 0, made.stderr
    key = re.search(r"ak_[0-9a-f]{24}", made.stdout)[0]
    secret = re.search(r"\b[0-9a-f]{64}\b", made.stdout)[0]
    app = App(access_service.gateway_url, "", headers={"x-api-key": f"{key}.{secret}"})
    app.result("group/add", group_id="staff")
    token = token_of(access_service, key, secret)
    by_token = App(access_service.gateway_url, "", query={"access_token": token})
    assert by_token.groups() == ["staff"]

    listed = keys_command(access_service, "list")
    assert listed.returncode == 0
    assert key in listed.stdout.replace("\n", "")
    assert secret not in listed.stdout

    assert keys_command(access_service, "revoke", key).returncode == 0
    # Known keys are looked up again after a second.
    assert wait_until(lambda: app.code("group/list") == 110, 10)
    assert by_token.code("group/list") == 110
    assert (
        ask_token(access_service, grant_type=GRANT, client_id=key, client_secret=secret).json()[
            "error"
        ]
        == "invalid_client"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "--app", "a-b", "--role", "read"],
        ["create", "--app", "a", "--role", "king"],
        ["create", "--role", "read"],
        ["revoke", "ak_" + "0" * 24],
    ],
)
def test_a_command_that_cannot_be_done_fails(access_service, arguments):
    done = keys_command(access_service, *arguments)
    assert done.returncode != 0
    assert done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_without_keys_any_credentials_get_a_token_for_the_default_app(service):
    answer = ask_token(service, grant_type=GRANT, client_id="any", client_secret="thing")
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    app = App(service.gateway_url, "", query={"access_token": token})
    assert app.code("group/list") == 0


def test_an_expired_token_says_that_it_has_expired(access_service):
    key, _ = access_service.new_key("read")
    expired = access_service.token(key, int(time.time()) - 1)
    app = App(access_service.gateway_url, "", query={"access_token": expired})
    assert app.code("group/list") == 111


def test_comparing_files_needs_a_key_as_well(access_service):
    answer = httpx.post(f"{access_service.gateway_url}/compare", files={"image1": b"x"}, timeout=60)
    assert answer.status_code in (401, 403)


def test_monitoring_reads_health_without_a_key_and_metrics_with_an_admins(access_service):
    health = f"{access_service.gateway_url}/health"
    answer = httpx.get(health, timeout=60)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "reasons": []}
    for role in ("read", "write", "admin"):
        key, secret = access_service.new_key(role)
        told = httpx.get(health, headers={"x-api-key": f"{key}.{secret}"}, timeout=60).json()
        assert {"versions", "models", "uptime_s"} <= told.keys()
    metrics = f"{access_service.gateway_url}/metrics"
    assert httpx.get(metrics, timeout=60).status_code == 401
    key, secret = access_service.new_key("admin")
    assert (
        httpx.get(metrics, headers={"x-api-key": f"{key}.{secret}"}, timeout=60).status_code == 200
    )
    key, secret = access_service.new_key("write")
    assert (
        httpx.get(metrics, headers={"x-api-key": f"{key}.{secret}"}, timeout=60).status_code == 403
    )


def test_no_key_is_told_so_in_the_apis_frame(access_service):
    answer = httpx.get(f"{access_service.gateway_url}{PRIVATE}/app/list", timeout=60)
    assert document(answer)["error_code"] == 110
