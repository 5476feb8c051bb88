"""face/match and face/liveness, as the documents of the face API have them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gateway.api.faces import PICTURE_NEEDED
from tests.conftest import SHARED
from tests.support import pictures
from tests.support.gateway.client import (
    BROKEN,
    FACE,
    IN_CLOUD,
    NOBODY,
    SIMILAR,
    App,
    by_token,
    head,
    new_app,
    of,
)
from tests.support.pictures import base64_of, encode
from tests.support.service import Service

FRIENDS = SHARED / "faces" / "friends" / "gallery"
PAIRS = SHARED / "faces" / "lfw_pairs"
LIVENESS = SHARED / "faces" / "liveness"
SAME_PERSON = 80


def file(path) -> str:
    if not path.is_file():
        pytest.skip(f"{path.name} is not here")
    return base64_of(path.read_bytes())


@pytest.fixture(params=["face-api", "rest"])
def matcher(service, request):
    """Both spellings; a JSON array leaves no room for an appid but in the query."""
    paths = {"face-api": "/face-api/v3/face/match", "rest": "/rest/2.0/face/v3/match"}
    made = App(service.gateway_url, new_app())
    return lambda elements: made.result(paths[request.param], elements)


def test_a_picture_matches_itself_with_100(matcher):
    result = matcher([of(FACE), of(FACE)])
    assert result["score"] > 99.9
    assert result["score"] <= 100
    assert len({face["face_token"] for face in result["face_list"]}) == 1


def test_two_pictures_of_one_face_match(matcher):
    assert SAME_PERSON < matcher([of(FACE), of(SIMILAR)])["score"] < 100


def test_faces_match_by_the_tokens_of_a_match_and_of_a_detection(app):
    tokens = [
        face["face_token"]
        for face in app.result("face/match", [of(FACE), of(SIMILAR)])["face_list"]
    ]
    direct = app.result("face/match", [of(FACE), of(SIMILAR)])["score"]
    matched = app.result("face/match", [by_token(tokens[0]), by_token(tokens[1])])
    assert matched["score"] == pytest.approx(direct, abs=0.01)
    assert [face["face_token"] for face in matched["face_list"]] == tokens
    mixed = app.result("face/match", [by_token(app.token(FACE)), of(SIMILAR)])
    assert mixed["score"] == pytest.approx(direct, abs=0.01)


def test_a_registered_face_matches_by_its_token(app):
    app.result("group/add", group_id="staff")
    token = app.enrol("staff", "eileen", FACE)
    assert app.result("face/match", [by_token(token), of(FACE)])["score"] > 99.9


def test_options_are_taken_with_each_picture(app):
    options = {"face_type": "IDCARD", "quality_control": "NONE", "liveness_control": "NONE"}
    assert app.result("face/match", [of(FACE, **options), of(FACE, face_type="LIVE")])["score"] > 99


def test_the_order_of_the_pictures_does_not_matter(app):
    one = app.result("face/match", [of(FACE), of(SIMILAR)])["score"]
    assert app.result("face/match", [of(SIMILAR), of(FACE)])["score"] == pytest.approx(one)


ERRORS = {
    "an object": ({"image": FACE}, 216100),
    "no picture": ([], 216100),
    "one picture": ([of(FACE)], 216100),
    "three pictures": ([of(FACE)] * 3, 216100),
    "words": (["a", "b"], 216100),
    "no image": ([of(FACE), {"image_type": "BASE64"}], 222001),
    "no image_type": ([{"image": FACE}, of(FACE)], 222001),
    "unknown image_type": ([of(FACE), {"image": FACE, "image_type": "X"}], 222013),
    "unknown face_type": ([of(FACE, face_type="DEAD"), of(FACE)], 222017),
    "unknown quality_control": ([of(FACE), of(FACE, quality_control="SOME")], 222019),
    "unknown liveness_control": ([of(FACE), of(FACE, liveness_control=1)], 222020),
    "no face in the second": ([of(FACE), of(NOBODY)], 222202),
    "no face in the first": ([of(NOBODY), of(FACE)], 222202),
    "truncated": ([of(BROKEN), of(FACE)], 222203),
    "unknown token": ([of(FACE), by_token("f" * 32)], 222209),
    "too many pixels": (
        [of(FACE), of(base64_of(pictures.png_header_bomb(20_000, 20_000, 1000)))],
        222304,
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_matched_has_its_number(app, case):
    elements, number = ERRORS[case]
    assert app.code("face/match", elements) == number


def spoilt(kind: str) -> str:
    pixels = head()
    if kind == "blurred":
        pixels = cv2.GaussianBlur(pixels, (0, 0), 4)
    elif kind == "dark":
        pixels = (pixels * 0.06).astype(np.uint8)
    elif kind == "cut":
        pixels = np.ascontiguousarray(pixels[80:])
    elif kind == "covered":
        pixels = pixels.copy()
        pixels[130:200, 60:200] = (60, 90, 120)
    return base64_of(encode(pixels))


@pytest.mark.parametrize(
    ("kind", "number"),
    [("covered", 223113), ("blurred", 223114), ("dark", 223115), ("cut", 223116)],
)
def test_a_poor_picture_does_not_pass_high_quality_control(app, kind, number):
    poor = spoilt(kind)
    assert app.code("face/match", [of(FACE), of(poor)]) == 0
    assert app.code("face/match", [of(FACE), of(poor, quality_control="HIGH")]) == number


@pytest.mark.parametrize("control", ["LOW", "NORMAL"])
def test_a_good_picture_passes_quality_control(app, control):
    assert app.code("face/match", [of(FACE, quality_control=control)] * 2) == 0


def friend(name: str, which: int) -> str:
    found = sorted((FRIENDS / name).glob("*"))
    if len(found) <= which:
        pytest.skip("the pictures of friends are not here")
    return base64_of(found[which].read_bytes())


def test_two_people_do_not_match_and_one_does(app):
    phoebe = of(friend("Phoebe", 0))
    assert app.result("face/match", [phoebe, of(friend("Phoebe", 1))])["score"] > SAME_PERSON
    assert app.result("face/match", [phoebe, of(friend("Monica", 0))])["score"] < SAME_PERSON


@pytest.mark.parametrize("pair", range(10))
def test_aligned_faces_of_one_person_match(app, models, pair):
    if not (models / "mobilefacenet_128" / "model.yml").is_file():
        pytest.skip("mobilefacenet_128 has not been converted")
    elements = [of(file(PAIRS / f"{pair}{side}.jpg")) for side in "ab"]
    assert app.result("face/match", elements)["score"] > SAME_PERSON


@pytest.mark.parametrize("path", ["face/liveness", "/face-api/v3/face/faceverify", "faceverify"])
def test_liveness_of_a_picture(app, path):
    if path in IN_CLOUD.values():
        path = "/rest/2.0/face/v3/" + path
    result = app.result(path, [of(FACE)])
    assert 0 <= result["face_liveness"] <= 1
    bounds = [result["thresholds"][name] for name in ("frr_1e-4", "frr_1e-3", "frr_1e-2")]
    assert bounds == sorted(bounds)
    assert all(0 <= bound <= 1 for bound in bounds)
    assert len(result["face_list"]) == 1
    assert result["face_list"][0]["face_token"]


def test_liveness_of_several_pictures_is_the_greatest_of_theirs(app):
    alone = [app.result("face/liveness", [of(one)])["face_liveness"] for one in (FACE, SIMILAR)]
    both = app.result("face/liveness", [of(FACE), of(SIMILAR)])
    assert both["face_liveness"] == pytest.approx(max(alone), abs=1e-3)
    told = [face["liveness"]["livemapscore"] for face in both["face_list"]]
    assert told == pytest.approx(alone, abs=1e-3)


def test_liveness_of_a_detected_face_by_its_token(app):
    seen = app.result("face/liveness", [of(FACE)])
    token = app.token(FACE)
    named = app.result("face/liveness", [by_token(token, face_field="age"), of(SIMILAR)])
    assert named["face_list"][0]["face_token"] == token
    told = named["face_list"][0]["liveness"]["livemapscore"]
    assert told == pytest.approx(seen["face_liveness"], abs=1e-3)


def test_a_token_of_which_no_liveness_is_known_asks_for_the_picture(app):
    app.result("group/add", group_id="staff")
    answer = app.ask("face/liveness", [by_token(app.enrol("staff", "eileen", FACE))])
    assert (answer["error_code"], answer["error_detail"]) == (222013, PICTURE_NEEDED)


def test_liveness_of_several_pictures_and_what_is_asked_for(app):
    result = app.result("face/liveness", [of(FACE, face_field="age,quality"), of(SIMILAR)])
    assert len(result["face_list"]) == 2
    assert result["face_list"][0]["age"] > 0
    assert len(app.result("face/liveness", [of(FACE)] * 8)["face_list"]) == 8


LIVENESS_ERRORS = {
    "no picture": ([], 216100),
    "nine pictures": ([of(FACE)] * 9, 216100),
    "words": (["a"], 216100),
    "no image": ([{"image_type": "BASE64"}], 222001),
    "unknown image_type": ([{"image": FACE, "image_type": "X"}], 222013),
    "face_field is an object": ([of(FACE, face_field={"age": 1})], 222015),
    "no face": ([of(FACE), of(NOBODY)], 222202),
    "truncated": ([of(BROKEN)], 222203),
    "unknown token": ([by_token("f" * 32)], 222209),
}


@pytest.mark.parametrize("case", LIVENESS_ERRORS)
def test_what_cannot_be_told_alive_has_its_number(app, case):
    elements, number = LIVENESS_ERRORS[case]
    assert app.code("face/liveness", elements) == number


@pytest.fixture(scope="module")
def watchful(models, tmp_path_factory):
    """A service that tells liveness with the models that look at the whole picture."""
    names = ["minifasnet_v2", "minifasnet_v1se"]
    if not all((models / name / "model.yml").is_file() for name in names):
        pytest.skip("the models minifasnet_* have not been converted")
    if not LIVENESS.is_dir():
        pytest.skip("the pictures of liveness are not here")

    def change(settings):
        settings["op"]["Liveness"]["models"] = names

    running = Service(tmp_path_factory.mktemp("watchful"), change, gateway=True).start()
    yield running
    running.kill()


def test_re_captured_faces_are_told_from_a_live_one(watchful):
    app = App(watchful.gateway_url, new_app())
    pictures_of = {name: file(LIVENESS / f"image_{name}.jpg") for name in ("T1", "F1", "F2")}
    told = {name: app.result("face/liveness", [of(image)]) for name, image in pictures_of.items()}
    # More likely live than not; what share of live faces stays below is another question.
    assert told["T1"]["face_liveness"] > 0.5
    assert told["F1"]["face_liveness"] < 0.5
    assert told["F2"]["face_liveness"] < 0.5
    app.result("group/add", group_id="staff")
    live = of(pictures_of["T1"], liveness_control="HIGH", group_id="staff")
    again = of(pictures_of["F1"], liveness_control="HIGH", group_id="staff")
    assert app.code("face/add", user_id="a", **live) == 0
    assert app.code("face/add", user_id="b", **again) == 223120
    assert app.code("face/detect", **of(pictures_of["F1"], liveness_control="HIGH")) == 223120
    assert app.users("staff") == ["a"]
