"""The Python client of the gateway: what it sends, reads, sends again, and raises."""

from __future__ import annotations

import asyncio
import base64
import inspect
import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from client import AsyncFaceService, FaceService, FaceServiceError, NoAnswerError, Token, Url
from client.rest.records import Guess, Location
from runtime.ports import free_ports
from tests.support.clients.face_api_server import Error, FaceApi, Status, face_api
from tests.support.service import ROOT

PICTURE = b"a picture file"
BASE64 = base64.b64encode(PICTURE).decode()
LOCATION = {"left": 10.5, "top": 20.0, "width": 30.0, "height": 40.0, "rotation": -3}
FACE = {
    "face_token": "f1",
    "location": LOCATION,
    "face_probability": 0.97,
    "angle": {"yaw": 1.0, "pitch": -2.0, "roll": 3.0},
    "age": 31,
    "gender": {"type": "female", "probability": 0.9},
    "landmark": [{"x": 1.0, "y": 2.0}] * 4,
    "quality": {"occlusion": {"nose": 0.1}, "blur": 0.2, "illumination": 120, "completeness": 1},
    "spoofing": 0.25,
    "eye_status": {"left_eye": 0.9, "right_eye": 0.8},
}
HIT = {"group_id": "staff", "user_id": "ada", "user_info": "Ada L.", "score": 91.5}


@pytest.fixture
def api():
    with face_api() as running:
        yield running


@pytest.fixture
def service(api):
    with FaceService(api.url, timeout=5) as made:
        yield made


def sent(api: FaceApi) -> Any:
    (asked,) = api.asked
    assert asked.method == "POST"
    return asked.json


# What is sent.


def test_bytes_paths_tokens_and_urls_stand_for_pictures(api, service, tmp_path):
    (tmp_path / "face.jpg").write_bytes(PICTURE)
    api.answers = [{"face_num": 0, "face_list": []}]
    for picture in (PICTURE, tmp_path / "face.jpg", Token("f1"), Url("https://example.org/a.jpg")):
        service.detect(picture)
    assert [(asked.json["image_type"], asked.json["image"]) for asked in api.asked] == [
        ("BASE64", BASE64),
        ("BASE64", BASE64),
        ("FACE_TOKEN", "f1"),
        ("URL", "https://example.org/a.jpg"),
    ]


def test_a_plain_string_is_no_picture(api, service):
    with pytest.raises(TypeError, match=r"pathlib\.Path"):
        service.detect("face.jpg")
    assert api.asked == []


def test_only_what_was_set_is_sent(api, service):
    api.answers = [{"face_token": "f1", "user_list": [HIT]}]
    service.identify(PICTURE, ["staff", "guests"], user="ada", liveness="LOW")
    assert sent(api) == {
        "image": BASE64,
        "image_type": "BASE64",
        "group_id_list": "staff,guests",
        "max_user_num": 1,
        "match_threshold": 80.0,
        "user_id": "ada",
        "liveness_control": "LOW",
    }


def test_key_and_app_go_along_with_every_call(api):
    api.answers = [{"app_id_list": []}]
    with FaceService(api.url, key="ak_1.secret", app="shop") as service:
        service.apps()
    (asked,) = api.asked
    assert asked.headers["authorization"] == "Bearer ak_1.secret"
    assert asked.query == {"appid": ["shop"]}


def test_two_pictures_are_compared_in_one_form(api, service):
    api.answers = [Status(200, {"similarity": 0.9, "is_same_person": True, "message": "same"})]
    found = service.compare(PICTURE, b"another one")
    assert (found.similarity, found.is_same_person) == (0.9, True)
    (asked,) = api.asked
    assert asked.path == "/compare"
    assert PICTURE in asked.body
    assert b'name="image2"' in asked.body


CHANGES = {
    "face/add": (lambda s: s.add(PICTURE, "g", "u", info="i", replace=True), "REPLACE"),
    "face/update": (lambda s: s.update(PICTURE, "g", "u", create=True), "REPLACE"),
    "face/delete": (lambda s: s.delete_face("u", "g", Token("f1")), None),
    "user/copy": (lambda s: s.copy_user("u", "g", "h"), None),
    "user/delete": (lambda s: s.delete_user("u", "@ALL"), None),
    "group/add": (lambda s: s.create_group("g"), None),
    "group/delete": (lambda s: s.delete_group("g"), None),
}


@pytest.mark.parametrize("path", CHANGES)
def test_changes_go_to_their_paths(api, service, path):
    call, action = CHANGES[path]
    api.answers = [{"face_token": "f1", "location": LOCATION}]
    call(service)
    assert api.asked[0].path == f"/face-api/v3/{path}"
    assert sent(api).get("action_type") == action


# What is read.


