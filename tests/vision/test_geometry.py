"""Geometry: fits are exact and never mirror, crops land where they should, doubles go."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vision.geometry import (
    ARCFACE_POINTS,
    Letterbox,
    compose,
    eye_angle,
    fit_similarity,
    five_points,
    halve,
    halvings,
    invert,
    rotated_square,
    transform,
    warp,
)
from vision.suppression import blend, overlaps, suppress


def similarity(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]], np.float32)


@pytest.fixture
def random() -> np.random.RandomState:
    return np.random.RandomState(3)


def test_random_similarities_are_recovered(random: np.random.RandomState) -> None:
    for _ in range(50):
        points = random.uniform(0, 1000, (5, 2)).astype(np.float32)
        matrix = similarity(
            random.uniform(0.05, 5),
            random.uniform(-np.pi, np.pi),
            tuple(random.uniform(-99, 99, 2)),
        )
        fitted = fit_similarity(points, transform(matrix, points))
        np.testing.assert_allclose(fitted, matrix, rtol=1e-3, atol=2e-2)


def test_a_stack_of_faces_is_fitted_as_each_face_alone(random: np.random.RandomState) -> None:
    faces = random.uniform(0, 500, (7, 5, 2)).astype(np.float32)
    together = fit_similarity(faces, ARCFACE_POINTS)
    assert together.shape == (7, 2, 3)
    assert together.dtype == np.float32
    for face, matrix in zip(faces, together):
        np.testing.assert_allclose(matrix, fit_similarity(face, ARCFACE_POINTS), atol=1e-4)


def test_the_fit_has_the_least_squared_error(random: np.random.RandomState) -> None:
    def error(matrix: np.ndarray) -> float:
        return float(np.square(transform(matrix, points) - ARCFACE_POINTS).sum())

    points = (ARCFACE_POINTS * 2 + random.normal(0, 6, (5, 2))).astype(np.float32)
    best = fit_similarity(points, ARCFACE_POINTS)
    for _ in range(100):
        a, b = random.normal(0, 0.01, 2)
        nudge = np.array([[a, -b, 0], [b, a, 0]], np.float32)
        nudge[:, 2] = random.normal(0, 0.5, 2)
        assert error(best + nudge) >= error(best) - 1e-2


def test_a_mirrored_face_is_never_answered_by_a_reflection(random: np.random.RandomState) -> None:
    for _ in range(50):
        points = random.uniform(0, 100, (5, 2)).astype(np.float32)
        matrix = fit_similarity(points * np.float32([-1, 1]), points)
        assert np.linalg.det(matrix[:, :2].astype(np.float64)) >= 0


def test_points_that_coincide_give_a_finite_shift() -> None:
    matrix = fit_similarity(np.full((5, 2), 7, np.float32), ARCFACE_POINTS)
    np.testing.assert_allclose(matrix[:, :2], np.eye(2))
    np.testing.assert_allclose(matrix[:, 2], ARCFACE_POINTS.mean(axis=0) - 7, rtol=1e-5)


def test_a_transform_and_its_inverse_undo_each_other(random: np.random.RandomState) -> None:
    matrix = similarity(0.3, 2.0, (40, -9))
    points = random.uniform(0, 100, (6, 2)).astype(np.float32)
    there = transform(matrix, points)
    np.testing.assert_allclose(transform(invert(matrix), there), points, atol=1e-3)
    np.testing.assert_allclose(compose(invert(matrix), matrix), np.eye(2, 3), atol=1e-5)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0, 10.0])
def test_a_warp_puts_a_mark_where_the_transform_says(factor: float) -> None:
    side = int(112 * factor)
    picture = np.zeros((side, side, 3), np.uint8)
    mark = np.float32([0.7 * side, 0.4 * side])
    cv2.circle(picture, (int(mark[0]), int(mark[1])), max(2, side // 30), (255,) * 3, -1)
    crop = warp(picture, similarity(1 / factor, 0.2, (5, -5)), 112).astype(np.float32)[..., 0]
    y, x = np.mgrid[:112, :112]
    found = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    wanted = transform(similarity(1 / factor, 0.2, (5, -5)), np.floor(mark)[None])[0]
    np.testing.assert_allclose(found, wanted, atol=0.35)


def test_a_strong_reduction_averages_and_does_not_alias(random: np.random.RandomState) -> None:
    noise = random.randint(0, 2, (1120, 1120, 1)).astype(np.uint8) * np.full(3, 255, np.uint8)
    assert warp(noise, similarity(0.1, 0.3, (-7, -40)), 60).std() < 30


def test_halving_averages_squares_and_ends_at_one_pixel() -> None:
    picture = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
    half = halve(picture, 1)
    assert half.shape == (3, 2, 3)
    np.testing.assert_allclose(half[0, 0], picture[:2, :2].mean(axis=(0, 1)), atol=0.5)
    assert [halvings(picture, scale) for scale in (2.0, 1.0, 0.51, 0.5, 0.26, 1e-9)] == [
        0,
        0,
        0,
        1,
        1,
        2,
    ]
    assert halvings(np.zeros((1, 900, 3), np.uint8), 0.1) == 0


def test_a_warp_copes_with_a_face_partly_or_wholly_outside() -> None:
    picture = np.full((50, 60, 3), 200, np.uint8)
    partly = similarity(0.2, 0.0, (-5, -5))
    assert warp(picture, partly, 112)[-1, -1].max() == 0
    assert warp(picture, partly, 112, cv2.BORDER_REPLICATE).min() == 200
    outside = similarity(0.2, 0.0, (5000, 5000))
    assert warp(picture, outside, 112).max() == 0


@pytest.mark.parametrize("shape", [(40, 100_000), (100_000, 40), (1, 3_000_000)])
@pytest.mark.parametrize("scale", [1.0, 0.3, 0.001, 1e-5])
def test_a_strip_longer_than_opencv_can_count_is_cut_in_place(
    shape: tuple[int, int], scale: float
) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    y, x = shape[0] - 1, shape[1] - 1
    radius = int(10 / scale)
    picture[max(0, y - radius) :, max(0, x - radius) :] = 255
    matrix = similarity(scale, 0.0, (60 - scale * x, 60 - scale * y))
    crop = warp(picture, matrix, 112, cv2.BORDER_REPLICATE)
    assert crop[60, 60].min() == 255
    if scale * max(shape) > 60:
        assert crop[:30, :30].max() == 0
    outside = similarity(scale, 0.0, (9999.0, 9999.0))
    assert warp(picture, outside, 112).max() == 0


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_a_single_pixel_can_be_warped(scale: float) -> None:
    pixel = np.full((1, 1, 3), 9, np.uint8)
    assert warp(pixel, similarity(scale, 1.0, (0, 0)), 32).shape == (32, 32, 3)


def test_a_rotated_square_sends_its_axis_to_the_crops() -> None:
    matrix = rotated_square(np.array([100, 50]), 40, np.pi / 2, 80)
    np.testing.assert_allclose(transform(matrix, np.float32([[100, 50]]))[0], [39.5, 39.5])
    # Down in the picture is the direction of an x axis turned by 90 degrees.
    np.testing.assert_allclose(
        transform(matrix, np.float32([[100, 60]]))[0], [59.5, 39.5], atol=1e-4
    )


def test_the_eye_line_gives_the_angle_and_none_gives_zero() -> None:
    assert eye_angle(None) == 0.0
    assert eye_angle(np.float32([[10, 10], [20, 20]])) == pytest.approx(np.pi / 4)
    assert abs(eye_angle(np.float32([[20, 0], [10, 0]]))) == pytest.approx(np.pi)


def test_five_points_come_from_either_set_of_keypoints() -> None:
    assert five_points(None) is None
    assert five_points(np.zeros((3, 2))) is None
    np.testing.assert_array_equal(five_points(ARCFACE_POINTS), ARCFACE_POINTS)
    mouth = ARCFACE_POINTS[3:].mean(axis=0)
    ears = np.float32([[10, 60], [100, 60]])
    blazeface = np.concatenate([ARCFACE_POINTS[:3], mouth[None], ears])
    np.testing.assert_allclose(five_points(blazeface), ARCFACE_POINTS, atol=0.3)


@pytest.mark.parametrize("size", [(1920, 1080), (17, 640), (256, 256), (1, 1), (5000, 1)])
@pytest.mark.parametrize("fill", [1.0, 0.6])
def test_a_letterbox_fits_and_comes_back(size: tuple[int, int], fill: float) -> None:
    place = Letterbox.fit(*size, 256, fill)
    assert 0 <= place.left <= 256 - place.width
    assert 0 <= place.top <= 256 - place.height
    assert max(place.width, place.height) == round(256 * fill)
    corners = np.float32([[0, 0], size])
    square = place.to_square(corners)
    np.testing.assert_allclose(square[1] - square[0], [place.width, place.height], rtol=1e-5)
    np.testing.assert_allclose(place.to_picture(square), corners, atol=1e-2)


def slow_suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    def overlap(one: np.ndarray, other: np.ndarray) -> float:
        width = min(one[2], other[2]) - max(one[0], other[0])
        height = min(one[3], other[3]) - max(one[1], other[1])
        shared = max(width, 0) * max(height, 0)
        areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
        return float(shared / (sum(areas) - shared))

    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(overlap(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.7])
@pytest.mark.parametrize("count", [0, 1, 2, 40, 150])
def test_suppression_equals_the_greedy_reference(
    random: np.random.RandomState, count: int, threshold: float
) -> None:
    for _ in range(5):
        corner = random.uniform(0, 100, (count, 2))
        boxes = np.hstack([corner, corner + random.uniform(5, 60, (count, 2))]).astype(np.float32)
        scores = random.uniform(0, 1, count).astype(np.float32)
        assert suppress(boxes, scores, threshold).tolist() == slow_suppress(
            boxes, scores, threshold
        )


def test_a_chain_of_overlaps_keeps_every_second_box() -> None:
    left = np.arange(50, dtype=np.float32) * 4
    boxes = np.stack([left, left * 0, left + 10, left * 0 + 10], axis=1)
    scores = np.linspace(1, 0.5, 50).astype(np.float32)
    assert suppress(boxes, scores, 0.3).tolist() == list(range(0, 50, 2))


def test_empty_boxes_overlap_nothing() -> None:
    boxes = np.float32([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]])
    assert np.isfinite(overlaps(boxes, boxes)).all()
    assert len(suppress(boxes, np.float32([0.9, 0.8, 0.7]), 0.3)) == 3


def test_doubles_are_mixed_by_score_and_strangers_are_not() -> None:
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 12, 10], [50, 50, 60, 60]])
    scores = np.float32([0.9, 0.3, 0.5])
    kept = suppress(boxes, scores, 0.3)
    mixed = blend(boxes, boxes, scores, kept, 0.3)
    np.testing.assert_allclose(mixed, [[0, 0, 10.5, 10], [50, 50, 60, 60]], rtol=1e-6)
