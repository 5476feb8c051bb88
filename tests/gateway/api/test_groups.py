"""Apps and groups, and the counts of what is in them."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.support.gateway.client import FACE, PRIVATE, SIMILAR, App, document, new_app, version


def apps(app: App) -> list[str]:
    answer = document(app.client.get(f"{PRIVATE}/app/list"))
    assert answer["error_code"] == 0
    return list(answer["result"]["app_id_list"])


def test_groups_are_added_listed_and_deleted(any_app):
    for group in ("staff", "guests", "Visitors_2"):
        assert any_app.result("group/add", group_id=group) is None
    assert any_app.groups() == ["staff", "guests", "Visitors_2"]
    assert any_app.result("group/delete", group_id="guests") is None
    assert any_app.groups() == ["staff", "Visitors_2"]


def test_an_app_is_there_once_a_group_was_made_in_it(app):
    assert app.name not in apps(app)
    assert app.groups() == []
    app.result("group/add", group_id="staff")
    assert app.name in apps(app)
    by_post = document(app.client.post(f"{PRIVATE}/app/list", json={}))
    assert app.name in by_post["result"]["app_id_list"]


def test_the_other_name_of_the_listing(app):
    app.result("group/add", group_id="staff")
    assert app.result("group/getlist")["group_id_list"] == ["staff"]


def test_apps_see_nothing_of_each_other(app, service):
    app.result("group/add", group_id="staff")
    other = App(service.gateway_url, new_app())
    assert other.groups() == []
    assert other.code("group/delete", group_id="staff") == 223100
    other.result("group/add", group_id="staff")
    other.result("group/delete", group_id="staff")
    assert app.groups() == ["staff"]


def test_groups_are_listed_in_pages(app):
    groups = [f"group_{number}" for number in range(6)]
    for group in groups:
        app.result("group/add", group_id=group)

    def page(**bounds):
        return app.result("group/list", **bounds)["group_id_list"]

    assert page(start=4) == groups[4:]
    assert page(start=1, length="2") == groups[1:3]
    assert page(length=1000) == groups
    assert page(start=50) == []


@pytest.mark.parametrize(
    ("bounds", "number"),
    [
        ({"start": -1}, 222002),
        ({"start": "x"}, 222002),
        ({"start": 1.5}, 222002),
        ({"start": 10**30}, 222002),
        ({"length": 1001}, 222003),
        ({"length": -5}, 222003),
        ({"length": "x"}, 222003),
        ({"length": [1]}, 222003),
    ],
)
@pytest.mark.parametrize("path", ["group/list", "group/getlist"])
def test_a_page_that_cannot_be_has_its_number(app, path, bounds, number):
    assert app.code(path, **bounds) == number


@pytest.mark.parametrize("path", ["group/add", "group/delete"])
@pytest.mark.parametrize(
    ("content", "number"),
    [
        ({}, 222001),
        ({"group_id": ""}, 222001),
        ({"group_id": "a-b"}, 222006),
        ({"group_id": "a\n"}, 222006),
        ({"group_id": "组"}, 222006),
        ({"group_id": "g" * 49}, 222006),
        ({"group_id": "@ALL"}, 222006),
        ({"group_id": ["a"]}, 222006),
    ],
)
def test_a_groups_name_is_checked(app, path, content, number):
    assert app.code(path, **content) == number
    assert app.groups() == []


def test_a_group_is_not_made_twice(app):
    longest = "g" * 48
    app.result("group/add", group_id=longest)
    assert app.code("group/add", group_id=longest) == 223101


def test_a_group_that_is_not_there_is_not_deleted(app):
    assert app.code("group/delete", group_id="staff") == 223100
    app.result("group/add", group_id="guests")
    assert app.code("group/delete", group_id="staff") == 223100


def test_people_are_gone_with_their_group(app):
    app.result("group/add", group_id="staff")
    app.enrol("staff", "eileen", FACE)
    app.result("group/delete", group_id="staff")
    app.result("group/add", group_id="staff")
    assert app.users("staff") == []
    assert app.code("face/identify", image=FACE, image_type="BASE64", group_id_list="staff") == (
        222207
    )


@pytest.mark.parametrize("name", ["a-b", "a" * 300, "../etc/passwd", "a\0b", "用"])
def test_an_apps_name_is_checked(service, name):
    assert App(service.gateway_url, name).code("group/add", group_id="staff") == 222014


@pytest.fixture
def counted(app) -> App:
    """Two groups with two users and three faces."""
    for group in ("staff", "guests"):
        app.result("group/add", group_id=group)
    app.enrol("staff", "eileen", FACE)
    app.enrol("staff", "eileen", SIMILAR)
    app.enrol("guests", "collins", version("collins"))
    return app


STATAPP = "/face-api/facehub/statapp"
STATGROUP = "/face-api/facehub/statgroup"
_TIMES = ("ctime", "utime")


def test_an_app_in_numbers(counted):
    counts = counted.result(STATAPP, op_app_id_list=counted.name)
    assert counts == {counted.name: {"group_num": 2, "user_num": 2, "face_num": 3}}


def test_groups_in_numbers(counted):
    request = {"op_app_id": counted.name, "group_id_list": "staff,guests"}
    counts = counted.result(STATGROUP, **request)
    numbers = {name: (one["user_num"], one["face_num"]) for name, one in counts.items()}
    assert numbers == {"staff": (1, 2), "guests": (1, 1)}
    for one in counts.values():
        made, newest = (datetime.strptime(one[name], "%Y-%m-%d %H:%M:%S") for name in _TIMES)
        assert made <= newest


@pytest.mark.parametrize(
    ("path", "content", "number"),
    [
        (STATAPP, {"op_app_id_list": "a-b"}, 222004),
        (STATAPP, {"op_app_id_list": "a,,b"}, 222004),
        (STATGROUP, {"op_app_id": "a-b", "group_id_list": "staff"}, 222012),
        (STATGROUP, {"op_app_id": "a", "group_id_list": "a-b"}, 222005),
    ],
)
def test_what_cannot_be_counted_has_its_number(app, path, content, number):
    assert app.code(path, **content) == number


def test_without_lists_everything_is_counted(counted):
    assert counted.name in counted.result(STATAPP)
    groups = counted.result(STATGROUP, op_app_id=counted.name)
    assert list(groups) == ["staff", "guests"]


def test_a_group_that_is_not_there_is_not_counted(counted):
    request = {"op_app_id": counted.name, "group_id_list": "staff,nobody"}
    assert counted.code(STATGROUP, **request) == 223100
