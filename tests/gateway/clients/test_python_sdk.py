"""The official Python SDK of the face API (baidu-aip), with nothing changed but its host."""

from __future__ import annotations

import pytest
from aip import AipFace

from tests.conftest import SHARED
from tests.support.gateway.client import FACE, NOBODY, SIMILAR, of
from tests.support.pictures import base64_of, crowd

CLOUD = "https://aip.baidubce.com"
FRIENDS = SHARED / "faces" / "friends" / "gallery"


def hosted(url: str, api_key: str = "any", secret_key: str = "any") -> AipFace:
    """The SDK's client, asking a gateway. Its addresses are private attributes of its classes."""
    client = AipFace("1", api_key, secret_key)
    for kind in AipFace.__mro__:
        for name, value in vars(kind).items():
            if isinstance(value, str) and value.startswith(CLOUD):
                setattr(client, name, url + value[len(CLOUD) :])
    return client


def result(answer):
    assert answer["error_code"] == 0, answer
    assert answer["error_msg"] == "SUCCESS"
    return answer["result"]


@pytest.fixture
def sdk(access_service):
    """A client with the key of an app that is this test's own."""
    key, secret = access_service.new_key("write")
    return hosted(access_service.gateway_url, key, secret)


def test_detection(sdk):
    options = {"face_field": "age,gender,landmark,quality", "max_face_num": 10}
    found = result(sdk.detect(crowd(2), "BASE64", options))
    assert found["face_num"] == 4
    for face in found["face_list"]:
        assert 0 < face["age"] < 120
        assert face["gender"]["type"] == "female"
        assert len(face["landmark"]) == 4
    assert sdk.detect(NOBODY, "BASE64")["error_code"] == 222202


def test_comparison(sdk):
    matched = result(sdk.match([of(FACE), of(SIMILAR)]))
    assert matched["score"] > 80
    token = matched["face_list"][0]["face_token"]
    again = result(sdk.match([{"image": token, "image_type": "FACE_TOKEN"}, of(FACE)]))
    assert again["score"] > 99


def test_liveness(sdk):
    told = result(sdk.faceverify([of(FACE, face_field="age"), of(SIMILAR)]))
    assert 0 <= told["face_liveness"] <= 1
    assert len(told["face_list"]) == 2


def test_a_library_from_its_first_group_to_its_last(sdk):
    assert result(sdk.getGroupList())["group_id_list"] == []
    for group in ("staff", "guests"):
        assert result(sdk.groupAdd(group)) is None
    assert sdk.groupAdd("staff")["error_code"] == 223101
    assert result(sdk.getGroupList({"start": 1}))["group_id_list"] == ["guests"]

    added = result(sdk.addUser(FACE, "BASE64", "staff", "eileen", {"user_info": "宇航员"}))
    second = result(sdk.addUser(SIMILAR, "BASE64", "staff", "eileen"))
    assert added["location"]["width"] > 0
    listed = result(sdk.faceGetlist("eileen", "staff"))["face_list"]
    tokens = [added["face_token"], second["face_token"]]
    assert [face["face_token"] for face in listed] == tokens
    assert result(sdk.getGroupUsers("staff"))["user_id_list"] == ["eileen"]
    (user,) = result(sdk.getUser("eileen", "staff"))["user_list"]
    assert user == {"user_info": "宇航员", "group_id": "staff"}

    found = result(sdk.search(SIMILAR, "BASE64", "staff,guests", {"max_user_num": 5}))
    assert [user["user_id"] for user in found["user_list"]] == ["eileen"]
    assert found["user_list"][0]["score"] > 99
    several = result(sdk.multiSearch(crowd(2), "BASE64", "staff", {"max_face_num": 4}))
    assert several["face_num"] == 4
    assert all(face["user_list"][0]["user_id"] == "eileen" for face in several["face_list"])

    copy = {"src_group_id": "staff", "dst_group_id": "guests"}
    assert result(sdk.userCopy("eileen", copy)) is None
    assert sdk.userCopy("eileen", copy)["error_code"] == 223102
    everywhere = result(sdk.getUser("eileen", "@ALL"))["user_list"]
    assert [user["group_id"] for user in everywhere] == ["staff", "guests"]

    assert result(sdk.faceDelete("eileen", "staff", tokens[0])) is None
    assert sdk.faceDelete("eileen", "staff", tokens[0])["error_code"] == 223106
    updated = result(sdk.updateUser(FACE, "BASE64", "staff", "eileen", {"user_info": "pilot"}))
    listed = result(sdk.faceGetlist("eileen", "staff"))["face_list"]
    assert [face["face_token"] for face in listed] == [updated["face_token"]]
    assert result(sdk.getUser("eileen", "staff"))["user_list"][0]["user_info"] == "pilot"

    assert result(sdk.deleteUser("guests", "eileen")) is None
    assert sdk.getUser("eileen", "guests")["error_code"] == 223103
    for group in ("staff", "guests"):
        assert result(sdk.groupDelete(group)) is None
    assert sdk.search(FACE, "BASE64", "staff")["error_code"] == 223100
    assert result(sdk.getGroupList())["group_id_list"] == []


def test_a_service_without_keys_takes_any(service):
    sdk = hosted(service.gateway_url, "whatever", "it says")
    assert result(sdk.detect(FACE, "BASE64"))["face_num"] == 1


def test_a_wrong_secret_gets_no_access(access_service):
    key, _ = access_service.new_key("write")
    refused = hosted(access_service.gateway_url, key, "0" * 64)._auth()
    assert refused["error"] == "invalid_client"


def test_real_people_are_told_apart(sdk):
    if not FRIENDS.is_dir():
        pytest.skip("the pictures of friends are not here")
    result(sdk.groupAdd("friends"))
    people = sorted(path for path in FRIENDS.iterdir() if path.is_dir())
    pictures = {
        person.name: [base64_of(path.read_bytes()) for path in sorted(person.iterdir())[:4]]
        for person in people
    }
    for name, (*enrolled, _) in pictures.items():
        for picture in enrolled:
            result(sdk.addUser(picture, "BASE64", "friends", name))
    for name, (*_, probe) in pictures.items():
        found = result(sdk.search(probe, "BASE64", "friends", {"match_threshold": 0}))
        assert found["user_list"][0]["user_id"] == name
