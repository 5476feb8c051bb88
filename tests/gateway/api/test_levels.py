"""What the levels of quality_control and liveness_control let pass."""

from __future__ import annotations

import pytest

from gateway.api.levels import LEVELS, liveness_passes, quality_fault
from ops.stages.liveness import FALSE_REJECT_RATES, thresholds

GOOD = {"blur": 0.05, "illumination": 130.0, "completeness": 1.0}
FRONTAL = {"yaw": 3.0, "pitch": -2.0, "roll": 5.0}
ORDER = ("NONE", "LOW", "NORMAL", "HIGH")


@pytest.mark.parametrize("level", ORDER)
def test_a_good_frontal_face_passes_at_every_level(level: str) -> None:
    assert quality_fault(GOOD, FRONTAL, level) is None


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"blur": 1.0}, "blurred"),
        ({"illumination": 5.0}, "poor_light"),
        ({"illumination": 254.0}, "poor_light"),
        ({"completeness": 0.5}, "incomplete"),
        ({"occlusion": {"left_eye": 0.99, "mouth": 0.1}}, "covered"),
    ],
)
def test_a_spoilt_face_is_told_what_is_wrong_at_every_level_but_none(
    changed: dict[str, float], fault: str
) -> None:
    quality = {**GOOD, **changed}
    assert quality_fault(quality, FRONTAL, "NONE") is None
    assert [quality_fault(quality, FRONTAL, level) for level in ORDER[1:]] == [fault] * 3


def test_half_a_face_in_profile_is_incomplete_where_more_is_asked() -> None:
    profile = {**FRONTAL, "yaw": -70.0}
    found = [quality_fault(GOOD, profile, level) for level in ORDER]
    assert found == [None, None, "incomplete", "incomplete"]


def test_what_the_pipeline_did_not_tell_is_no_fault() -> None:
    assert quality_fault({}, {}, "HIGH") is None
    assert quality_fault({"blur": 0.1, "illumination": 90.0}, {}, "HIGH") is None


def test_each_level_asks_for_at_least_as_much_as_the_one_below() -> None:
    for low, high in (("LOW", "NORMAL"), ("NORMAL", "HIGH")):
        below, above = LEVELS[low], LEVELS[high]
        assert above.blur < below.blur
        assert below.darkest < above.darkest < above.brightest < below.brightest
        assert above.completeness > below.completeness
        assert above.yaw < below.yaw
        assert above.occlusion < below.occlusion


@pytest.mark.parametrize(
    "models", [["antispoof", "liveness"], ["minifasnet_v2", "minifasnet_v1se"], ["antispoof"]]
)
def test_thresholds_fall_with_the_share_of_live_faces_that_they_refuse(models: list[str]) -> None:
    found = thresholds(models)
    assert tuple(found) == FALSE_REJECT_RATES
    assert 0 < found["frr_1e-4"] < found["frr_1e-3"] < found["frr_1e-2"] < 1
    assert thresholds(models[::-1]) == found


def test_models_that_nobody_measured_have_no_thresholds_and_must_say_live() -> None:
    assert thresholds(["another"]) == {}
    assert liveness_passes(0.6, "LOW", {})
    assert not liveness_passes(0.4, "LOW", {})
    assert liveness_passes(0.0, "NONE", {})


def test_a_higher_level_lets_fewer_scores_pass() -> None:
    limits = thresholds(["antispoof", "liveness"])
    passed = [
        sum(liveness_passes(score / 100, level, limits) for score in range(101)) for level in ORDER
    ]
    assert passed == sorted(passed, reverse=True)
    assert len(set(passed)) == 4


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(KeyError):
        quality_fault(GOOD, FRONTAL, "SUPER")
