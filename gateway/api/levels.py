"""What the levels of `quality_control` and `liveness_control` ask of a face.

Measured with `python -m bench quality` on 124 portraits of six people, which pass at NORMAL but for
a few in a hundred, and on what was made of them by blurring, darkening and cutting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Level:
    """The bounds of one level, each in the unit of the pipeline's answer.

    blur: at most. darkest, brightest: illumination. completeness: at least. yaw: degrees to either
    side at most; beyond it half of the face is hidden. occlusion: at most, of each part of the
    face that the pipeline tells. liveness: which of the measured thresholds the score has to
    reach, and least_liveness, what it has to reach in any case.
    """

    blur: float
    darkest: float
    brightest: float
    completeness: float
    yaw: float
    occlusion: float
    liveness: str
    least_liveness: float


LEVELS = {
    "LOW": Level(0.8, 25, 245, 0.80, 90, 0.98, "frr_1e-4", 0.0),
    "NORMAL": Level(0.55, 40, 230, 0.95, 55, 0.9, "frr_1e-2", 0.0),
    # Half: the models then say live rather than re-captured.
    "HIGH": Level(0.35, 60, 215, 0.97, 40, 0.75, "frr_1e-2", 0.5),
}
# For models that nobody has measured together: what they themselves take for live.
_UNMEASURED = 0.5


def quality_fault(quality: Mapping[str, Any], angle: Mapping[str, float], level: str) -> str | None:
    """What is wrong with a face: "covered", "blurred", "poor_light", "incomplete" or None.

    quality, angle: as the pipeline answers them; what they lack is not looked at. level: "NONE",
    "LOW", "NORMAL" or "HIGH"; KeyError for another one.
    """
    if level == "NONE":
        return None
    bounds = LEVELS[level]
    light = quality.get("illumination")
    faults = {
        "covered": max(quality.get("occlusion", {}).values(), default=0.0) > bounds.occlusion,
        "incomplete": quality.get("completeness", 1.0) < bounds.completeness
        or abs(angle.get("yaw", 0.0)) > bounds.yaw,
        "poor_light": light is not None and not bounds.darkest <= light <= bounds.brightest,
        "blurred": quality.get("blur", 0.0) > bounds.blur,
    }
    return next((fault for fault, found in faults.items() if found), None)


def liveness_passes(score: float, level: str, thresholds: Mapping[str, float]) -> bool:
    """Whether a liveness score is enough for a level.

    score: 0 to 1. thresholds: of `ops.stages.liveness.thresholds`, for the models that gave it.
    level: "NONE", "LOW", "NORMAL" or "HIGH"; KeyError for another one.
    """
    if level == "NONE":
        return True
    bounds = LEVELS[level]
    return score >= max(thresholds.get(bounds.liveness, _UNMEASURED), bounds.least_liveness)
