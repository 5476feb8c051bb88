"""The 72 and 150 points on a real face and on mirrored and moved meshes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ops.local import LocalPipeline
from tests.support import pictures
from tests.support.heads import outline_of
from vision.face_points import landmark72, landmark150


@pytest.fixture(scope="module")
def mesh(models: Path) -> np.ndarray:
    """The sample picture's face, which looks at the camera."""
    pipeline = LocalPipeline(
        {"Detection": [models / "blazeface"], "Landmark": [models / "facemesh"]}
    )
    (face,) = pipeline.analyze(pictures.astronaut(), want=["mesh"])
    assert face.mesh is not None
    return face.mesh


def test_there_are_150_names_and_72_of_the_points_are_among_them(mesh: np.ndarray) -> None:
    named = landmark150(mesh)
    points = landmark72(mesh)
    assert len(named) == 150
    assert points.shape == (72, 2)
    known = np.array(list(named.values()))
    distances = np.linalg.norm(points[:, None] - known[None], axis=2).min(axis=1)
    assert distances.max() < 1e-3
    assert len(np.unique(points, axis=0)) == 72


def test_the_order_of_the_72_goes_round_each_part(mesh: np.ndarray) -> None:
    points = landmark72(mesh)
    x, y = points.T
    jaw, nose = points[:13], points[47:58]
    assert (np.diff(jaw[:, 0]) > 0)[1:-1].all()
    assert jaw[:, 1].argmax() == 6
    for corner, other in ((13, 17), (22, 26), (30, 34), (39, 43), (58, 62)):
        assert x[corner] < x[other]
        assert y[corner + 1 : other].max() < y[other + 1 : other + 4].min()
    assert x[13] < x[21] < x[17] < x[30] < x[38] < x[34]
    assert nose[:5, 0].max() < nose[5:10, 0].min()
    assert nose[:4, 1].tolist() == sorted(nose[:4, 1])
    assert y[66:69].max() < y[69:72].min()


def test_eyes_nose_and_mouth_are_those_of_the_landmarks(models: Path) -> None:
    pipeline = LocalPipeline(
        {"Detection": [models / "blazeface"], "Landmark": [models / "facemesh"]}
    )
    (face,) = pipeline.analyze(pictures.astronaut(), want=["mesh"])
    assert face.mesh is not None
    points = landmark72(face.mesh)
    expected = face.landmarks
    np.testing.assert_allclose(points[[57, 58, 62]], expected[2:], atol=1e-3)
    np.testing.assert_allclose(points[[21, 38]], expected[:2], atol=2)


def test_names_of_left_and_right_are_the_subjects(mesh: np.ndarray) -> None:
    named = landmark150(mesh)
    assert named["cheek_right_1"][0] < named["nose_tip"][0] < named["cheek_left_1"][0]
    assert named["eye_right_corner_right"][0] < named["eye_right_corner_left"][0]
    assert named["eye_right_eyeball_right"][0] < named["eye_right_eyeball_left"][0]


def test_all_points_lie_on_the_face(mesh: np.ndarray) -> None:
    outline = outline_of(mesh)
    margin = 0.08 * (outline.max(axis=0) - outline.min(axis=0))
    points = np.array(list(landmark150(mesh).values()))
    assert (points > outline.min(axis=0) - margin).all()
    assert (points < outline.max(axis=0) + margin).all()


def test_points_move_with_the_mesh_and_a_list_of_the_answer_will_do(mesh: np.ndarray) -> None:
    moved = landmark72((mesh * 2 + [10, 20, 0]).tolist())
    np.testing.assert_allclose(moved, landmark72(mesh) * 2 + [10, 20], atol=1e-2)
