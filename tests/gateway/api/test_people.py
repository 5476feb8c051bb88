"""Faces and users: adding, updating, listing, copying, deleting."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.support import pictures
from tests.support.gateway.client import (
    BROKEN,
    FACE,
    NOBODY,
    PICTURE,
    SIMILAR,
    STYLES,
    App,
    by_token,
    head,
    new_app,
    version,
)
from tests.support.pictures import base64_of, encode

PERSON = {"group_id": "staff", "user_id": "eileen"}
FACES_PER_USER = 20


def test_a_user_from_the_first_face_to_the_last(any_app):
    any_app.result("group/add", group_id="staff")
    any_app.result("group/add", group_id="guests")
    added = any_app.result("face/add", **PICTURE, **PERSON, user_info="astronaut")
    assert {"left", "top", "width", "height", "rotation"} <= added["location"].keys()
    first = added["face_token"]
    second = any_app.enrol("staff", "eileen", SIMILAR)
    assert any_app.tokens("staff", "eileen") == [first, second]
    assert any_app.users("staff") == ["eileen"]
    (user,) = any_app.result("user/get", **PERSON)["user_list"]
    assert (user["group_id"], user["user_info"]) == ("staff", "astronaut")
    copy = {"user_id": "eileen", "src_group_id": "staff", "dst_group_id": "guests"}
    assert any_app.result("user/copy", **copy) is None
    groups = any_app.result("user/get", user_id="eileen", group_id="@ALL")["user_list"]
    assert [user["group_id"] for user in groups] == ["staff", "guests"]
    assert any_app.result("face/delete", **PERSON, face_token=second) is None
    assert any_app.tokens("staff", "eileen") == [first]
    updated = any_app.result("face/update", **{**PICTURE, "image": SIMILAR}, **PERSON)
    assert any_app.tokens("staff", "eileen") == [updated["face_token"]] != [first]
    assert any_app.result("user/delete", user_id="eileen", group_id="@ALL") is None
    assert any_app.users("staff") == any_app.users("guests") == []


def test_the_other_names_of_the_listings(populated):
    faces = populated.result("face/getlist", **PERSON)["face_list"]
    assert [face["face_token"] for face in faces] == populated.tokens("staff", "eileen")
    assert faces[0]["ctime"]
    assert populated.result("group/getusers", group_id="staff")["user_id_list"] == ["eileen"]


def test_an_appid_in_the_query_beside_a_form_is_the_app(service):
    app = App(service.gateway_url, new_app(), STYLES["private-form-appid_in_query"])
    app.result("group/add", group_id="staff")
    app.enrol("staff", "eileen", FACE)
    same = App(service.gateway_url, app.name)
    assert same.users("staff") == ["eileen"]


def test_a_detected_face_is_added_by_its_token(populated):
    token = populated.token(SIMILAR)
    assert populated.enrol("staff", "collins", token, image_type="FACE_TOKEN") == token
    assert populated.tokens("staff", "collins") == [token]
    found = populated.result("face/identify", **by_token(token), group_id_list="staff")
    assert found["user_list"][0]["user_id"] == "collins"


def test_of_several_faces_the_largest_is_added(populated):
    picture = np.full((256, 400, 3), 90, np.uint8)
    picture[:, :256] = head()
    picture[72:184, 280:392] = cv2.resize(head(), (112, 112), interpolation=cv2.INTER_AREA)
    image = base64_of(encode(picture))
    content = {"image": image, "image_type": "BASE64", "group_id": "staff", "user_id": "two"}
    assert populated.result("face/add", **content)["location"]["left"] < 256
    assert len(populated.tokens("staff", "two")) == 1


def test_adding_appends_unless_it_is_told_to_replace(populated):
    populated.enrol("staff", "eileen", SIMILAR, action_type="APPEND")
    assert len(populated.tokens("staff", "eileen")) == 2
    token = populated.enrol("staff", "eileen", FACE, action_type="REPLACE", user_info="new")
    assert populated.tokens("staff", "eileen") == [token]
    (user,) = populated.result("user/get", **PERSON)["user_list"]
    assert user["user_info"] == "new"


def test_an_info_that_is_not_given_stays(populated):
    populated.enrol("staff", "eileen", SIMILAR)
    populated.result("face/update", **PICTURE, **PERSON)
    (user,) = populated.result("user/get", **PERSON)["user_list"]
    assert user["user_info"] == "astronaut"
    populated.result("face/update", **PICTURE, **PERSON, user_info="commander")
    (user,) = populated.result("user/get", **PERSON)["user_list"]
    assert user["user_info"] == "commander"


@pytest.mark.parametrize(
    "info", ["", "x" * 256, "宇航员" * 28, 'a "quoted" {json: 1} & more=1', "0"]
)
@pytest.mark.parametrize("style", ["private-json-appid_in_body", "private-form-appid_in_body"])
def test_an_info_is_kept_as_it_was_sent(service, style, info):
    app = App(service.gateway_url, new_app(), STYLES[style])
    app.result("group/add", group_id="staff")
    app.enrol("staff", "eileen", FACE, user_info=info)
    (user,) = app.result("user/get", **PERSON)["user_list"]
    assert user["user_info"] == info


def test_a_user_has_twenty_faces_at_most(populated):
    app = populated
    for number in range(FACES_PER_USER - 1):
        app.enrol("staff", "eileen", app.token(version(number)), image_type="FACE_TOKEN")
    assert len(app.tokens("staff", "eileen")) == FACES_PER_USER
    picture = {**PICTURE, "image": version("one more")}
    assert app.code("face/add", **picture, **PERSON) == 222210
    assert app.code("face/add", **picture, **PERSON, action_type="REPLACE") == 0
    assert len(app.tokens("staff", "eileen")) == 1


def test_a_face_that_the_user_has_is_not_added_again(populated):
    token = populated.enrol("staff", "eileen", populated.token(SIMILAR), image_type="FACE_TOKEN")
    assert populated.code("face/add", **by_token(token), **PERSON) == 223105
    assert len(populated.tokens("staff", "eileen")) == 2


def test_a_user_is_gone_with_the_last_face(populated):
    (token,) = populated.tokens("staff", "eileen")
    populated.result("face/delete", **PERSON, face_token=token)
    assert populated.users("staff") == []
    assert populated.code("face/list", **PERSON) == 223103


LONG_ID = "u" * 129
ENROLMENT_ERRORS = {
    "no image": ({"image": None}, 222001),
    "no image_type": ({"image_type": None}, 222001),
    "no group_id": ({"group_id": None}, 222001),
    "no user_id": ({"user_id": None}, 222001),
    "malformed group_id": ({"group_id": "a-b"}, 222006),
    "long group_id": ({"group_id": "g" * 49}, 222006),
    "@ALL is no group": ({"group_id": "@ALL"}, 222006),
    "malformed user_id": ({"user_id": "a/b"}, 222007),
    "Chinese user_id": ({"user_id": "用户"}, 222007),
    "long user_id": ({"user_id": LONG_ID}, 222007),
    "long user_info": ({"user_info": "x" * 257}, 222010),
    "long Chinese user_info": ({"user_info": "宇" * 86}, 222010),
    "user_info with NUL": ({"user_info": "a\0b"}, 222010),
    "unknown action_type": ({"action_type": "MERGE"}, 222011),
    "unknown image_type": ({"image_type": "FILE"}, 222013),
    "malformed appid": ({"appid": "../x"}, 222014),
    "unknown quality_control": ({"quality_control": "GOOD"}, 222019),
    "unknown liveness_control": ({"liveness_control": "GOOD"}, 222020),
    "no face": ({"image": NOBODY}, 222202),
    "truncated": ({"image": BROKEN}, 222203),
    "unknown token": (by_token("2" * 32), 222209),
    "too many pixels": (
        {"image": base64_of(pictures.png_header_bomb(20_000, 20_000, 1000))},
        222304,
    ),
    "blurred": (
        {
            "image": base64_of(encode(cv2.GaussianBlur(head(), (0, 0), 4))),
            "quality_control": "HIGH",
        },
        223114,
    ),
    "dark": (
        {
            "image": base64_of(encode((head() * 0.06).astype(np.uint8))),
            "quality_control": "HIGH",
        },
        223115,
    ),
}


@pytest.mark.parametrize("path", ["face/add", "face/update"])
@pytest.mark.parametrize("case", ENROLMENT_ERRORS)
def test_what_cannot_be_enrolled_has_its_number_and_changes_nothing(populated, path, case):
    change, number = ENROLMENT_ERRORS[case]
    before = populated.tokens("staff", "eileen")
    content = {"appid": populated.name, **PICTURE, **PERSON, **change}
    content = {key: value for key, value in content.items() if value is not None}
    answer = populated.client.post(populated.address(path), json=content)
    assert answer.json()["error_code"] == number
    assert populated.tokens("staff", "eileen") == before


def test_only_a_user_that_is_there_is_updated(populated):
    assert populated.code("face/update", **PICTURE, group_id="staff", user_id="nobody") == 223103
    assert populated.users("staff") == ["eileen"]


def test_only_in_a_group_that_is_there_a_user_is_updated(populated):
    for action in ("UPDATE", "REPLACE"):
        content = {**PICTURE, "group_id": "nobody", "user_id": "eileen", "action_type": action}
        assert populated.code("face/update", **content) == 223100
    assert populated.groups() == ["staff", "guests"]


def test_an_id_may_be_a_number(populated):
    picture = {**PICTURE, "image": SIMILAR}
    populated.result("face/add", **picture, group_id="staff", user_id=42)
    assert populated.users("staff") == ["eileen", "42"]
