"""What clients compare: error_msg is the same for a number always, and nothing is added to it."""

from __future__ import annotations

import pytest

from gateway.errors import ApiError, ErrorCode, missing
from tests.support.gateway.client import BROKEN, FACE, NOBODY, PICTURE, by_token

PERSON = {"group_id": "staff", "user_id": "eileen"}
MESSAGES = {
    3: "Unsupported openapi method",
    18: "Open api qps request limit reached",
    110: "Access token invalid or no longer valid",
    222202: "pic not has face",
    222203: "image check fail",
    222207: "match user is not found",
    222209: "face token not exist",
    223100: "group is not exist",
    223101: "group is already exist",
    223103: "user is not exist",
    223105: "face is already exist",
    223106: "face is not exist",
}


@pytest.mark.parametrize("number", MESSAGES)
def test_the_messages_are_those_that_clients_know(number):
    (kind,) = [one for one in ErrorCode if one.number == number]
    assert kind.message == MESSAGES[number]
    assert ApiError(kind, "and more").message == MESSAGES[number]


def test_a_parameter_that_is_wrong_is_named():
    assert missing("image").message == "param[image] is null"
    assert ErrorCode.GROUP_ID.message == "param[group_id] format error"
    assert all(
        kind.message.startswith("param[") and kind.message.endswith("] format error")
        for kind in ErrorCode
        if 222002 <= kind.number <= 222021
    )


def test_people_are_told_more():
    assert str(ApiError(ErrorCode.GROUP_NOT_FOUND, "there is no group a")) == (
        "group is not exist: there is no group a"
    )
    assert str(ApiError(ErrorCode.GROUP_NOT_FOUND)) == "group is not exist"


# What is asked: path, parameters, the number.
REFUSED = {
    "no face": ("face/detect", {**PICTURE, "image": NOBODY}, 222202),
    "truncated": ("face/detect", {**PICTURE, "image": BROKEN}, 222203),
    "unknown token": ("face/detect", by_token("0" * 32), 222209),
    "unknown group": ("face/list", {**PERSON, "group_id": "nobody"}, 223100),
    "group is there": ("group/add", {"group_id": "staff"}, 223101),
    "unknown user": ("face/list", {**PERSON, "user_id": "nobody"}, 223103),
    "unknown face": ("face/delete", {**PERSON, "face_token": "0" * 32}, 223106),
    "nobody like it": (
        "face/identify",
        {**PICTURE, "group_id_list": "guests", "match_threshold": 100},
        222207,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_answer_says_what_clients_compare_and_no_more(populated, case):
    path, parameters, number = REFUSED[case]
    answer = populated.ask(path, **parameters)
    assert (answer["error_code"], answer["error_msg"]) == (number, MESSAGES[number])


def test_what_more_there_is_to_say_has_a_field_of_its_own(populated):
    answer = populated.ask("face/list", group_id="nobody", user_id="eileen")
    assert "nobody" in answer["error_detail"]
    for path, parameters in (("face/list", PERSON), ("face/detect", {**PICTURE, "image": FACE})):
        assert "error_detail" not in populated.ask(path, **parameters)


def test_an_unknown_path_is_told_in_the_same_words(app):
    answer = app.client.post("/face-api/v3/face/beautify", json={})
    assert answer.status_code == 404
    assert (answer.json()["error_code"], answer.json()["error_msg"]) == (3, MESSAGES[3])
