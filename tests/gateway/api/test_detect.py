"""face/detect, as the documents of the face API have it."""

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
    STYLES,
    App,
    by_token,
    head,
    new_app,
    turned,
)
from tests.support.pictures import base64_of, crowd, encode

EVERYTHING = (
    "age,gender,glasses,expression,emotion,landmark,landmark72,landmark150,quality,angle,"
    "face_shape,eye_status,face_type,spoofing,feature"
)
EXPRESSIONS = {"none", "smile", "laugh"}
EMOTIONS = {"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "pouty", "grimace"}


def one_face(app: App, image: str = FACE, **parameters):
    result = app.detect(image, **parameters)
    assert result["face_num"] == len(result["face_list"]) == 1
    return result["face_list"][0]


def quality(app: App, pixels: np.ndarray):
    return one_face(app, base64_of(encode(pixels)), face_field="quality")["quality"]


def test_a_face_is_described(any_app):
    face = one_face(any_app)
    place = face["location"]
    assert 0 <= place["left"] < place["left"] + place["width"] <= 256
    assert 0 <= place["top"] < place["top"] + place["height"] <= 256
    assert -180 <= place["rotation"] <= 180
    assert 0.4 <= face["face_probability"] <= 1
    assert set(face["angle"]) == {"yaw", "pitch", "roll"}
    assert isinstance(face["face_token"], str)
    assert len(face["face_token"]) == 32


def test_only_what_is_asked_for_is_answered(app):
    plain = one_face(app)
    extra = {"age", "gender", "expression", "emotion", "landmark", "landmark72", "spoofing"}
    assert not extra & plain.keys()
    assert extra & one_face(app, face_field="age,expression").keys() == {"age", "expression"}


def test_all_fields_at_once(any_app):
    face = one_face(any_app, face_field=EVERYTHING)
    assert 0 < face["age"] < 120
    assert face["gender"]["type"] in {"male", "female"}
    assert face["expression"]["type"] in EXPRESSIONS
    assert face["emotion"]["type"] in EMOTIONS
    for name in ("gender", "expression", "emotion"):
        assert 0 <= face[name]["probability"] <= 1
    assert 0 <= face["spoofing"] <= 1
    quality = face["quality"]
    assert 0 <= quality["blur"] <= 1
    assert 0 <= quality["illumination"] <= 255
    assert 0 <= quality["completeness"] <= 1
    assert quality["occlusion"]
    assert all(0 <= share <= 1 for share in quality["occlusion"].values())


def test_the_age_and_gender_of_the_sample_face(app):
    face = one_face(app, face_field="age,gender")
    assert 20 <= face["age"] <= 55
    assert face["gender"]["type"] == "female"


@pytest.mark.parametrize("field", EVERYTHING.split(","))
def test_each_field_can_be_asked_for_alone(app, field):
    assert one_face(app, face_field=field)["face_token"]


def test_landmarks_are_left_eye_right_eye_nose_and_mouth(app):
    face = one_face(app, face_field="landmark,landmark72")
    left, right, nose, mouth = face["landmark"]
    assert left["x"] < nose["x"] < right["x"]
    assert max(left["y"], right["y"]) < nose["y"] < mouth["y"]
    place = face["location"]
    assert len(face["landmark72"]) == 72
    for point in face["landmark"] + face["landmark72"]:
        assert place["left"] - place["width"] / 2 < point["x"]
        assert point["x"] < place["left"] + place["width"] * 3 / 2
        assert place["top"] - place["height"] / 2 < point["y"]
        assert point["y"] < place["top"] + place["height"] * 3 / 2


@pytest.mark.parametrize("degrees", [-25, 25])
def test_rotation_and_roll_count_clockwise_from_upright(app, degrees):
    upright = one_face(app)
    face = one_face(app, base64_of(encode(turned(head(), degrees))))
    assert abs(face["location"]["rotation"] - upright["location"]["rotation"] - degrees) < 10
    assert abs(face["angle"]["roll"] - upright["angle"]["roll"] - degrees) < 10


def test_the_mirrored_face_looks_the_other_way(app):
    yaw = one_face(app)["angle"]["yaw"]
    mirrored = one_face(app, base64_of(encode(head()[:, ::-1].copy())))["angle"]["yaw"]
    assert yaw * mirrored < 0 or abs(yaw) + abs(mirrored) < 10
    assert -90 <= yaw <= 90


def test_a_blurred_picture_is_more_blurred_than_a_sharp_one(app):
    sharp = quality(app, head())["blur"]
    assert sharp < 0.5 < quality(app, cv2.GaussianBlur(head(), (0, 0), 4))["blur"]


def test_a_dark_picture_has_less_light_than_a_bright_one(app):
    dark = quality(app, (head() * 0.2).astype(np.uint8))["illumination"]
    assert dark < 60 < quality(app, head())["illumination"]


def test_a_whole_face_is_complete(app):
    assert quality(app, head())["completeness"] > 0.9


@pytest.mark.parametrize(("most", "found"), [(1, 1), (3, 3), ("3", 3), (120, 4)])
def test_as_many_faces_as_are_asked_for_are_found(any_app, most, found):
    result = any_app.detect(crowd(2), max_face_num=most)
    assert result["face_num"] == len(result["face_list"]) == found
    assert len({face["face_token"] for face in result["face_list"]}) == found


def test_one_face_is_the_largest(app):
    small = cv2.resize(head(), (112, 112), interpolation=cv2.INTER_AREA)
    picture = np.full((256, 512, 3), 90, np.uint8)
    picture[72:184, 72:184] = small
    picture[:, 256:] = head()
    both = app.detect(base64_of(encode(picture)), max_face_num=2)["face_list"]
    (largest,) = app.detect(base64_of(encode(picture)))["face_list"]
    assert largest["location"] == both[0]["location"]
    assert largest["location"]["left"] > 256


@pytest.mark.parametrize(
    "image",
    ["data:image/jpeg;base64," + FACE, FACE[:100] + "\n" + FACE[100:]],
    ids=["data prefix", "line break"],
)
def test_base64_as_clients_write_it(app, image):
    assert one_face(app, image)["face_token"]


def test_plus_signs_that_a_form_client_did_not_quote_are_understood(app):
    # What a client sends that joins name=value by hand; a plus means a space there.
    assert "+" in FACE
    content = f"image={FACE.replace('=', '%3D')}&image_type=BASE64&appid={app.name}"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answer = app.client.post(app.address("face/detect"), content=content, headers=kind)
    assert answer.json()["error_code"] == 0


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_other_forms_of_pictures(app, kind):
    assert one_face(app, base64_of(encode(head(), kind)))["face_token"]


def test_a_detected_face_is_detected_again_by_its_token(any_app):
    found = one_face(any_app)
    again = any_app.result("face/detect", **by_token(found["face_token"]))
    (face,) = again["face_list"]
    assert face["location"] == found["location"]
    assert face["face_token"] == found["face_token"]


def test_a_token_is_no_other_apps(app, service):
    token = app.token(FACE)
    other = App(service.gateway_url, new_app())
    assert other.code("face/detect", **by_token(token)) == 222209


@pytest.mark.parametrize("kind", ["LIVE", "IDCARD", "WATERMARK", "CERT"])
def test_every_face_type_is_taken(app, kind):
    assert one_face(app, face_type=kind)["face_token"]


@pytest.mark.parametrize("control", ["NONE", "LOW"])
def test_liveness_control_lets_a_live_face_pass(app, control):
    assert app.code("face/detect", **PICTURE, liveness_control=control) in (0, 223120)
    assert app.code("face/detect", **PICTURE, liveness_control="NONE") == 0


def test_what_is_not_known_is_not_asked_about(app):
    assert one_face(app, colour="red", version="2.0")["face_token"]


def test_field_names_that_are_not_known_are_ignored(any_app):
    plain = one_face(any_app)
    named = one_face(any_app, face_field="race,facetype,parsing,lip_language,qualities,😀,a b")
    assert named.keys() == plain.keys()
    assert "age" in one_face(any_app, face_field="occlusion,age,liveness")


@pytest.mark.parametrize("field", ["landmark", "landmark72"])
def test_landmark_brings_the_72_points_with_it(app, field):
    face = one_face(app, face_field=field)
    assert len(face["landmark72"]) == 72
    assert ("landmark" in face) == (field == "landmark")


def test_a_place_is_told_in_the_types_that_clients_declare(app):
    for face in app.detect(crowd(2), max_face_num=4)["face_list"]:
        place = face["location"]
        assert {name: type(place[name]) for name in place} == {
            "left": float,
            "top": float,
            "width": int,
            "height": int,
            "rotation": int,
        }


ERRORS = {
    "no image": ({"image": None}, 222001),
    "no image_type": ({"image_type": None}, 222001),
    "unknown image_type": ({"image_type": "BASE46"}, 222013),
    "image_type is a number": ({"image_type": 5}, 222013),
    "face_field is an object": ({"face_field": {"age": 1}}, 222015),
    "face_field is without end": ({"face_field": "age," * 300}, 222015),
    "max_face_num is 0": ({"max_face_num": 0}, 222016),
    "max_face_num is 121": ({"max_face_num": 121}, 222016),
    "max_face_num is a word": ({"max_face_num": "many"}, 222016),
    "max_face_num is a fraction": ({"max_face_num": 1.5}, 222016),
    "unknown face_type": ({"face_type": "DEAD"}, 222017),
    "image is a list": ({"image": [FACE]}, 222018),
    "image is an object": ({"image": {"a": 1}}, 222018),
    "unknown liveness_control": ({"liveness_control": "SOME"}, 222020),
    "malformed appid": ({"appid": "a-b"}, 222014),
    "no face": ({"image": NOBODY}, 222202),
    "not base64": ({"image": "not/base64!"}, 222203),
    "truncated": ({"image": BROKEN}, 222203),
    "text": ({"image": base64_of(b"hello " * 100)}, 222203),
    "no picture's format": ({"image": base64_of(b"%PDF-1.7 and so on")}, 222203),
    "a URL where those are switched off": (
        {"image": "http://127.0.0.1/a.jpg", "image_type": "URL"},
        222013,
    ),
    "unknown token": (by_token("0" * 32), 222209),
    "malformed token": (by_token("../../etc/passwd"), 222209),
    "too many pixels": (
        {"image": base64_of(pictures.png_header_bomb(20_000, 20_000, 1_000_000))},
        222304,
    ),
    "too many bytes": ({"image": base64_of(bytes(17 * 1024 * 1024))}, 222304),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_done_has_its_number(app, case):
    change, number = ERRORS[case]
    content = {key: value for key, value in {**PICTURE, **change}.items() if value is not None}
    content.setdefault("appid", app.name)
    answer = app.client.post(app.address("face/detect"), json=content)
    assert answer.status_code == 200
    assert answer.json()["error_code"] == number
    assert answer.json()["result"] is None


@pytest.mark.parametrize("style", ["private-form-appid_in_query", "cloud-json", "cloud-form"])
@pytest.mark.parametrize("case", ["no image", "max_face_num is 0", "no face", "truncated"])
def test_errors_are_the_same_in_every_spelling(service, style, case):
    change, number = ERRORS[case]
    app = App(service.gateway_url, new_app(), STYLES[style])
    content = {key: value for key, value in {**PICTURE, **change}.items() if value is not None}
    assert app.code("face/detect", **content) == number


def test_a_request_without_an_app_is_the_default_apps(service):
    assert App(service.gateway_url, "").detect(FACE)["face_num"] == 1


def test_an_apps_name_may_be_a_number(service):
    app = App(service.gateway_url, "")
    answer = app.result("face/detect", appid=12345, **PICTURE)
    by_query = app.client.post(
        app.address("face/detect"),
        params={"appid": "12345"},
        json=by_token(answer["face_list"][0]["face_token"]),
    )
    assert by_query.json()["error_code"] == 0
