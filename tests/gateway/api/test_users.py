"""Users: listing, reading, copying, deleting, and what requests about people must have."""

from __future__ import annotations

import pytest

from tests.support.gateway.client import PICTURE, version

PERSON = {"group_id": "staff", "user_id": "eileen"}
LONG_ID = "u" * 129


def without(content, *names):
    return {key: value for key, value in content.items() if key not in names}


def test_users_are_listed_in_pages(populated):
    for number in range(5):
        token = populated.token(version(number))
        populated.enrol("staff", f"u{number}", token, image_type="FACE_TOKEN")
    users = ["eileen", *(f"u{number}" for number in range(5))]
    assert populated.users("staff") == users

    def page(**bounds):
        return populated.result("user/list", group_id="staff", **bounds)["user_id_list"]

    assert page(start=2) == users[2:]
    assert page(start="1", length="2") == users[1:3]
    assert page(length=1000) == users
    assert page(start=100) == []


PAGE_ERRORS = {
    "start under 0": ({"start": -1}, 222002),
    "start is a word": ({"start": "first"}, 222002),
    "length over 1000": ({"length": 1001}, 222003),
    "length under 0": ({"length": -1}, 222003),
    "length is a word": ({"length": "all"}, 222003),
}


@pytest.mark.parametrize("case", PAGE_ERRORS)
@pytest.mark.parametrize("path", ["user/list", "group/getusers"])
def test_a_page_of_users_that_cannot_be_has_its_number(populated, path, case):
    bounds, number = PAGE_ERRORS[case]
    assert populated.code(path, group_id="staff", **bounds) == number


# For each path what is asked rightly, and then what is wrong with it.
REQUESTS = {
    "face/delete": {**PERSON, "face_token": "3" * 32},
    "face/list": PERSON,
    "user/get": PERSON,
    "user/list": {"group_id": "staff"},
    "user/delete": PERSON,
}
WRONG_IDS = {
    "group_id": (("a-b", 222006), ("g" * 49, 222006), ("nobody", 223100)),
    "user_id": (("a b", 222007), (LONG_ID, 222007), ("nobody", 223103)),
    "face_token": (("../etc", 222008), ("t" * 65, 222008), ("4" * 32, 223106)),
}


@pytest.mark.parametrize("path", REQUESTS)
def test_what_a_request_about_people_must_have(populated, path):
    for name in REQUESTS[path]:
        assert populated.code(path, **without(REQUESTS[path], name)) == 222001, name


@pytest.mark.parametrize("path", REQUESTS)
def test_what_a_request_about_people_must_not_have(populated, path):
    for name in REQUESTS[path]:
        for value, number in WRONG_IDS[name]:
            answered = populated.code(path, **{**REQUESTS[path], name: value})
            assert answered == number, (name, value)
    assert populated.users("staff") == ["eileen"]


@pytest.mark.parametrize("path", ["face/list", "face/delete", "user/list"])
def test_all_groups_at_once_are_only_for_users(populated, path):
    assert populated.code(path, **{**REQUESTS[path], "group_id": "@ALL"}) == 222006


@pytest.mark.parametrize("path", ["user/get", "user/delete"])
def test_a_user_of_no_group_at_all(populated, path):
    assert populated.code(path, group_id="@ALL", user_id="nobody") == 223103


COPY = {"user_id": "eileen", "src_group_id": "staff", "dst_group_id": "guests"}
COPY_ERRORS = {
    "no user_id": ({"user_id": None}, 222001),
    "no source": ({"src_group_id": None}, 222001),
    "no target": ({"dst_group_id": None}, 222001),
    "malformed user_id": ({"user_id": "a b"}, 222007),
    "malformed source": ({"src_group_id": "a-b"}, 222006),
    "malformed target": ({"dst_group_id": "a-b"}, 222006),
    "unknown source": ({"src_group_id": "nobody"}, 223100),
    "unknown target": ({"dst_group_id": "nobody"}, 223100),
    "unknown user": ({"user_id": "nobody"}, 223103),
    "to where it is": ({"dst_group_id": "staff"}, 223102),
}


@pytest.mark.parametrize("case", COPY_ERRORS)
def test_a_user_that_cannot_be_copied_has_its_number(populated, case):
    change, number = COPY_ERRORS[case]
    content = {key: value for key, value in {**COPY, **change}.items() if value is not None}
    assert populated.code("user/copy", **content) == number


def test_a_copied_user_is_found_in_both_groups_and_not_copied_twice(populated):
    populated.result("user/copy", **COPY)
    assert populated.code("user/copy", **COPY) == 223102
    assert populated.tokens("guests", "eileen") == populated.tokens("staff", "eileen")
    populated.result("user/delete", **PERSON)
    found = populated.result("face/identify", **PICTURE, group_id_list="staff,guests")
    assert [user["group_id"] for user in found["user_list"]] == ["guests"]