def test_a_face_has_what_was_asked_for_as_typed_values(api, service):
    api.answers = [{"face_num": 1, "face_list": [FACE]}]
    (face,) = service.detect(PICTURE, fields=["age", "gender"], max_faces=5)
    assert sent(api)["face_field"] == "age,gender"
    assert face.token == "f1"
    assert face.location == Location(10.5, 20.0, 30.0, 40.0, -3.0)
    assert face.location.box == (10.5, 20.0, 40.5, 60.0)
    assert face.gender == Guess("female", 0.9)
    assert face.emotion is None
    assert face.landmarks == ((1.0, 2.0),) * 4
    assert face.quality is not None
    assert face.quality.occlusion == {"nose": 0.1}
    assert face.raw["eye_status"]["left_eye"] == 0.9


def test_a_registered_face_has_no_place_in_a_picture(api, service):
    api.answers = [{"face_token": "f1", "location": {}}]
    assert service.add(Token("f1"), "staff", "ada").location is None


def test_the_token_of_an_answer_stands_for_a_picture_again(api, service):
    api.answers = [{"face_num": 1, "face_list": [FACE]}]
    (face,) = service.detect(PICTURE)
    service.detect(face.token)
    assert api.asked[1].json["image_type"] == "FACE_TOKEN"


def test_no_face_and_nobody_are_empty_results(api, service):
    api.answers = [Error(222202)]
    assert service.detect(PICTURE) == ()
    assert service.multi_search(PICTURE, "staff") == ()
    api.answers = [Error(222207)]
    assert service.identify(PICTURE, "staff").users == ()
    assert service.multi_search(PICTURE, "staff") == ()


def test_a_face_that_is_needed_is_an_error_when_it_is_missing(api, service):
    api.answers = [Error(222202, "pic not has face")]
    for call in (
        lambda: service.identify(PICTURE, "staff"),
        lambda: service.add(PICTURE, "staff", "ada"),
        lambda: service.match(PICTURE, PICTURE),
    ):
        with pytest.raises(FaceServiceError, match="pic not has face") as raised:
            call()
        assert raised.value.code == 222202


def test_searches_name_users_with_their_scores(api, service):
    api.answers = [{"face_token": "f1", "user_list": [HIT]}]
    found = service.identify(PICTURE, "staff")
    assert found.token == "f1"
    (user,) = found.users
    assert (user.group, user.user, user.info, user.score) == ("staff", "ada", "Ada L.", 91.5)
    one = {"face_token": "f1", "location": LOCATION, "user_list": [HIT]}
    api.answers = [{"face_num": 2, "face_list": [one, {**one, "user_list": []}]}]
    faces = service.multi_search(PICTURE, "staff")
    assert [len(face.users) for face in faces] == [1, 0]
    assert "user_id" not in api.asked[-1].json
    service.multi_search(PICTURE, "staff", user="ada")
    assert api.asked[-1].json["user_id"] == "ada"


def test_listings_and_users_are_read(api, service):
    for result, call, expected in (
        ({"user_id_list": ["ada"]}, lambda: service.users("staff"), ("ada",)),
        ({"group_id_list": ["staff"]}, lambda: service.groups(), ("staff",)),
        ({"app_id_list": ["shop"]}, lambda: service.apps(), ("shop",)),
    ):
        api.answers = [result]
        assert call() == expected
    api.answers = [{"user_list": [{"user_info": "Ada L.", "group_id": "staff"}]}]
    (membership,) = service.user("ada")
    assert (membership.group, membership.info) == ("staff", "Ada L.")
    api.answers = [{"face_list": [{"face_token": "f1", "ctime": "2026-01-31 12:00:00"}]}]
    (face,) = service.faces("ada", "staff")
    assert face.created == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_statistics_are_read(api, service):
    api.answers = [{"shop": {"group_num": 2, "user_num": 3, "face_num": 4}}]
    (app,) = service.app_statistics(["shop", "office"])
    assert (app.app, app.groups, app.users, app.faces) == ("shop", 2, 3, 4)
    assert api.asked[-1].path == "/face-api/facehub/statapp"
    assert api.asked[-1].json == {"op_app_id_list": "shop,office"}
    times = {"ctime": "2026-01-31 12:00:00", "utime": "2026-02-01 00:00:00"}
    api.answers = [{"staff": {"user_num": 3, "face_num": 4, **times}}]
    (group,) = service.group_statistics()
    assert (group.group, group.users, group.faces) == ("staff", 3, 4)
    assert (group.created.day, group.updated.day) == (31, 1)
    assert api.asked[-1].path == "/face-api/facehub/statgroup"
    assert api.asked[-1].json == {}
    service.group_statistics("staff", app="shop")
    assert api.asked[-1].json == {"group_id_list": "staff", "op_app_id": "shop"}


def test_liveness_is_read_with_its_thresholds(api, service):
    live = {**FACE, "liveness": {"livemapscore": 0.8}}
    thresholds = {"frr_1e-4": 0.1, "frr_1e-3": 0.3, "frr_1e-2": 0.9}
    api.answers = [{"face_liveness": 0.8, "thresholds": thresholds, "face_list": [live]}]
    found = service.liveness([PICTURE])
    assert (found.score, found.thresholds["frr_1e-3"]) == (0.8, 0.3)
    assert found.faces[0].liveness == 0.8


