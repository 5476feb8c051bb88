"""Blur, illumination and completeness of a real face that is degraded step by step."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.adapters.facemesh import POINTS
from tests.support import pictures
from tests.support.heads import outline_of, turned, upright_mesh
from tests.support.models.adapter_cases import ASTRONAUT
from vision.face import Face
from vision.geometry import ARCFACE_POINTS, align
from vision.occlusion import REGIONS, occlusion
from vision.quality import blur, completeness, face_quality, illumination


def aligned() -> np.ndarray:
    """The sample picture's face, (112, 112) grey."""
    return cv2.cvtColor(align(pictures.astronaut(), ASTRONAUT), cv2.COLOR_RGB2GRAY)


def test_a_sharp_face_has_next_to_no_blur() -> None:
    assert blur(aligned()) < 0.1


def test_blur_grows_with_every_step_of_a_gaussian_and_ends_near_one() -> None:
    values = [blur(cv2.GaussianBlur(aligned(), (0, 0), sigma)) for sigma in (1, 1.5, 2, 3, 4, 6)]
    assert values == sorted(values)
    assert values[2] > 0.35
    assert values[-1] > 0.7


@pytest.mark.parametrize("axis", [0, 1])
def test_motion_in_one_direction_is_blur(axis: int) -> None:
    kernel = (15, 1) if axis else (1, 15)
    assert blur(cv2.blur(aligned(), kernel)) > 0.35


def test_a_face_of_few_pixels_is_blurred_and_of_fewer_more() -> None:
    values = []
    for side in (56, 40, 28, 20, 14):
        small = cv2.resize(aligned(), (side, side), interpolation=cv2.INTER_AREA)
        values.append(blur(cv2.resize(small, (112, 112), interpolation=cv2.INTER_LINEAR)))
    assert values == sorted(values)
    assert values[-1] > 0.5


def test_contrast_and_brightness_do_not_change_the_blur() -> None:
    grey = cv2.GaussianBlur(aligned(), (0, 0), 2)
    flat = (grey * 0.3 + 60).astype(np.uint8)
    assert blur(flat) == pytest.approx(blur(grey), abs=0.08)


def test_noise_does_not_make_a_blurred_face_sharp() -> None:
    grey = cv2.GaussianBlur(aligned(), (0, 0), 3)
    noise = np.random.RandomState(7).normal(0, 4, grey.shape)
    noisy = np.clip(grey + noise, 0, 255).astype(np.uint8)
    assert blur(noisy) > 0.3


def test_a_picture_of_one_colour_is_wholly_blurred() -> None:
    assert blur(np.full((112, 112), 90, np.uint8)) == 1.0


def test_the_size_of_the_face_changes_neither_blur_nor_light() -> None:
    picture = pictures.astronaut()
    large = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    box = np.zeros(4, np.float32)
    ours = face_quality(picture, Face(box, 1.0, landmarks=ASTRONAUT))
    theirs = face_quality(large, Face(box, 1.0, landmarks=ASTRONAUT * 3 + 1))
    assert ours is not None
    assert theirs is not None
    assert theirs.blur == pytest.approx(ours.blur, abs=0.1)
    assert theirs.illumination == pytest.approx(ours.illumination, abs=3)


def test_illumination_is_the_brightness_of_the_face_and_not_of_what_is_around() -> None:
    crop = np.full((112, 112), 255, np.uint8)
    cv2.ellipse(crop, (56, 68), (38, 44), 0, 0, 360, 40, -1)
    assert illumination(crop) == pytest.approx(40, abs=1)


def test_a_face_without_outline_has_no_completeness_and_one_without_points_no_quality() -> None:
    picture = pictures.astronaut()[:112, :112]
    quality = face_quality(picture, Face(np.zeros(4, np.float32), 1.0, landmarks=ARCFACE_POINTS))
    assert quality is not None
    assert quality.completeness is None
    assert quality.occlusion is None
    assert face_quality(picture, Face(np.zeros(4, np.float32), 1.0)) is None


@pytest.mark.parametrize("share", [1.0, 0.75, 0.5, 0.25, 0.0])
def test_completeness_is_the_share_of_the_outline_in_the_picture(share: float) -> None:
    outline = outline_of(turned(upright_mesh(), 0, 0, 0))
    top, bottom = outline[:, 1].min(), outline[:, 1].max()
    cut = top + share * (bottom - top)
    found = completeness(outline, 640, max(int(cut), 1))
    hull = cv2.convexHull(outline)
    mask = np.zeros((600, 640), np.uint8)
    cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), 1)
    assert found == pytest.approx(mask[: int(cut)].sum() / mask.sum(), abs=0.03)


def test_a_degenerate_mesh_is_not_complete() -> None:
    assert completeness(outline_of(np.zeros((POINTS, 3), np.float32)), 640, 480) == 0.0


COVERED = {
    "left_eye": ((38, 52), (15, 11)),
    "right_eye": ((74, 52), (15, 11)),
    "nose": ((56, 70), (12, 16)),
    "mouth": ((56, 92), (21, 12)),
    "left_cheek": ((31, 77), (12, 14)),
    "right_cheek": ((81, 77), (12, 14)),
    "chin_contour": ((56, 108), (20, 10)),
}


def coloured() -> np.ndarray:
    """The sample picture's face, (112, 112, 3) RGB."""
    return align(pictures.astronaut(), ASTRONAUT)


def test_a_free_face_is_covered_nowhere() -> None:
    found = occlusion(coloured())
    assert set(found) == set(COVERED) == set(REGIONS)
    assert max(found.values()) < 0.5


@pytest.mark.parametrize("colour", [(90, 90, 90), (30, 60, 160), (215, 170, 150)])
@pytest.mark.parametrize("region", COVERED)
def test_a_patch_on_a_part_of_the_face_is_told_and_where_it_is(
    region: str, colour: tuple[int, int, int]
) -> None:
    crop = coloured()
    middle, axes = COVERED[region]
    cv2.ellipse(crop, middle, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)
    found = occlusion(crop)
    assert found[region] > 0.7
    assert found[region] == max(found.values())


def test_a_face_of_one_colour_is_measured_without_a_warning() -> None:
    assert all(0 <= v <= 1 for v in occlusion(np.full((112, 112, 3), 90, np.uint8)).values())
