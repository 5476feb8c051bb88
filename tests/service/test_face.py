"""What the service says about a face beyond its box: angle, quality, mesh, expression."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from client.pipeline.answer import read_answer
from tests.support import pictures
from tests.support.pictures import ONE, crowd
from vision.occlusion import REGIONS

pytestmark = pytest.mark.service


def faces(answer):
    assert answer["err_no"] == 0, answer["err_msg"]
    (image,) = json.loads(answer["value"][0])["images"]
    return image["faces"]


def test_angle_quality_and_mesh_are_told_where_they_are_asked_for(service):
    (face,) = faces(service.post(ONE, want=["angle", "quality", "mesh"]))
    assert set(face) == {"box", "score", "angle", "quality", "mesh"}
    assert set(face["angle"]) == {"yaw", "pitch", "roll"}
    assert max(map(abs, face["angle"].values())) < 10
    assert 0 <= face["quality"]["blur"] < 0.1
    assert 100 < face["quality"]["illumination"] < 220
    assert face["quality"]["completeness"] > 0.98
    assert set(face["quality"]["occlusion"]) == set(REGIONS)
    assert max(face["quality"]["occlusion"].values()) < 0.6
    mesh = np.array(face["mesh"])
    assert mesh.shape == (468, 3)
    x1, y1, x2, y2 = face["box"]
    middle = mesh[:, :2].mean(axis=0)
    assert x1 < middle[0] < x2
    assert y1 < middle[1] < y2


def test_landmarks_are_points_of_the_mesh(service):
    (face,) = faces(service.post(ONE, want=["landmarks", "mesh"]))
    nose, left, right = (np.array(face["mesh"])[vertex, :2] for vertex in (1, 61, 291))
    np.testing.assert_allclose(face["landmarks"][2:], [nose, left, right], atol=0.02)


def test_every_face_of_a_picture_has_its_own(service):
    found = faces(service.post(crowd(3), want=["angle", "quality"], max_faces=20))
    assert len(found) == 6
    assert all(face["quality"]["completeness"] > 0.95 for face in found)
    assert all(abs(face["angle"]["yaw"]) < 10 for face in found)


def test_of_an_aligned_face_blur_and_illumination_can_be_told(service):
    (crop,) = faces(service.post(ONE, want=["aligned", "quality"]))
    want = ["angle", "quality", "mesh"]
    (face,) = faces(service.post(crop["aligned"], aligned=True, want=want))
    assert set(face) == {"box", "score", "quality"}
    assert set(face["quality"]) == {"blur", "illumination"}
    assert face["quality"]["blur"] == pytest.approx(crop["quality"]["blur"], abs=0.02)


def test_a_dark_picture_and_a_cut_one_are_told_from_a_good_one(service):
    dark = pictures.base64_of(pictures.encode(pictures.astronaut() // 8))
    (face,) = faces(service.post(dark, want=["quality"]))
    assert face["quality"]["illumination"] < 30
    cut = pictures.base64_of(pictures.encode(pictures.astronaut()[:, 200:]))
    (face,) = faces(service.post(cut, want=["quality"]))
    assert face["quality"]["completeness"] < 0.96


def test_a_patch_over_an_eye_is_told_as_an_eye_that_is_covered(service):
    covered = pictures.astronaut()
    cv2.ellipse(covered, (203, 101), (18, 13), 0, 0, 360, (90, 90, 90), -1)
    (face,) = faces(service.post(pictures.base64_of(pictures.encode(covered)), want=["quality"]))
    occlusion = face["quality"]["occlusion"]
    assert max(occlusion, key=occlusion.get) == "left_eye"
    assert occlusion["left_eye"] > 0.8


def test_a_happy_face_smiles_and_its_emotions_add_up_to_one(service):
    (face,) = faces(service.post(ONE, want=["attributes"]))
    assert face["attributes"]["expression"]["type"] == "smile"
    assert 0.3 < face["attributes"]["expression"]["probability"] <= 1
    probabilities = face["attributes"]["emotion"]["probabilities"]
    names = {"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"}
    assert set(probabilities) == names
    assert sum(probabilities.values()) == pytest.approx(1, abs=0.001)


def test_the_client_reads_what_is_new_as_typed_values(service):
    answer = service.post(ONE, want=["angle", "quality", "mesh"])
    read = read_answer(answer["err_no"], answer["err_msg"], answer["key"], answer["value"])
    (face,) = read.image.faces
    assert face.angle is not None
    assert face.quality is not None
    assert face.mesh is not None
    assert abs(face.angle.roll) < 10
    assert face.quality.completeness == pytest.approx(1, abs=0.02)
    assert face.mesh.shape == (468, 3)
