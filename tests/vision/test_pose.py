"""Angles of heads: of made-up meshes, and of a real picture that is turned and mirrored."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ops.local import LocalPipeline
from tests.support import pictures
from tests.support.heads import outline_of, turned, upright_mesh
from vision.pose import head_angles, head_rotations


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (-50, 10, 0), (20, -25, 140), (0, 0, -90)]
)
def test_angles_are_those_that_the_mesh_was_turned_by(angles: tuple[float, float, float]) -> None:
    (found,) = head_angles(head_rotations(turned(upright_mesh(), *angles)[None]))
    np.testing.assert_allclose(found, angles, atol=0.1)


def test_many_heads_are_measured_as_each_alone() -> None:
    meshes = np.stack([turned(upright_mesh(), 10 * k, 5, -7 * k) for k in range(-3, 4)])
    together = head_angles(head_rotations(meshes))
    alone = np.concatenate([head_angles(head_rotations(mesh[None])) for mesh in meshes])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_noise_of_a_hundredth_of_the_face_costs_few_degrees() -> None:
    noise = np.random.RandomState(7).normal(0, 2, (468, 3))
    mesh = (turned(upright_mesh(), 25, -10, 15) + noise).astype(np.float32)
    (found,) = head_angles(head_rotations(mesh[None]))
    np.testing.assert_allclose(found, [25, -10, 15], atol=3)


def test_a_nose_that_points_to_the_left_of_the_picture_is_a_positive_yaw() -> None:
    mesh = turned(upright_mesh(), 30, 0, 0)
    # The bridge of the nose moves to the left of the middle between the eye corners.
    assert mesh[197, 0] < (mesh[33, 0] + mesh[263, 0]) / 2


def test_the_outline_of_an_upright_head_is_symmetric_and_holds_its_eyes() -> None:
    outline = outline_of(turned(upright_mesh(), 0, 0, 0))
    left, top = outline.min(axis=0)
    right, bottom = outline.max(axis=0)
    assert (left + right) / 2 == pytest.approx(320, abs=1)
    assert 150 < right - left < 165
    assert top < 240 < bottom


@pytest.fixture(scope="module")
def pipeline(models: Path) -> LocalPipeline:
    return LocalPipeline({"Detection": [models / "blazeface"], "Landmark": [models / "facemesh"]})


def angles_of(pipeline: LocalPipeline, picture: np.ndarray) -> np.ndarray:
    (face,) = pipeline.analyze(np.ascontiguousarray(picture), want=["angle"], max_faces=1)
    assert face.angle is not None
    return face.angle


@pytest.mark.parametrize("degrees", [-60, -30, -10, 10, 30, 60, 90])
def test_turning_a_picture_adds_to_the_roll_and_leaves_the_rest(
    pipeline: LocalPipeline, degrees: int
) -> None:
    picture = pictures.astronaut()
    # OpenCV counts counterclockwise.
    matrix = cv2.getRotationMatrix2D((225, 125), -degrees, 1)
    rotated = cv2.warpAffine(picture, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    before, after = angles_of(pipeline, picture), angles_of(pipeline, rotated)
    assert after[2] - before[2] == pytest.approx(degrees, abs=4)
    assert np.abs(after[:2] - before[:2]).max() < 10


def test_a_mirrored_picture_has_the_opposite_yaw_and_roll(pipeline: LocalPipeline) -> None:
    # Turned in its plane first, so that there is a roll to compare.
    matrix = cv2.getRotationMatrix2D((225, 125), -20, 1)
    picture = cv2.warpAffine(
        pictures.astronaut(), matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE
    )[:300, 60:400]
    ours, mirrored = angles_of(pipeline, picture), angles_of(pipeline, picture[:, ::-1])
    np.testing.assert_allclose(mirrored, ours * [-1, 1, -1], atol=4)
