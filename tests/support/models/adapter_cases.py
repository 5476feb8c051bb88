"""Adapters for tests: a manifest for each family, made in a temporary directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inference.adapters import Adapter, create_adapter
from tests.support.models.manifests import make_manifest
from vision.face import Face

# A family's input, outputs and task; the order of outputs is that of the converted graphs.
FAMILIES: dict[str, tuple[tuple[int, int, int], dict[str, tuple[int, ...]], str]] = {
    "blazeface": (
        (3, 256, 256),
        {
            "Identity": (-1, 512, 1),
            "Identity_2": (-1, 512, 16),
            "Identity_3": (-1, 384, 16),
            "Identity_1": (-1, 384, 1),
        },
        "detection",
    ),
    "scrfd": (
        (3, 640, 640),
        {
            f"{part}_{stride}": (-1, 2 * (640 // stride) ** 2, values)
            for stride in (8, 16, 32)
            for part, values in (("scores", 1), ("boxes", 4), ("points", 10))
        },
        "detection",
    ),
    "yunet": (
        (3, 640, 640),
        {
            f"{part}_{stride}": (-1, (640 // stride) ** 2, values)
            for part, values in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
            for stride in (8, 16, 32)
        },
        "detection",
    ),
    "blazeface_fpn_ssh": ((3, 640, 640), {"boxes": (-1, 6), "counts": (-1,)}, "detection"),
    "facemesh": (
        (3, 192, 192),
        {"Identity_1": (-1, 1), "Identity": (-1, 266), "Identity_2": (-1, 1404)},
        "landmark",
    ),
    "arcface": ((3, 112, 112), {"embedding": (-1, 128)}, "recognition"),
    "sface": ((3, 112, 112), {"embedding": (-1, 128)}, "recognition"),
    "dlib_resnet": ((3, 150, 150), {"embedding": (-1, 128)}, "recognition"),
    "faceres": (
        (3, 224, 224),
        {
            "global_pooling_Mean": (-1, 1024),
            "gender_pred_Sigmoid": (-1, 1),
            "age_pred_Softmax": (-1, 100),
        },
        "attributes",
    ),
    "emotion": ((1, 64, 64), {"Identity": (-1, 7)}, "attributes"),
    "antispoof": ((3, 128, 128), {"Identity": (-1, 1)}, "liveness"),
    "liveness": ((3, 32, 32), {"Identity": (-1, 2)}, "liveness"),
    "minifasnet": ((3, 80, 80), {"logits": (-1, 3)}, "liveness"),
}
# What each family's input may hold, for pixels of 0 to 255.
RANGES = {
    "blazeface": (-1, 1),
    "scrfd": (-1, 1),
    "blazeface_fpn_ssh": (-2.2, 2.7),
    "yunet": (0, 255),
    "facemesh": (0, 1),
    "arcface": (-1, 1),
    "sface": (0, 255),
    "dlib_resnet": (-0.5, 0.6),
    "faceres": (-124, 152),
    "emotion": (-1, 1),
    "antispoof": (0, 1),
    "liveness": (0, 1),
    "minifasnet": (0, 255),
}
# Points of the sample picture's face in pixels, in the order of ARCFACE_POINTS.
ASTRONAUT = np.float32([[203, 101], [246, 104], [222, 129], [201, 140], [243, 142]])


def adapter(directory: Path, family: str, **options: Any) -> Any:
    shape, outputs, task = FAMILIES[family]
    return create_adapter(make_manifest(directory / family, family, shape, outputs, options, task))


def astronaut_face() -> Face:
    return Face(box=np.float32([180, 70, 270, 180]), score=1.0, landmarks=ASTRONAUT)


def prepare(made: Adapter, picture: np.ndarray, face: Face | None) -> tuple[np.ndarray, Any]:
    out = np.full(made.sample_shape, np.nan, np.float32)
    return out, made.prepare(picture, face, out)


def quiet(family: str, value: float) -> dict[str, np.ndarray]:
    """Outputs of one sample in which nothing is found."""
    return {
        alias: np.full((1, *shape[1:]), value, np.float32)
        for alias, shape in FAMILIES[family][1].items()
    }


def expected_in_picture(points: np.ndarray, place: Any) -> np.ndarray:
    return (points - [place.left, place.top]) / [place.scale_x, place.scale_y]
