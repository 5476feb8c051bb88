"""`face_field`: what is asked of the pipeline for it, and how the answer shows it."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Any

import numpy as np

from gateway.api.faces import Found
from vision.face_points import landmark72, landmark150

# Fields by the part of the pipeline's answer that they come from.
_NEEDS = {
    "attributes": {"age", "gender", "emotion", "expression"},
    "landmarks": {"landmark"},
    "mesh": {"landmark", "landmark72", "landmark150"},
    "liveness": {"spoofing"},
}


def split(face_field: str) -> set[str]:
    """The fields that a comma list names."""
    return set(filter(None, face_field.split(",")))


def wants(fields: Collection[str]) -> set[str]:
    """Parts of the pipeline's answer that fields are made of."""
    return {part for part, made in _NEEDS.items() if made & set(fields)}


def shown(face: Found, fields: Collection[str]) -> dict[str, Any]:
    """A face as detections show it, with those of the fields that are known of it."""
    known = face.known
    result: dict[str, Any] = {
        "face_token": known.token,
        "location": known.location,
        "face_probability": round(known.probability, 4),
    }
    if known.angle is not None:
        result["angle"] = known.angle
    if known.quality is not None and "quality" in fields:
        result["quality"] = known.quality
    if known.liveness is not None and "spoofing" in fields:
        result["spoofing"] = round(1.0 - known.liveness, 4)
    if "feature" in fields and face.is_comparable:
        result["feature"] = base64.b64encode(known.embedding.astype("<f4").tobytes()).decode()
    if face.seen is not None:
        result.update(_attributes(face.seen.attributes, fields))
        result.update(_points(face, fields))
    return result


def _attributes(attributes: dict[str, Any], fields: Collection[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if "age" in fields and "age" in attributes:
        result["age"] = round(attributes["age"])
    for name in ("gender", "expression", "emotion"):
        if name in fields and name in attributes:
            result[name] = {key: attributes[name][key] for key in ("type", "probability")}
    return result


def _points(face: Found, fields: Collection[str]) -> dict[str, Any]:
    seen = face.seen
    result: dict[str, Any] = {}
    if seen is None:
        return result
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
    return result


def _point(point: Any) -> dict[str, float]:
    return {"x": round(float(point[0]), 2), "y": round(float(point[1]), 2)}
