"""Faces that lie, stand on their head or fill the picture; what is no face; alignment not trusted.

Through the pipeline's service and through the gateway.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from bench.quality.finding import WITHOUT_FACE, crop, noisy, without_face
from bench.turned import turn
from library.commands.selection import RefusedError, Selection
from tests.support import pictures
from tests.support.gateway.client import App, by_token, head, of
from tests.support.models.recognisers import alike
from tests.support.pictures import ONE, base64_of, encode
from tests.support.service import faces

pytestmark = pytest.mark.service

QUARTERS = (90, 180, 270)
BETWEEN = (20, 45, 135, 225, 300)
NO_FACE, INCOMPLETE, USER_NOT_FOUND = 222202, 223116, 223103
WANT = ["landmarks", "embedding", "angle"]


def sent(pixels: np.ndarray) -> str:
    return base64_of(encode(np.ascontiguousarray(pixels)))


def apart(one: float, other: float) -> float:
    """Degrees between two directions."""
    return abs((one - other + 180) % 360 - 180)


def unsure() -> str:
    """A face that lies on its side, with one half of it covered."""
    covered = head()
    covered[:, :142] = 60
    return base64_of(encode(turn(covered, 90), "PNG"))


@pytest.mark.parametrize(
    ("picture", "degrees"),
    [(pictures.astronaut, d) for d in QUARTERS] + [(head, d) for d in (*QUARTERS, *BETWEEN)],
)
def test_a_turned_face_is_found_its_roll_told_and_it_is_the_same_face(service, picture, degrees):
    (upright,) = faces(service.post(sent(picture()), want=WANT))
    (face,) = faces(service.post(sent(turn(picture(), degrees)), want=WANT))
    assert apart(face["angle"]["roll"], upright["angle"]["roll"] + degrees) < 10
    assert abs(face["angle"]["yaw"] - upright["angle"]["yaw"]) < 10
    assert np.dot(face["embedding"], upright["embedding"]) > 0.95


@pytest.mark.parametrize("degrees", QUARTERS)
def test_landmarks_of_a_turned_face_lie_where_its_eyes_are(service, degrees):
    (upright,) = faces(service.post(ONE))
    (face,) = faces(service.post(sent(turn(pictures.astronaut(), degrees))))
    side = pictures.astronaut().shape[0]
    points = np.array(upright["landmarks"])
    for _ in range(degrees // 90):
        points = np.stack([side - 1 - points[:, 1], points[:, 0]], axis=1)
    assert np.abs(points - face["landmarks"]).max() < 6


@pytest.mark.parametrize("degrees", QUARTERS)
def test_detection_tells_the_roll_of_a_turned_face_which_is_enrolled_and_found_upright(
    app: App, degrees
):
    turned = sent(turn(head(), degrees))
    (face,) = app.detect(turned)["face_list"]
    (upright,) = app.detect(sent(head()))["face_list"]
    roll = upright["angle"]["roll"] + degrees
    assert apart(face["angle"]["roll"], roll) < 10
    assert apart(face["location"]["rotation"], roll) < 10
    app.result("group/add", group_id="staff")
    added = app.result(
        "face/add", image=turned, image_type="BASE64", group_id="staff", user_id="eileen"
    )
    assert apart(added["location"]["rotation"], roll) < 10
    found = app.result(
        "face/identify", image=sent(head()), image_type="BASE64", group_id_list="staff"
    )
    assert found["user_list"][0]["user_id"] == "eileen"


def test_a_face_whose_alignment_is_not_sure_has_no_embedding_and_says_why(service):
    (face,) = faces(service.post(unsure(), want=[*WANT, "aligned"]))
    assert face["no_embedding"] == "ALIGNMENT_UNSURE"
    assert "embedding" not in face
    assert "aligned" not in face
    (face,) = faces(service.post(unsure(), want=["landmarks"]))
    assert "no_embedding" not in face
    (face,) = faces(service.post(ONE, want=WANT))
    assert "no_embedding" not in face


def test_a_face_whose_alignment_is_not_sure_is_seen_but_neither_enrolled_nor_compared(app: App):
    app.result("group/add", group_id="staff")
    (face,) = app.detect(unsure(), face_field="feature,quality")["face_list"]
    assert "feature" not in face
    person = {"group_id": "staff", "user_id": "nobody"}
    by_picture = {"image": unsure(), "image_type": "BASE64"}
    named = by_token(face["face_token"])
    for image in (by_picture, named):
        assert app.code("face/add", **image, **person) == INCOMPLETE
        assert app.code("face/identify", **image, group_id_list="staff") == INCOMPLETE
        assert app.code("face/match", [of(sent(head())), image]) == INCOMPLETE
    assert app.code("user/get", **person) == USER_NOT_FOUND
    form = {"image1": (None, unsure()), "image2": (None, sent(head()))}
    answer = app.client.post("/compare", files=form)
    assert (answer.status_code, answer.json()["error_code"]) == (400, INCOMPLETE)


def test_an_import_refuses_a_face_whose_alignment_is_not_sure(service):
    from client.pipeline.answer import read_answer  # the typed answer that the import gets

    answer = service.post(unsure())
    read = read_answer(answer["err_no"], answer["err_msg"], answer["key"], answer["value"])
    with pytest.raises(RefusedError) as refused:
        Selection().choose(read.image.faces)
    assert refused.value.reason == "alignment_unsure"


def test_what_is_no_face_is_not_found(service):
    for name, picture in zip((*WITHOUT_FACE, *range(9)), without_face()):
        found = faces(service.post(sent(picture)))
        # A cat's face is one to some, but nobody's.
        assert found == [] or name == "chelsea"
        assert not any("embedding" in face for face in found)


def test_a_rocket_is_no_person(app: App):
    rocket = sent(skimage.data.rocket())
    assert app.code("face/detect", image=rocket, image_type="BASE64") == NO_FACE
    person = {"group_id": "staff", "user_id": "man_of_41"}
    assert app.code("face/add", image=rocket, image_type="BASE64", **person) == NO_FACE


@pytest.mark.parametrize("inside", [0.05, 0.1])
def test_a_face_that_fills_the_picture_is_found_in_the_pictures_own_pixels(service, inside):
    (whole,) = faces(service.post(ONE, want=WANT))
    box = np.array(whole["box"])
    margin = np.round(inside * (box[2:] - box[:2]))
    left, top = np.round(box[:2] + margin).astype(int)
    right, bottom = np.round(box[2:] - margin).astype(int)
    # As large as such crops come, so that it is reduced for the second look.
    crop = np.ascontiguousarray(pictures.astronaut()[top:bottom, left:right])
    large = cv2.resize(crop, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    (face,) = faces(service.post(sent(large), want=WANT))
    points = (np.array(whole["landmarks"]) - (left, top) + 0.5) * 8 - 0.5
    assert np.abs(points - face["landmarks"]).max() < 0.1 * large.shape[0]
    x1, y1, x2, y2 = face["box"]
    assert 0 <= x1 < x2 <= large.shape[1]
    assert 0 <= y1 < y2 <= large.shape[0]
    assert alike(face["embedding"], whole["embedding"]) > 0.52


def test_a_small_noisy_face_is_found(service):
    random = np.random.RandomState(3)
    (whole,) = faces(service.post(ONE))
    for _ in range(5):
        (face,) = faces(service.post(sent(noisy(head(), random))))
        assert alike(face["embedding"], whole["embedding"]) > 0.52


def test_a_face_has_one_box(service):
    box = np.array(faces(service.post(ONE))[0]["box"])
    for degrees in (0, *QUARTERS, *BETWEEN):
        for picture in (head(), crop(pictures.astronaut(), box)):
            assert len(faces(service.post(sent(turn(picture, degrees))))) <= 1
