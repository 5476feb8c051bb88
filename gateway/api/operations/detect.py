"""face/detect, face/match and face/liveness: about the pictures alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.api.faces import (
    PICTURE_NEEDED,
    Found,
    check_controls,
    check_liveness,
    faces_of,
    wanted_by,
)
from gateway.api.fields import shown, split, wants
from gateway.api.parameters import Detect, Liveness, Match
from gateway.api.results import DetectResult, LivenessResult, MatchResult
from gateway.context import Call
from gateway.errors import ApiError, ErrorCode


async def detect(call: Call, asked: Detect) -> DetectResult:
    """Faces, largest first. With liveness_control, the largest has to be alive."""
    fields = split(asked.face_field)
    # Later calls go on with the tokens, when the picture is gone.
    want = wants(fields) | {"quality", "liveness"}
    (faces,) = await faces_of(call, [asked], want, asked.max_face_num, compared=False)
    if asked.liveness_control != "NONE":
        for face in faces[:1]:
            check_liveness(call, asked.liveness_control, face)
    return {"face_num": len(faces), "face_list": [shown(face, fields) for face in faces]}


async def match(call: Call, asked: Sequence[Match]) -> MatchResult:
    """How alike the largest faces of two pictures are, as a score from 0 to 100."""
    want = set().union(*map(wanted_by, asked))
    faces = [found[0] for found in await faces_of(call, asked, want)]
    for image, face in zip(asked, faces):
        check_controls(call, image, face)
    first, second = (face.known.embedding for face in faces)
    score = call.backends.library.recogniser.scores.of_cosine(float(np.dot(first, second)))
    return {
        "score": round(float(score), 4),
        "face_list": [{"face_token": face.token} for face in faces],
    }


async def liveness(call: Call, asked: Sequence[Liveness]) -> LivenessResult:
    """How alive the faces of one to eight pictures of a person are: the greatest of their scores.

    A face_token is good for it where its picture's liveness was looked at, as detections do.
    """
    fields = [split(image.face_field) for image in asked]
    want = {"liveness"}.union(*map(wants, fields))
    faces = [found[0] for found in await faces_of(call, asked, want, compared=False)]
    scores = [_liveness_of(face) for face in faces]
    return {
        "face_liveness": round(max(scores), 4),
        "thresholds": call.backends.liveness_thresholds,
        "face_list": [
            {**shown(face, names), "liveness": {"livemapscore": round(score, 4)}}
            for face, names, score in zip(faces, fields, scores)
        ],
    }


def _liveness_of(face: Found) -> float:
    """Raises ApiError IMAGE_TYPE for a token whose picture was not looked at for it, PIPELINE."""
    score = face.known.liveness
    if score is not None:
        return score
    if face.seen is None:
        raise ApiError(ErrorCode.IMAGE_TYPE, PICTURE_NEEDED)
    raise ApiError(ErrorCode.PIPELINE, "the pipeline has no liveness stage")
