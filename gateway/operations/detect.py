"""face/detect, face/match and face/liveness: about the pictures alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.errors import ApiError, ErrorCode
from gateway.faces import check_controls, check_liveness, faces_of, wanted_by
from gateway.fields import shown, split, wants
from gateway.parameters import Detect, Liveness, Match
from gateway.services import Call, Services


async def detect(services: Services, call: Call, asked: Detect) -> dict[str, Any]:
    """Faces, largest first. With liveness_control, those that are not alive are left out."""
    fields = split(asked.face_field)
    want = wants(fields) | {"quality"}
    if asked.liveness_control != "NONE":
        want.add("liveness")
    (faces,) = await faces_of(services, call, [asked], want, asked.max_face_num, compared=False)
    if asked.liveness_control != "NONE":
        for face in faces[:1]:
            check_liveness(services, asked.liveness_control, face)
    return {"face_num": len(faces), "face_list": [shown(face, fields) for face in faces]}


async def match(services: Services, call: Call, asked: Sequence[Match]) -> dict[str, Any]:
    """How alike the largest faces of two pictures are, as a score from 0 to 100."""
    want = set().union(*map(wanted_by, asked))
    faces = [found[0] for found in await faces_of(services, call, asked, want)]
    for image, face in zip(asked, faces):
        check_controls(services, image, face)
    first, second = (face.known.embedding for face in faces)
    score = services.people.recogniser.scores.of_cosine(float(np.dot(first, second)))
    return {
        "score": round(float(score), 4),
        "face_list": [{"face_token": face.token} for face in faces],
    }


async def liveness(services: Services, call: Call, asked: Sequence[Liveness]) -> dict[str, Any]:
    """How alive the faces of one to eight pictures of a person are: the mean of their scores.

    A mean, not the best of them, so that more attempts at a fraud make it no likelier.
    """
    if any(image.image_type == "FACE_TOKEN" for image in asked):
        raise ApiError(ErrorCode.IMAGE_TYPE, "liveness is of a picture, not of a face_token")
    fields = [split(image.face_field) for image in asked]
    want = {"liveness"}.union(*map(wants, fields))
    faces = [found[0] for found in await faces_of(services, call, asked, want, compared=False)]
    scores = [face.known.liveness for face in faces]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        raise ApiError(ErrorCode.PIPELINE, "the pipeline has no liveness stage")
    return {
        "face_liveness": round(float(np.mean(known)), 4),
        "thresholds": services.liveness_thresholds,
        "face_list": [
            {**shown(face, names), "liveness": {"livemapscore": round(score, 4)}}
            for face, names, score in zip(faces, fields, known)
        ],
    }
