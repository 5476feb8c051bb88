"""Attributes: age, gender, emotion, expression; only for requests that ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inference.runner import Timing
from ops.request_state import RequestState
from ops.worker import ModelWorker
from vision.face import Face

# Vertices of the mesh: inner edges of upper and lower lip, corners of the mouth.
_INNER_LIPS = (13, 14)
_MOUTH_CORNERS = (61, 291)
# Opening of a happy face's mouth as a share of its width: smiles with and without teeth end below
# the first, laughs with an open jaw begin above the second (124 portraits, by eye).
_SMILE, _LAUGH = 0.12, 0.28


class AttributesWorker(ModelWorker):
    """Fills `face.attributes` with what each of the stage's models says, and the expression."""

    def concerns(self, request: RequestState) -> bool:
        return "attributes" in request.options.want

    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        pairs = [
            pair
            for request in requests
            if "attributes" in request.options.want
            for pair in request.faces()
        ]
        samples = [(picture.rgb, face) for picture, face in pairs]
        for runner in self.runners:
            found = runner.run(samples, timing)
            for (_, face), attributes in zip(pairs, found):
                face.attributes.update(attributes)
        for _, face in pairs:
            found_expression = expression(face)
            if found_expression is not None:
                face.attributes["expression"] = found_expression


def expression(face: Face) -> dict[str, Any] | None:
    """``{"type": "none", "smile" or "laugh", "probability": 0 to 1}``.

    How happy the face looks decides between none and the others, how far its mouth is open between
    smile and laugh; without a mesh a happy face smiles. None where no model told the emotion.
    """
    emotion = face.attributes.get("emotion")
    if emotion is None:
        return None
    happy = emotion["probabilities"]["happy"]
    laughing = 0.0 if face.mesh is None else (_opening(face.mesh) - _SMILE) / (_LAUGH - _SMILE)
    laughing = min(max(laughing, 0.0), 1.0)
    shares = {"none": 1 - happy, "smile": happy * (1 - laughing), "laugh": happy * laughing}
    kind = max(shares, key=shares.__getitem__)
    return {"type": kind, "probability": round(shares[kind], 4)}


def _opening(mesh: np.ndarray) -> float:
    """Distance of the lips as a share of the mouth's width; mesh: (468, 3)."""
    upper, lower = mesh[list(_INNER_LIPS)]
    left, right = mesh[list(_MOUTH_CORNERS)]
    width = max(float(np.linalg.norm(right - left)), 1e-6)
    return float(np.linalg.norm(lower - upper)) / width
