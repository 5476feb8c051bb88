"""Adapters: what is fed has the declared form, what comes out means what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.data import astronaut

from inference.adapters import ADAPTERS, create_adapter
from inference.adapters.base import box_crop, portrait_box, write_channels
from inference.adapters.minifasnet import enlarged
from inference.manifest import ManifestError
from ops.stages.detection import aligned_face
from tests.support.models.adapter_cases import (
    ASTRONAUT,
    FAMILIES,
    RANGES,
    adapter,
    astronaut_face,
    prepare,
)
from tests.support.models.manifests import make_manifest
from vision.face import Face
from vision.geometry import ARCFACE_POINTS, align, fit_similarity, transform


def test_every_family_has_an_adapter_and_a_case_here() -> None:
    assert set(ADAPTERS) == set(FAMILIES) == set(RANGES)


def test_an_unknown_family_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "m", "haar", (3, 8, 8), {"x": (-1, 1)})
    with pytest.raises(ValueError, match="'haar' is not known; there are: antispoof, arcface"):
        create_adapter(manifest)


def test_a_manifest_without_the_familys_outputs_is_refused(tmp_path: Path) -> None:
    for family in ("blazeface", "scrfd", "yunet", "facemesh", "faceres"):
        manifest = make_manifest(tmp_path / family, family, (3, 256, 256), {"x": (-1, 9)})
        with pytest.raises(ManifestError, match="outputs"):
            create_adapter(manifest)


def test_an_option_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"options\.nms: 1\.5"):
        adapter(tmp_path, "scrfd", nms=1.5)
    with pytest.raises(ManifestError, match=r"options\.output: 'tanh'"):
        adapter(tmp_path, "minifasnet", output="tanh")
    with pytest.raises(ManifestError, match=r"options\.input_size: 650 should be a multiple of 32"):
        adapter(tmp_path, "yunet", input_size=650)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_input_is_wholly_written_and_in_range(tmp_path: Path, family: str) -> None:
    made = adapter(tmp_path, family)
    out, _ = prepare(made, astronaut(), astronaut_face())
    assert made.sample_shape == FAMILIES[family][0]
    low, high = RANGES[family]
    assert low - 0.01 <= out.min() < out.max() <= high + 0.01
    assert out.std() > (high - low) / 20


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2), (1, 70_000)])
def test_a_picture_of_a_few_pixels_or_a_thin_strip_is_taken(
    tmp_path: Path, family: str, size: tuple[int, int]
) -> None:
    made = adapter(tmp_path, family)
    picture = np.full((*size, 3), 100, np.uint8)
    picture.flags.writeable = False
    box = np.float32([0, 0, size[1], size[0]])
    points = ARCFACE_POINTS / 112 * box[2:]
    out, _ = prepare(made, picture, Face(box=box, score=1.0, landmarks=points))
    assert np.isfinite(out).all()


@pytest.mark.parametrize("family", sorted(set(FAMILIES)))
@pytest.mark.parametrize("shift", [-150, 150, 9000])
def test_a_face_at_or_beyond_the_edge_is_taken(tmp_path: Path, family: str, shift: int) -> None:
    made = adapter(tmp_path, family)
    face = Face(box=astronaut_face().box + shift, score=1.0, landmarks=ASTRONAUT + shift)
    out, _ = prepare(made, astronaut(), face)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("family", [f for f in FAMILIES if FAMILIES[f][2] != "detection"])
def test_what_needs_a_face_says_so(tmp_path: Path, family: str) -> None:
    with pytest.raises(ValueError, match="needs a face"):
        prepare(adapter(tmp_path, family), astronaut(), None)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"blazeface_fpn_ssh"}))
def test_a_batch_decodes_as_its_samples_alone(tmp_path: Path, family: str) -> None:
    made = adapter(tmp_path, family)
    random = np.random.RandomState(1)
    outputs = {
        alias: random.uniform(-3, 1, (3, *shape[1:])).astype(np.float32)
        for alias, shape in FAMILIES[family][1].items()
    }
    contexts = [prepare(made, astronaut()[: 512 - 100 * i], astronaut_face())[1] for i in range(3)]
    together = made.decode(outputs, contexts)
    alone = [
        made.decode({alias: values[i : i + 1] for alias, values in outputs.items()}, [context])[0]
        for i, context in enumerate(contexts)
    ]
    assert len(together) == 3
    for one, other in zip(together, alone):
        assert_same(one, other)


def assert_same(one: Any, other: Any) -> None:
    if hasattr(one, "__dict__"):
        one, other = vars(one), vars(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, str) or one is None:
        assert one == other
    else:
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("angle", [0.0, 0.6, 2.5])
def test_a_mesh_comes_back_to_where_it_was_cut(tmp_path: Path, angle: float) -> None:
    made = adapter(tmp_path, "facemesh")
    eye = np.float32([np.cos(angle), np.sin(angle)]) * 20
    middle = np.float32([225, 125])
    keypoints = np.stack([middle - eye, middle + eye, *[middle] * 4])
    face = Face(box=np.float32([175, 75, 275, 175]), score=1.0, keypoints=keypoints)
    _, context = prepare(made, astronaut(), face)
    mesh = np.zeros((1, 468, 3), np.float32)
    mesh[0, :, :2] = 96
    mesh[0, [61], 0] = 46
    mesh[0, 2, 2] = 10
    outputs = {"Identity_2": mesh.reshape(1, -1), "Identity_1": np.float32([[0.9]])}
    (found,) = made.decode(outputs, [context])
    pixel = 150 / 192
    np.testing.assert_allclose(found.points[2], middle - 0.5, atol=0.01)
    left = middle - 0.5 - 50 * pixel * np.float32([np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(found.points[3], left, atol=0.01)
    assert found.mesh[2, 2] == pytest.approx(10 * pixel)
    assert found.score == pytest.approx(0.9)


def test_an_unsure_mesh_yields_to_the_detectors_points(tmp_path: Path) -> None:
    made = adapter(tmp_path, "facemesh")
    outputs = {"Identity_2": np.ones((1, 1404), np.float32), "Identity_1": np.float32([[0.01]])}
    face = astronaut_face()
    face.keypoints = ASTRONAUT
    context = prepare(made, astronaut(), face)[1]
    np.testing.assert_allclose(made.decode(outputs, [context])[0].points, ASTRONAUT)
    context = prepare(made, astronaut(), astronaut_face())[1]
    assert np.ptp(made.decode(outputs, [context])[0].points) < 150


@pytest.mark.parametrize("family", ["arcface", "dlib_resnet"])
def test_embeddings_have_unit_length_even_of_nothing(tmp_path: Path, family: str) -> None:
    made = adapter(tmp_path, family)
    values = np.float32([[3.0] * 128, [0.0] * 128])
    one, nothing = made.decode({"embedding": values}, [None, None])
    assert one.dtype == np.float32
    assert np.linalg.norm(one) == pytest.approx(1.0)
    assert np.isfinite(nothing).all()


@pytest.mark.parametrize("family", ["arcface", "dlib_resnet"])
def test_an_aligned_picture_feeds_nearly_what_its_origin_does(tmp_path: Path, family: str) -> None:
    made = adapter(tmp_path, family)
    direct, _ = prepare(made, astronaut(), astronaut_face())
    aligned = align(astronaut(), ASTRONAUT)
    assert aligned.shape == (112, 112, 3)
    assert aligned.dtype == np.uint8
    again, _ = prepare(made, aligned, aligned_face(112, 112))
    inner = slice(20, made.side - 20)
    difference = np.abs(direct - again)[:, inner, inner]
    assert difference.mean() < 0.03 * (RANGES[family][1] - RANGES[family][0])


def test_alignment_puts_the_eyes_level_and_in_place(tmp_path: Path) -> None:
    made = adapter(tmp_path, "arcface")
    matrix = fit_similarity(ASTRONAUT, made.target_points())
    np.testing.assert_allclose(transform(matrix, ASTRONAUT), ARCFACE_POINTS, atol=6)


def test_a_recogniser_takes_keypoints_where_there_are_no_landmarks(tmp_path: Path) -> None:
    made = adapter(tmp_path, "arcface")
    by_landmarks, _ = prepare(made, astronaut(), astronaut_face())
    face = Face(box=np.zeros(4, np.float32), score=1.0, keypoints=ASTRONAUT)
    np.testing.assert_array_equal(prepare(made, astronaut(), face)[0], by_landmarks)
    with pytest.raises(ValueError, match="landmarks or keypoints"):
        prepare(made, astronaut(), Face(box=np.zeros(4, np.float32), score=1.0))


def test_attributes_are_plain_values(tmp_path: Path) -> None:
    ages = np.zeros((1, 100), np.float32)
    ages[0, [30, 40]] = 0.5
    outputs = {"gender_pred_Sigmoid": np.float32([[0.2]]), "age_pred_Softmax": ages}
    assert adapter(tmp_path, "faceres").decode(outputs, [None]) == [
        {"age": 35.0, "gender": {"type": "female", "probability": 0.8}}
    ]
    row = np.float32([[0, 0, 0, 0.75, 0, 0, 0.25]])
    (found,) = adapter(tmp_path, "emotion").decode({"Identity": row}, [None])
    assert found["emotion"]["type"] == "happy"
    assert found["emotion"]["probability"] == 0.75
    assert sum(found["emotion"]["probabilities"].values()) == 1.0


def test_liveness_is_a_share_near_one_for_live(tmp_path: Path) -> None:
    cases: dict[str, Any] = {
        "antispoof": ("Identity", [[0.9]]),
        "liveness": ("Identity", [[0.1, 0.9]]),
        "minifasnet": ("logits", [[0.0, np.log(18.0), 0.0]]),
    }
    for family, (alias, row) in cases.items():
        (score,) = adapter(tmp_path, family).decode({alias: np.float32(row)}, [None])
        assert isinstance(score, float)
        assert score == pytest.approx(0.9)


def test_the_portrait_box_is_the_same_whatever_the_detectors(tmp_path: Path) -> None:
    face = astronaut_face()
    wanted = portrait_box(face)
    np.testing.assert_allclose(wanted, [180.7, 63.4, 271.2, 178.1], atol=12)
    face.box = face.box + 500
    np.testing.assert_array_equal(portrait_box(face), wanted)
    face.landmarks = None
    np.testing.assert_array_equal(portrait_box(face), face.box)


def test_an_enlarged_box_is_moved_into_the_picture(tmp_path: Path) -> None:
    assert enlarged(np.float32([40, 40, 60, 60]), 2.0, 100, 100) == (30, 30, 70, 70)
    assert enlarged(np.float32([0, 40, 20, 60]), 2.0, 100, 100) == (0, 30, 40, 70)
    assert enlarged(np.float32([0, 0, 80, 100]), 4.0, 100, 100) == (0, 0, 80, 100)


def test_a_crop_beyond_the_edge_repeats_it() -> None:
    picture = np.full((40, 40, 3), 50, np.uint8)
    assert (box_crop(picture, np.float32([30, 30, 50, 50]), 2.0, 32) == 50).all()


def test_normalisation_is_exact_and_transposes() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    out = np.empty((3, 5, 7), np.float32)
    write_channels(pixels, out, (1.0, 0.5, 0.25), (0.0, -1.0, 2.0))
    wanted = (pixels * np.float32([1, 0.5, 0.25]) + np.float32([0, -1, 2])).transpose(2, 0, 1)
    np.testing.assert_array_equal(out, wanted)
