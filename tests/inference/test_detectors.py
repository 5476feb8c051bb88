"""Detectors: what is planted in the outputs is found, in pixels of the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.adapters.blazeface import anchor_centers
from tests.support.models.adapter_cases import (
    FAMILIES,
    adapter,
    expected_in_picture,
    prepare,
    quiet,
)
from vision.face import Detections

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = ROOT.parent / "shared"


@pytest.mark.parametrize(
    ("scores", "offsets", "grid", "each", "anchor"),
    [
        ("Identity", "Identity_2", 16, 2, 2 * (16 * 5 + 9) + 1),
        ("Identity_1", "Identity_3", 8, 6, 6 * (8 * 4 + 2) + 3),
    ],
)
def test_a_face_planted_at_a_blazeface_anchor_is_found(
    tmp_path: Path, scores: str, offsets: str, grid: int, each: int, anchor: int
) -> None:
    made = adapter(tmp_path, "blazeface")
    outputs = quiet("blazeface", -20.0)
    _, (place, shape) = prepare(made, np.zeros((400, 600, 3), np.uint8), None)
    cell = anchor // each
    center = (np.array([cell % grid, cell // grid]) + 0.5) * 256 / grid
    np.testing.assert_allclose(anchor_centers(256, grid, each)[anchor], center)
    points = np.arange(12).reshape(6, 2)
    outputs[scores][0, anchor] = 2.0
    outputs[offsets][0, anchor] = [3, -2, 40, 30, *points.ravel()]
    (found,) = made.decode(outputs, [(place, shape)])
    middle = center + np.array([3, -2])
    corners = np.stack([middle - [20, 15], middle + np.array([20, 15])])
    np.testing.assert_allclose(
        found.boxes[0].reshape(2, 2), expected_in_picture(corners, place), rtol=1e-4
    )
    np.testing.assert_allclose(
        found.keypoints[0], expected_in_picture(center + points, place) - 0.5, rtol=1e-4
    )
    assert found.scores == pytest.approx([1 / (1 + np.exp(-2.0))])


def test_doubles_of_a_blazeface_are_one_face_and_two_faces_are_two(tmp_path: Path) -> None:
    made = adapter(tmp_path, "blazeface")
    outputs = quiet("blazeface", -20.0)
    outputs["Identity_2"][:] = [0, 0, 60, 60, *[1] * 12]
    for anchor in (100, 101, 102, 103, 420):
        outputs["Identity"][0, anchor] = 1.0 + anchor / 500
    context = prepare(made, np.zeros((256, 256, 3), np.uint8), None)[1]
    (found,) = made.decode(outputs, [context])
    assert len(found) == 2
    assert (np.diff(found.scores) <= 0).all()


def test_a_face_planted_at_an_scrfd_anchor_is_found(tmp_path: Path) -> None:
    made = adapter(tmp_path, "scrfd")
    outputs = {k: np.zeros_like(v) for k, v in quiet("scrfd", 0.0).items()}
    _, context = prepare(made, np.zeros((300, 400, 3), np.uint8), None)
    anchor, center = 2 * (40 * 20 + 15), np.array([15, 20]) * 16
    outputs["scores_16"][0, anchor] = 0.8
    outputs["boxes_16"][0, anchor] = [2, 3, 4, 5]
    outputs["points_16"][0, anchor] = np.arange(10) / 10
    (found,) = made.decode(outputs, [context])
    corners = np.stack([center - [32, 48], center + np.array([64, 80])])
    points = center + np.arange(10).reshape(5, 2) / 10 * 16
    wanted = expected_in_picture(corners, context[0])
    np.testing.assert_allclose(found.boxes[0].reshape(2, 2), wanted, rtol=1e-4)
    np.testing.assert_allclose(
        found.keypoints[0], expected_in_picture(points, context[0]) - 0.5, rtol=1e-4
    )


@pytest.mark.parametrize("side", [320, 640])
def test_a_face_planted_in_a_cell_of_yunet_is_found_at_any_input_size(
    tmp_path: Path, side: int
) -> None:
    made = adapter(tmp_path, "yunet", input_size=side)
    assert made.sample_shape == (3, side, side)
    cells = {stride: (side // stride) ** 2 for stride in (8, 16, 32)}
    outputs = {
        f"{part}_{stride}": np.zeros((1, count, values), np.float32)
        for stride, count in cells.items()
        for part, values in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    }
    out, context = prepare(made, np.full((300, 400, 3), (10, 20, 30), np.uint8), None)
    assert out[:, side // 2, side // 2].tolist() == [30, 20, 10]  # BGR
    cell, corner = side // 16 * 7 + 9, np.array([9, 7]) * 16
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.9, 0.4
    outputs["bbox_16"][0, cell] = [0.5, 0.25, np.log(2), np.log(3)]
    outputs["kps_16"][0, cell] = np.arange(10) / 10
    (found,) = made.decode(outputs, [context])
    middle = corner + np.array([8, 4])
    corners = np.stack([middle - [16, 24], middle + np.array([16, 24])])
    points = corner + np.arange(10).reshape(5, 2) / 10 * 16
    wanted = expected_in_picture(corners, context[0])
    np.testing.assert_allclose(found.boxes[0].reshape(2, 2), wanted, rtol=1e-4)
    np.testing.assert_allclose(
        found.keypoints[0], expected_in_picture(points, context[0]) - 0.5, rtol=1e-4
    )
    assert found.scores == pytest.approx([0.6])


@pytest.mark.parametrize("family", ["blazeface", "scrfd", "yunet"])
@pytest.mark.parametrize("size", [(1, 5000), (4321, 3), (1081, 1921), (7, 9)])
def test_the_letterbox_covers_the_picture_whatever_its_form(
    tmp_path: Path, family: str, size: tuple[int, int]
) -> None:
    made = adapter(tmp_path, family)
    out, (place, _) = prepare(made, np.full((*size, 3), 255, np.uint8), None)
    corner = np.float32([place.left + place.width, place.top + place.height])
    missing = np.float32(size[::-1]) - place.to_picture(corner)
    # Halving leaves out less than one pixel of the input at the right and the bottom.
    assert (missing >= -0.01).all()
    assert (missing * [place.scale_x, place.scale_y] < 1).all()
    white = np.argwhere(out[0] > 0.9)
    np.testing.assert_array_equal(white.min(axis=0), [place.top, place.left])
    np.testing.assert_array_equal(white.max(axis=0) + 1, corner[::-1])


@pytest.mark.parametrize("family", ["blazeface", "scrfd", "yunet"])
def test_no_face_is_an_empty_result_of_the_usual_form(tmp_path: Path, family: str) -> None:
    made = adapter(tmp_path, family)
    context = prepare(made, np.zeros((30, 40, 3), np.uint8), None)[1]
    (found,) = made.decode(quiet(family, -20.0), [context])
    assert isinstance(found, Detections)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)
    assert found.keypoints.shape[0] == 0


@pytest.mark.parametrize("family", ["blazeface", "scrfd", "yunet"])
def test_boxes_end_at_the_pictures_edges(tmp_path: Path, family: str) -> None:
    made = adapter(tmp_path, family)
    context = prepare(made, np.zeros((300, 500, 3), np.uint8), None)[1]
    outputs = {
        alias: np.random.RandomState(0).uniform(0, 1, (1, *shape[1:])).astype(np.float32) * 50
        for alias, shape in FAMILIES[family][1].items()
    }
    (found,) = made.decode(outputs, [context])
    assert len(found) > 0
    assert found.boxes.min() >= 0
    assert found.boxes[:, 2].max() <= 500
    assert found.boxes[:, 3].max() <= 300
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_blazeface_fpn_ssh_rows_go_to_their_samples(tmp_path: Path) -> None:
    made = adapter(tmp_path, "blazeface_fpn_ssh")
    contexts = [prepare(made, np.zeros((s, 200, 3), np.uint8), None)[1] for s in (100, 400)]
    feeds = made.extra_feeds(contexts)
    np.testing.assert_allclose(feeds["scale_factor"], [[6.4, 3.2], [1.6, 3.2]])
    np.testing.assert_allclose(feeds["im_shape"], [[640, 640], [640, 640]])
    rows = np.float32([[0, 0.6, 1, 2, 30, 40], [0, 0.9, 5, 6, 900, 90], [-1, 0, 0, 0, 0, 0]])
    first, second = made.decode({"boxes": rows, "counts": np.int32([2, 1])}, contexts)
    np.testing.assert_allclose(first.boxes, [[5, 6, 200, 90], [1, 2, 30, 40]])
    assert first.keypoints is None
    assert len(second) == 0


def test_blazeface_decodes_the_reference_outputs_layout(tmp_path: Path) -> None:
    fixture = SHARED / "fixtures" / "tfjs" / "blazeface.npz"
    if not fixture.is_file():
        pytest.skip(f"{fixture} is not here")
    made = adapter(tmp_path, "blazeface")
    context = prepare(made, np.zeros((256, 256, 3), np.uint8), None)[1]
    with np.load(fixture) as reference:
        outputs = {alias: reference[alias] for alias in FAMILIES["blazeface"][1]}
    # The reference input is noise, in which there is no face.
    assert len(made.decode(outputs, [context])[0]) == 0
