"""The figures of ``python -m bench accuracy`` are what their names say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.accuracy import Report, agreement, document, gallery_files
from bench.verification import (
    accepted_at,
    accepted_crosswise,
    rank1,
    threshold_at,
    verification,
)


def circle(*degrees: float) -> np.ndarray:
    """Unit vectors (N, 2) at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_people_far_apart_are_told_apart_wholly() -> None:
    embeddings, people = circle(0, 5, 10, 90, 95, 100), np.array([0, 0, 0, 1, 1, 1])
    found = verification(embeddings, people)
    assert (found.same_pairs, found.different_pairs) == (6, 9)
    assert found.tar == {1e-2: 1.0, 1e-3: 1.0}
    assert found.same_mean > 0.98
    assert found.threshold == pytest.approx(np.cos(np.radians(80)), abs=1e-5)
    assert rank1(embeddings, people) == 1.0


def test_people_who_look_alike_are_not() -> None:
    embeddings, people = circle(0, 20, 1, 21), np.array([0, 0, 1, 1])
    assert verification(embeddings, people).tar[1e-2] == 0.0
    assert rank1(embeddings, people) == 0.0


@pytest.mark.parametrize("rate", [0.0, 1e-3, 1e-2, 0.1, 0.5])
def test_the_threshold_lets_no_more_in_than_the_rate_and_is_the_lowest_such(rate: float) -> None:
    different = np.random.RandomState(0).normal(0, 0.2, 2000)
    threshold = threshold_at(different, rate)
    assert np.mean(different > threshold) <= rate
    assert np.mean(different >= threshold) > rate


def test_with_few_pairs_the_threshold_is_the_hardest_pair() -> None:
    assert threshold_at(np.array([0.1, 0.7, 0.3]), 1e-3) == 0.7
    assert threshold_at(np.array([0.1, 0.7, 0.3]), 1.0) == -1.0


def test_a_threshold_from_elsewhere_accepts_what_lies_above_it() -> None:
    embeddings, people = circle(0, 20, 40, 90), np.array([0, 0, 1, 1])
    found = accepted_at(float(np.cos(np.radians(30))), embeddings, people)
    assert (found.tar, found.far) == (0.5, 0.25)


def test_each_half_of_the_people_is_judged_by_the_other_halfs_threshold() -> None:
    # Persons 0 and 2 are far apart, 1 and 3 closer than the pictures of 0 and of 2.
    embeddings = circle(0, 30, 180, 210, 90, 95, 100, 105)
    people = np.array([0, 0, 2, 2, 1, 1, 3, 3])
    found = accepted_crosswise(embeddings, people)
    assert found is not None
    assert (found.tar, found.far) == (0.5, 0.5)
    assert accepted_crosswise(circle(0, 5, 90), np.array([0, 0, 1])) is None


def test_a_person_with_one_picture_does_not_count_for_rank_1() -> None:
    assert rank1(circle(0, 5, 90), np.array([0, 0, 1])) == 1.0
    assert np.isnan(rank1(circle(0, 90), np.array([0, 1])))


def test_a_gallery_with_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two people"):
        verification(circle(0, 1), np.array([0, 0]))
    with pytest.raises(ValueError, match="no folder with pictures"):
        gallery_files(tmp_path)


def test_a_gallery_is_read_in_order_and_without_strangers(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.JPG", "a/x.jpeg", "a/notes.txt", "loose.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [(person, path.name) for person, path in gallery_files(tmp_path)]
    assert found == [("a", "x.jpeg"), ("b", "1.JPG"), ("b", "2.png")]


def test_service_and_library_agree_also_on_no_face() -> None:
    one, other = circle(0, 60)
    assert agreement(one, one) == pytest.approx(1.0)
    assert agreement(one, other) == pytest.approx(0.5)
    assert agreement(None, None) == 1.0
    assert agreement(one, None) == agreement(None, one) == -1.0


def test_the_report_is_json() -> None:
    found = verification(circle(0, 5, 90), np.array([0, 0, 1]))
    report = Report({"detection": "d"}, 3, 2, missed=["a/x"], unreadable=[], verification=found)
    assert json.loads(json.dumps(document(report)))["verification"]["tar"]["0.001"] == 1.0
