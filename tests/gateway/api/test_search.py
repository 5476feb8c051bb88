"""face/identify and face/multi-search under all their names."""

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
    App,
    by_token,
    head,
    new_app,
)
from tests.support.pictures import base64_of, encode

TWO = base64_of(encode(np.hstack([head(), head()])))


def enrolled(app: App) -> App:
    """Eileen twice in staff, and an empty group guests."""
    app.result("group/add", group_id="staff")
    app.result("group/add", group_id="guests")
    app.enrol("staff", "eileen", FACE, user_info="first")
    app.enrol("staff", "collins", SIMILAR, user_info="second")
    return app


@pytest.fixture(scope="module")
def filled(service):
    """An app that the tests of this module only search in."""
    return enrolled(App(service.gateway_url, new_app()))


def test_an_enrolled_face_is_found(any_app):
    result = enrolled(any_app).result("face/identify", **PICTURE, group_id_list="staff,guests")
    assert isinstance(result["face_token"], str)
    (found,) = result["user_list"]
    assert found["group_id"] == "staff"
    assert found["user_id"] == "eileen"
    assert found["user_info"] == "first"
    assert 99 < found["score"] <= 100


@pytest.mark.parametrize("name", ["face/identify", "face/search", "/rest/2.0/face/v3/search"])
def test_search_under_all_its_names(filled, name):
    result = filled.result(name, **PICTURE, group_id_list="staff", max_user_num="2")
    assert [user["user_id"] for user in result["user_list"]] == ["eileen", "collins"]
    assert result["user_list"][0]["score"] > result["user_list"][1]["score"] > 80


def test_what_was_added_is_found_at_once_and_what_was_deleted_is_not(app):
    app.result("group/add", group_id="staff")
    for number in range(3):
        app.enrol("staff", f"user{number}", FACE)
        request = {**PICTURE, "group_id_list": "staff", "user_id": f"user{number}"}
        assert app.code("face/identify", **request) == 0
        app.result("user/delete", group_id="staff", user_id=f"user{number}")
        assert app.code("face/identify", **PICTURE, group_id_list="staff") == 222207


def test_a_face_is_looked_for_by_the_token_that_a_detection_has_just_given(filled):
    result = filled.result("face/identify", **by_token(filled.token(FACE)), group_id_list="staff")
    assert result["user_list"][0]["user_id"] == "eileen"


def test_a_registered_face_is_looked_for_by_its_token(filled):
    (token,) = filled.tokens("staff", "collins")
    result = filled.result("face/identify", **by_token(token), group_id_list="staff")
    assert result["user_list"][0]["user_id"] == "collins"


def test_a_user_is_verified_by_name(filled):
    request = {**PICTURE, "group_id_list": "staff", "user_id": "collins", "max_user_num": 50}
    (found,) = filled.result("face/identify", **request)["user_list"]
    assert found["user_id"] == "collins"


def test_only_users_over_the_threshold_are_found(filled):
    request = {**PICTURE, "group_id_list": "staff", "max_user_num": 10}
    everyone = filled.result("face/identify", **request, match_threshold=0)["user_list"]
    assert len(everyone) == 2
    between = (everyone[0]["score"] + everyone[1]["score"]) / 2
    found = filled.result("face/identify", **request, match_threshold=str(between))["user_list"]
    assert [user["user_id"] for user in found] == ["eileen"]


def test_whoever_is_in_other_groups_or_apps_is_not_found(filled, service):
    assert filled.code("face/identify", **PICTURE, group_id_list="guests") == 222207
    other = App(service.gateway_url, new_app())
    other.result("group/add", group_id="staff")
    assert other.code("face/identify", **PICTURE, group_id_list="staff") == 222207


@pytest.mark.parametrize(
    "name",
    [
        "face/multi-search",
        "face/multi-identify",
        "face/midentify",
        "/rest/2.0/face/v3/multi-search",
    ],
)
def test_every_face_of_a_picture_is_looked_for(filled, name):
    request = {"image": TWO, "image_type": "BASE64", "group_id_list": "staff"}
    result = filled.result(name, **request, max_face_num=10, max_user_num=2)
    assert result["face_num"] == len(result["face_list"]) == 2
    for face in result["face_list"]:
        assert face["face_token"]
        assert {"left", "top", "width", "height", "rotation"} <= face["location"].keys()
        assert [user["user_id"] for user in face["user_list"]] == ["eileen", "collins"]
    assert filled.result(name, **request)["face_num"] == 1


ERRORS = {
    "no image": ({"image": None}, 222001),
    "no image_type": ({"image_type": None}, 222001),
    "no group_id_list": ({"group_id_list": None}, 222001),
    "unknown image_type": ({"image_type": "X"}, 222013),
    "malformed group": ({"group_id_list": "a-b"}, 222005),
    "empty group": ({"group_id_list": "staff,,guests"}, 222005),
    "eleven groups": ({"group_id_list": ",".join(f"g{n}" for n in range(11))}, 222005),
    "a group too long": ({"group_id_list": "g" * 49}, 222005),
    "malformed user": ({"user_id": "a b"}, 222007),
    "threshold under 0": ({"match_threshold": -1}, 222009),
    "threshold over 100": ({"match_threshold": 100.5}, 222009),
    "threshold is a word": ({"match_threshold": "high"}, 222009),
    "threshold is no number": ({"match_threshold": "nan"}, 222009),
    "no user": ({"max_user_num": 0}, 222021),
    "51 users": ({"max_user_num": 51}, 222021),
    "users is a word": ({"max_user_num": "all"}, 222021),
    "unknown quality_control": ({"quality_control": "BEST"}, 222019),
    "unknown liveness_control": ({"liveness_control": "BEST"}, 222020),
    "unknown group": ({"group_id_list": "staff,nobody"}, 223100),
    "unknown user": ({"user_id": "nobody"}, 222207),
    "no face": ({"image": NOBODY}, 222202),
    "truncated": ({"image": BROKEN}, 222203),
    "nobody alike": ({"group_id_list": "guests"}, 222207),
    "unknown token": (by_token("1" * 32), 222209),
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
}


@pytest.mark.parametrize("path", ["face/identify", "face/multi-search"])
@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_looked_for_has_its_number(filled, path, case):
    change, number = ERRORS[case]
    request = {**PICTURE, "group_id_list": "staff", **change}
    request = {key: value for key, value in request.items() if value is not None}
    assert filled.code(path, **request) == number


@pytest.mark.parametrize("most", [0, 121, "some"])
def test_the_number_of_faces_of_a_multi_search_is_checked(filled, most):
    request = {**PICTURE, "group_id_list": "staff", "max_face_num": most}
    assert filled.code("face/multi-search", **request) == 222016


def test_ten_groups_are_searched_at_once(app):
    groups = [f"group_{number}" for number in range(10)]
    for group in groups:
        app.result("group/add", group_id=group)
    app.enrol("group_9", "eileen", FACE)
    result = app.result("face/identify", **PICTURE, group_id_list=",".join(groups))
    assert result["user_list"][0]["group_id"] == "group_9"
