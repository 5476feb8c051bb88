"""Small faces: what is searched, what that costs, and what a request may ask for."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.runner import Timing
from ops.errors import ErrorKind
from ops.local import LocalPipeline
from ops.pictures.pixel_budget import PixelBudget
from ops.request_state import RequestState
from ops.stages import small_faces
from ops.stages.request import RequestWorker, parse_request
from ops.stages.small_faces import OVERLAP, SEEN, added, least_face, plan, search, searched_pixels
from settings.config import Limits
from tests.support import pictures
from vision.face import Detections

LIMITS = Limits(searched_pixels=5_000_000)
SHAPES = [(3840, 2160), (1080, 1920), (640, 480), (5000, 300), (97, 4000)]


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("smallest", [9, 16, 33, 40, 100])
def test_a_face_of_any_size_is_whole_in_a_tile_in_which_it_is_large_enough(width, height, smallest):
    levels = plan(width, height, smallest)
    one_look = small_faces._ONE_LOOK * max(width, height)
    assert bool(levels) == (smallest < one_look)
    if not levels:
        return
    for size in np.linspace(smallest, max(one_look, smallest), 40):
        seen = [
            level
            for level in levels
            if size * level.scale >= SEEN * 0.999
            and (size * level.scale <= OVERLAP or len(level.lefts) == len(level.tops) == 1)
        ]
        assert seen, size
    for level in levels:
        for starts, tile, length in (
            (level.lefts, level.width, width),
            (level.tops, level.height, height),
        ):
            assert starts[0] == 0
            assert starts[-1] + tile == length
            assert all(
                b - a <= tile - OVERLAP / level.scale + 2 for a, b in itertools.pairwise(starts)
            )


def test_a_face_that_one_look_finds_needs_no_search_and_no_wish_is_none():
    assert plan(1920, 1080, 0) == []
    assert plan(1920, 1080, 200) == []
    assert searched_pixels(1920, 1080, 0) == 0


def test_the_smallest_face_that_a_limit_allows_is_told():
    least = least_face(3840, 2160, 10, 20_000_000)
    assert searched_pixels(3840, 2160, least) <= 20_000_000 < searched_pixels(3840, 2160, 10)
    assert least_face(3840, 2160, 40, 20_000_000) == 40


def boxes_of(picture: np.ndarray) -> Detections:
    """A detector of white rectangles."""
    mask = (picture[..., 0] > 127).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    found = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in stats[1:]], np.float32)
    found = found.reshape(-1, 4)
    points = np.repeat(found[:, None, :2], 5, axis=1)
    return Detections(found, np.full(len(found), 0.9, np.float32), points)


def test_what_lies_in_several_tiles_is_found_once_and_whole():
    picture = np.zeros((1500, 2000, 3), np.uint8)
    random = np.random.RandomState(7)
    wanted = []
    for row in range(10):
        for column in range(14):
            x, y = column * 140 + random.randint(90), row * 148 + random.randint(90)
            picture[y : y + 40, x : x + 30] = 255
            wanted.append([x, y, x + 30, y + 40])
    levels = plan(2000, 1500, 40)
    assert sum(len(list(level.tiles())) for level in levels) > 3
    found = search(picture, levels, lambda parts, _: [boxes_of(part) for part in parts])
    assert sorted(found.boxes.tolist()) == sorted(np.float32(wanted).tolist())
    np.testing.assert_array_equal(found.keypoints[:, 0], found.boxes[:, :2])


def detections(*boxes, points: int = 5) -> Detections:
    made = np.array(boxes, np.float32).reshape(-1, 4)
    keypoints = np.arange(len(made) * points * 2, dtype=np.float32).reshape(-1, points, 2)
    return Detections(made, np.full(len(made), 0.8, np.float32), keypoints)


def test_a_face_that_one_look_has_found_stays_as_it_was_and_smaller_ones_are_added():
    first = detections([100, 100, 300, 300], points=6)
    small = detections([90, 80, 310, 310], [150, 150, 180, 190], [500, 500, 530, 540])
    both = added(first, small, 2000)
    assert both.boxes.tolist() == [*first.boxes.tolist(), *small.boxes[1:].tolist()]
    assert both.keypoints.shape == (3, 5, 2)
    np.testing.assert_array_equal(both.keypoints[0, :3], first.keypoints[0, :3])
    nothing = detections()
    assert added(first, nothing, 2000) is first
    assert added(nothing, small, 2000).boxes.tolist() == small.boxes.tolist()
    # A face that was too small for one look is the tiles'.
    both = added(detections([140, 140, 200, 200], points=6), small, 2000)
    assert both.boxes.tolist() == small.boxes.tolist()


# What a request may ask for


def opened(options: str, picture: np.ndarray, **settings) -> RequestState:
    sent = pictures.base64_of(pictures.encode(picture))
    request = parse_request(["image", "options"], [sent, options], LIMITS, time.monotonic() + 60)
    worker = RequestWorker(LIMITS, PixelBudget(10**9, 10**9), 1920, **settings)
    worker.run([request], Timing())
    return request


LARGE = np.zeros((2160, 3840, 3), np.uint8)


def test_a_search_that_costs_too_much_is_refused_with_what_would_do():
    request = opened('{"smallest_face": 12}', LARGE, finds_small=True)
    (picture,) = request.pictures
    assert picture.pixels is None
    assert picture.error.kind is ErrorKind.SEARCH_TOO_LARGE
    least = least_face(3840, 2160, 12, LIMITS.searched_pixels)
    assert f"3840x2160 pixels it can be searched for faces of {least} and more." in str(
        picture.error
    )


def test_what_the_settings_ask_for_is_done_as_far_as_the_limit_allows():
    (picture,) = opened("{}", LARGE, smallest_face=12, finds_small=True).pictures
    assert picture.error is None
    assert picture.smallest_face == least_face(3840, 2160, 12, LIMITS.searched_pixels)
    (picture,) = opened('{"smallest_face": 0}', LARGE, smallest_face=12, finds_small=True).pictures
    assert picture.smallest_face == 0


def test_a_service_without_such_a_model_refuses_the_option_and_says_so():
    request = opened('{"smallest_face": 60}', LARGE)
    assert request.error.kind is ErrorKind.MALFORMED_OPTIONS
    assert "op.Detection.small_faces" in request.error.message
    assert opened('{"smallest_face": 0}', LARGE).error is None


@pytest.mark.parametrize(("smallest", "scale"), [(0, 2), (81, 2), (80, 2), (79, 1)])
def test_a_jpeg_is_not_reduced_below_what_small_faces_need(smallest, scale):
    options = f'{{"smallest_face": {smallest}}}'
    (picture,) = opened(options, LARGE, finds_small=True).pictures
    assert picture.scale == scale
    assert picture.pixels.shape[:2] == (2160 // scale, 3840 // scale)


def test_a_small_face_is_found_where_it_is_asked_for_and_nowhere_else(models: Path):
    if not (models / "yunet" / "model.yml").is_file():
        pytest.skip("yunet has not been converted")
    picture = np.full((1080, 1920, 3), 90, np.uint8)
    head = pictures.astronaut()[0:256, 96:352]  # the face is 115 pixels high
    small = cv2.resize(head, (80, 80), interpolation=cv2.INTER_AREA)
    for x, y in ((300, 200), (1500, 800)):
        picture[y : y + 80, x : x + 80] = small
    found = {"Detection": [models / "blazeface"], "Landmark": [models / "facemesh"]}
    pipeline = LocalPipeline(found, batch_size=1, small_faces=models / "yunet")
    assert pipeline.analyze(picture) == []
    faces = pipeline.analyze(picture, smallest_face=32)
    assert len(faces) == 2
    for face in faces:
        assert 28 < face.box[3] - face.box[1] < 45
        assert face.is_aligned
