"""`face_field`: what is asked of the pipeline for it, and how the answer shows it."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Any, Literal, cast

import numpy as np

from client.pipeline.wire import FaceSeen
from gateway.api.faces import Found
from gateway.api.results import Angle, FaceResult, Point, Quality
from vision.face_points import landmark72, landmark150

# Fields by the part of the pipeline's answer that they come from.
_NEEDS = {
    "attributes": {"age", "gender", "emotion", "expression"},
    "landmarks": {"landmark"},
    "mesh": {"landmark", "landmark72", "landmark150"},
    "liveness": {"spoofing"},
}
_CHOICES: tuple[Literal["gender", "expression", "emotion"], ...] = (
    "gender",
    "expression",
    "emotion",
)


def split(face_field: str) -> set[str]:
    """The fields that a comma list names."""
    return set(filter(None, face_field.split(",")))


def wants(fields: Collection[str]) -> set[str]:
    """Parts of the pipeline's answer that fields are made of."""
    return {part for part, made in _NEEDS.items() if made & set(fields)}


def shown(face: Found, fields: Collection[str]) -> FaceResult:
    """A face as detections show it, with those of the fields that are known of it."""
    known = face.known
    result: FaceResult = {
        "face_token": known.token,
        "location": face.location,
        "face_probability": round(known.probability, 4),
    }
    # As the pipeline has said it.
    if known.angle is not None:
        result["angle"] = cast(Angle, known.angle)
    if known.quality is not None and "quality" in fields:
        result["quality"] = cast(Quality, known.quality)
    if known.liveness is not None and "spoofing" in fields:
        result["spoofing"] = round(1.0 - known.liveness, 4)
    if "feature" in fields and face.is_comparable:
        result["feature"] = base64.b64encode(known.embedding.astype("<f4").tobytes()).decode()
    if face.seen is not None:
        _add_attributes(result, face.seen.attributes, fields)
        _add_points(result, face.seen, fields)
    return result


def _add_attributes(
    result: FaceResult, attributes: dict[str, Any], fields: Collection[str]
) -> None:
    if "age" in fields and "age" in attributes:
        result["age"] = round(attributes["age"])
    for name in _CHOICES:
        if name in fields and name in attributes:
            likeliest = attributes[name]
            result[name] = {"type": likeliest["type"], "probability": likeliest["probability"]}


def _add_points(result: FaceResult, seen: FaceSeen, fields: Collection[str]) -> None:
    if "landmark" in fields and seen.landmarks is not None:
        points = np.asarray(seen.landmarks, np.float64)
        four = [points[0], points[1], points[2], (points[3] + points[4]) / 2]
        result["landmark"] = [_point(point) for point in four]
    if seen.mesh is not None:
        # The cloud's clients read landmark72 where they have asked for landmark.
        if not {"landmark", "landmark72"}.isdisjoint(fields):
            result["landmark72"] = [_point(point) for point in landmark72(seen.mesh)]
        if "landmark150" in fields:
            named = landmark150(seen.mesh)
            result["landmark150"] = {name: _point(point) for name, point in named.items()}


def _point(point: Any) -> Point:
    return {"x": round(float(point[0]), 2), "y": round(float(point[1]), 2)}
