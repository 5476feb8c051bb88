"""app/delete and app/list of a running gateway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.gateway.access import becomes
from tests.support.gateway.alone import lines
from tests.support.gateway.client import FACE, SIMILAR, App, by_token, new_app

INVALID_KEY, NO_PERMISSION, MISSING, NO_TOKEN, NO_GROUP = 110, 6, 222001, 222209, 223100


def test_the_listing_tells_when_each_app_was_made(populated):
    listed = populated.result("app/list")
    assert [one["app_id"] for one in listed["app_list"]] == listed["app_id_list"]
    (made,) = [one["ctime"] for one in listed["app_list"] if one["app_id"] == populated.name]
    age = datetime.now(UTC).replace(tzinfo=None) - datetime.strptime(made, "%Y-%m-%d %H:%M:%S")
    assert timedelta(seconds=-2) < age < timedelta(hours=1)


def test_a_deleted_app_is_gone_with_people_and_tokens(populated, service):
    other = App(service.gateway_url, new_app())
    other.result("group/add", group_id="staff")
    kept = other.enrol("staff", "eileen", FACE)
    seen = populated.token(SIMILAR)
    enrolled = populated.tokens("staff", "eileen")[0]
    assert populated.result("app/delete") is None
    assert populated.name not in populated.result("app/list")["app_id_list"]
    assert populated.groups() == []
    assert populated.code("face/identify", **by_token(enrolled), group_id_list="staff") == NO_TOKEN
    assert populated.code("face/detect", **by_token(seen)) == NO_TOKEN
    assert populated.code("app/delete") == NO_GROUP
    assert other.tokens("staff", "eileen") == [kept]
    populated.result("group/add", group_id="staff")
    assert populated.users("staff") == []


def test_the_app_has_to_be_named(service):
    nameless = App(service.gateway_url, "")
    before = nameless.result("app/list")
    assert nameless.code("app/delete") == MISSING
    assert nameless.code("app/delete", appid="") == MISSING
    assert nameless.result("app/list") == before


@pytest.fixture
def admin(access_service):
    """A client with an admin's key, which names no app."""
    key, secret = access_service.new_key("admin")
    return App(access_service.gateway_url, "", headers={"x-api-key": f"{key}.{secret}"})


def test_it_takes_an_admins_key_and_revokes_those_of_the_app(access_service, admin):
    name = new_app()
    writer, reader = (access_service.client(role, name) for role in ("write", "read"))
    stranger = access_service.client("write", new_app())
    for client in (writer, stranger):
        client.result("group/add", group_id="staff")
    for client in (writer, reader, stranger):
        assert client.code("app/delete", appid=name) == NO_PERMISSION
    assert writer.groups() == ["staff"]
    assert admin.code("app/delete") == MISSING
    assert admin.result("app/delete", appid=name) is None
    for client in (writer, reader):
        assert becomes(INVALID_KEY, lambda client=client: client.code("group/list"))
    assert stranger.groups() == ["staff"]
    assert admin.code("app/delete", appid=name) == NO_GROUP


def test_keys_are_revoked_of_an_app_that_has_no_group(access_service, admin):
    name = new_app()
    reader = access_service.client("read", name)
    assert reader.code("group/list") == 0
    assert admin.result("app/delete", appid=name) is None
    assert becomes(INVALID_KEY, lambda: reader.code("group/list"))


def test_a_deletion_has_two_lines_in_the_audit_log(access_service, admin):
    name = new_app()
    access_service.client("write", name).result("group/add", group_id="staff")
    admin.result("app/delete", appid=name)
    log = access_service.directory / "PipelineServingLogs" / "audit.log"
    told = [one for one in lines(log) if (one["app"], one["path"][-10:]) == (name, "app/delete")]
    assert [one["event"] for one in told] == ["begun", "done"]
    assert told[1]["error_code"] == 0