@pytest.mark.parametrize(("status", "ok"), [(200, True), (503, False)])
def test_health_is_an_answer_either_way(api, service, status, ok):
    reasons = [] if ok else ["The face library does not answer."]
    document = {
        "status": "ok" if ok else "unavailable",
        "reasons": reasons,
        "models": {"ArcFace": "mobilefacenet_128"},
        "versions": {"python": "3.9.18"},
        "uptime_s": 5.5,
        "licences": {"mobilefacenet_128": "InsightFace, non-commercial research"},
    }
    api.answers = [Status(status, document)]
    report = service.health()
    assert report.licences == document["licences"]
    assert (report.ok, list(report.reasons)) == (ok, reasons)
    assert len(api.asked) == 1


# What is sent again.


@pytest.mark.parametrize("trouble", [Error(18), Error(222901), Status(503), Status(429), None])
def test_a_question_is_asked_again_while_the_service_is_busy_or_lost(api, service, trouble):
    api.answers = [trouble, trouble, {"user_id_list": ["ada"]}]
    assert service.users("staff") == ("ada",)
    assert len(api.asked) == 3


def test_a_question_is_not_asked_for_ever(api, service):
    api.answers = [Error(18, "limit reached")]
    with pytest.raises(FaceServiceError, match="18: limit reached"):
        service.users("staff")
    assert len(api.asked) == 3


@pytest.mark.parametrize("trouble", [Error(18), Error(222901), None])
def test_a_change_is_never_sent_twice(api, service, trouble):
    api.answers = [trouble, {}]
    with pytest.raises(FaceServiceError):
        service.create_group("staff")
    assert len(api.asked) == 1


@pytest.mark.parametrize("trouble", [Error(222203), Error(222910), Error(110), Status(404)])
def test_what_would_be_refused_again_is_not_asked_again(api, service, trouble):
    api.answers = [trouble, {"user_id_list": []}]
    with pytest.raises(FaceServiceError):
        service.users("staff")
    assert len(api.asked) == 1


# What is raised.


def test_nobody_there_is_told_from_an_answer():
    with (
        FaceService(f"http://127.0.0.1:{free_ports()[0]}", retries=1) as service,
        pytest.raises(NoAnswerError, match="no service at") as raised,
    ):
        service.groups()
    assert (raised.value.kind, raised.value.code) == ("unreachable", 0)


def test_an_answer_that_is_late_is_an_error():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with FaceService(url, timeout=0.05) as service, pytest.raises(NoAnswerError) as raised:
            service.groups()
    assert raised.value.kind == "timeout"


def test_a_change_whose_connection_broke_may_have_been_made(api, service):
    api.answers = [None]
    with pytest.raises(NoAnswerError) as raised:
        service.create_group("staff")
    assert raised.value.kind == "connection-lost"


@pytest.mark.parametrize(
    "answer",
    [
        Status(200, text="<html>a proxy's page</html>"),
        Status(200, ["a", "list"]),
        Status(200, {"error_msg": "no number"}),
        {"face_num": 1, "face_list": [{"face_token": "f1"}]},
        {"face_num": 1},
    ],
)
def test_what_is_no_answer_of_this_api_is_said_to_be_none(api, service, answer):
    api.answers = [answer]
    with pytest.raises(NoAnswerError) as raised:
        service.detect(PICTURE)
    assert raised.value.kind == "malformed"


def test_a_plain_refusal_has_its_status_and_reason(api, service):
    api.answers = [Status(400, {"message": "image2 is missing"})]
    with pytest.raises(FaceServiceError, match="400: image2 is missing"):
        service.compare(PICTURE, PICTURE)


@pytest.mark.parametrize("url", ["127.0.0.1:8300", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(ValueError, match="not"):
        FaceService(url)


# Both clients.


def calls_of(kind: type) -> dict[str, Any]:
    return {
        name: inspect.signature(call)
        for name, call in vars(kind).items()
        if not name.startswith("_") and name not in ("close", "aclose")
    }


def test_both_clients_have_the_same_calls():
    assert calls_of(AsyncFaceService) == calls_of(FaceService)
    assert "multi_search" in calls_of(FaceService)


def test_tasks_share_the_asynchronous_client(api):
    api.answers = [Error(18), {"group_id_list": ["staff"]}]

    async def run() -> list[Any]:
        async with AsyncFaceService(api.url) as service:
            return await asyncio.gather(*(service.groups() for _ in range(5)))

    assert asyncio.run(run()) == [("staff",)] * 5


def test_the_asynchronous_client_raises_the_same_errors(api):
    api.answers = [Error(223100, "group is not exist")]

    async def run() -> None:
        async with AsyncFaceService(api.url) as service:
            await service.users("nobody")

    with pytest.raises(FaceServiceError) as raised:
        asyncio.run(run())
    assert raised.value.code == 223100


def test_importing_the_package_alone_imports_no_http_library():
    loaded = "print('httpx' in sys.modules)"
    code = f"import client, sys; {loaded}; client.FaceService; {loaded}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
