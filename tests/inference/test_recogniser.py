"""Names, weights and scores of embeddings that several runs of networks make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.manifest import Manifest, ManifestError
from inference.recogniser import Recipe, load_recogniser, recogniser_named
from tests.support.models.recognisers import recogniser_manifest


@pytest.fixture
def wide(tmp_path: Path) -> Manifest:
    return recogniser_manifest(tmp_path, "wide", impostor_mean=0.0, threshold=0.4, mirrored=0.98)


@pytest.fixture
def narrow(tmp_path: Path) -> Manifest:
    return recogniser_manifest(
        tmp_path, "narrow", 3, impostor_mean=0.8, threshold=0.9, mirrored=0.99
    )


def units(seed: int, count: int, dim: int) -> np.ndarray:
    vectors = np.random.RandomState(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_each_way_to_make_embeddings_has_a_name_of_its_own(
    wide: Manifest, narrow: Manifest
) -> None:
    names = [
        Recipe.of(manifests, weights, flip).name
        for manifests, weights in (
            ([wide], ()),
            ([narrow], ()),
            ([wide, narrow], ()),
            ([wide, narrow], (1, 2.5)),
            ([narrow, wide], (2.5, 1)),
        )
        for flip in (False, True)
    ]
    assert names[:2] == ["wide", "wide+flip"]
    assert names[4:8] == [
        "wide:1+narrow:2", "wide:1+narrow:2+flip",
        "wide:1+narrow:2.5", "wide:1+narrow:2.5+flip",
    ]  # fmt: skip
    assert len(set(names)) == len(names)


def test_weights_make_the_way_from_strangers_to_the_threshold_count_the_same(
    wide: Manifest, narrow: Manifest
) -> None:
    recipe = Recipe.of([wide, narrow])
    assert recipe.weights == (1.0, 2.0)
    spans = [m.calibration.threshold - m.calibration.impostor_mean for m in (wide, narrow)]
    assert np.square(recipe.weights) @ np.diag(spans) == pytest.approx([0.4, 0.4])


def test_a_weights_digits_in_the_name_are_all_that_it_has(wide: Manifest, narrow: Manifest) -> None:
    recipe = Recipe.of([wide, narrow], (1, 1.23456789))
    assert recipe.name == "wide:1+narrow:1.23457"
    assert recipe.weights == (1.0, 1.23457)


def test_joined_embeddings_are_weighted_and_of_unit_length(
    wide: Manifest, narrow: Manifest
) -> None:
    first, second = units(1, 5, 4), units(2, 5, 3)
    joined = Recipe.of([wide, narrow], (1, 2)).join([first, second])
    assert (joined.shape, joined.dtype) == ((5, 7), np.float32)
    assert joined == pytest.approx(np.hstack([first, 2 * second]) / np.sqrt(5), abs=1e-6)
    cosines = (first @ first.T + 4 * second @ second.T) / 5
    assert joined @ joined.T == pytest.approx(cosines, abs=1e-6)


def test_a_single_networks_embeddings_stay_as_they_are(wide: Manifest) -> None:
    found = units(1, 2, 4)
    assert Recipe.of([wide], (), True).join([found]) is found


def test_scores_of_joined_embeddings_follow_from_those_of_the_parts(
    wide: Manifest, narrow: Manifest
) -> None:
    recogniser = Recipe.of([wide, narrow]).recogniser()
    assert (recogniser.name, recogniser.dim) == ("wide:1+narrow:2", 7)
    assert recogniser.scores.impostor_mean == pytest.approx((0.0 + 4 * 0.8) / 5)
    assert recogniser.scores.threshold == pytest.approx((0.4 + 4 * 0.9) / 5)


def test_scores_with_mirrored_faces_follow_from_how_alike_the_mirrored_are(
    wide: Manifest, narrow: Manifest
) -> None:
    scores = Recipe.of([narrow], (), True).recogniser().scores
    assert scores.impostor_mean == pytest.approx(0.8 * 2 / 1.99)
    assert scores.threshold == pytest.approx(0.9 * 2 / 1.99)
    both = Recipe.of([wide, narrow], (), True).recogniser().scores
    assert both.threshold == pytest.approx((0.4 * 2 / 1.98 + 4 * scores.threshold) / 5)


def test_no_more_than_one_pair_in_a_thousand_lies_above_a_joined_threshold() -> None:
    """Cosines of two networks, alike to any degree: the calibration promises no too low one."""
    random = np.random.RandomState(5)
    common, own = random.normal(size=(2, 400_000))
    for likeness in (0.0, 0.5, 0.9, 1.0):
        first = 0.1 * common
        second = 0.8 + 0.03 * (likeness * common + np.sqrt(1 - likeness**2) * own)
        limits = [np.quantile(one, 0.999) for one in (first, second)]
        share = 1 / (1 + 2.0**2)
        joined = share * first + (1 - share) * second
        assert np.mean(joined > share * limits[0] + (1 - share) * limits[1]) <= 1.01e-3


def test_a_name_leads_back_to_the_recogniser(
    tmp_path: Path, wide: Manifest, narrow: Manifest
) -> None:
    for manifests, weights, flip in (
        ([wide], (), False), ([wide], (), True),
        ([wide, narrow], (), False), ([narrow, wide], (1, 0.3), True),
    ):  # fmt: skip
        directories = [manifest.directory for manifest in manifests]
        recogniser = load_recogniser(directories, weights, flip)
        assert recogniser_named(recogniser.name, lambda name: tmp_path / name) == recogniser


@pytest.mark.parametrize("name", ["nobody", "wide:1+nobody:2", "wide:x+narrow:2", "wide:1+:+flip"])
def test_a_name_that_leads_nowhere_is_refused(
    tmp_path: Path, wide: Manifest, narrow: Manifest, name: str
) -> None:
    with pytest.raises(ManifestError):
        recogniser_named(name, lambda name: tmp_path / name)


def test_what_a_recogniser_is_not_measured_for_is_refused_with_the_command(
    tmp_path: Path, wide: Manifest
) -> None:
    bare = recogniser_manifest(tmp_path, "bare")
    older = recogniser_manifest(tmp_path, "older", impostor_mean=0.0, threshold=0.4)
    assert Recipe.of([bare], (), True).name == "bare+flip"
    with pytest.raises(ManifestError, match=r"convert bare --force"):
        Recipe.of([wide, bare])
    with pytest.raises(ManifestError, match=r"convert bare --force"):
        Recipe.of([wide, bare], (1, 1)).recogniser()
    with pytest.raises(ManifestError, match=r"embedding\.mirrored is needed.*accuracy --flip"):
        Recipe.of([older], (), True).recogniser()


def test_an_embedding_that_no_library_takes_is_refused(tmp_path: Path) -> None:
    large = [
        recogniser_manifest(tmp_path, f"large{number}", 2049, impostor_mean=0.0, threshold=0.4)
        for number in (1, 2)
    ]
    with pytest.raises(ManifestError, match="4098 numbers are more than 4096"):
        Recipe.of(large).recogniser()
