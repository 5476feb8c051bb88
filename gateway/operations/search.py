"""face/identify and face/multi-search: who in the library is in the picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from gateway.errors import ApiError, ErrorCode
from gateway.faces import Found, check_controls, faces_of, wanted_by
from gateway.parameters import Identify, MultiSearch
from gateway.people import groups_of
from gateway.services import Call, Services
from library.library import Hit, Library


async def identify(services: Services, call: Call, asked: Identify) -> dict[str, Any]:
    """The users most like the picture's largest face. user_id: only this user is compared."""
    ((face, *_),) = await faces_of(services, call, [asked], wanted_by(asked))
    check_controls(services, asked, face)
    groups = _distinct(asked.group_id_list)
    (hits,) = await _search(
        services, call, [face], groups, asked.max_user_num, asked.match_threshold, asked.user_id
    )
    if not hits:
        raise ApiError(ErrorCode.NO_MATCH)
    return {"face_token": face.token, "user_list": [_shown(hit) for hit in hits]}


async def multi_search(services: Services, call: Call, asked: MultiSearch) -> dict[str, Any]:
    """The same for every face of a picture. The controls are for the largest face."""
    (faces,) = await faces_of(services, call, [asked], wanted_by(asked), asked.max_face_num)
    check_controls(services, asked, faces[0])
    groups = _distinct(asked.group_id_list)
    found = await _search(
        services, call, faces, groups, asked.max_user_num, asked.match_threshold, None
    )
    if not any(found):
        raise ApiError(ErrorCode.NO_MATCH)
    return {
        "face_num": len(faces),
        "face_list": [
            {
                "face_token": face.token,
                "location": face.known.location,
                "user_list": [_shown(hit) for hit in hits],
            }
            for face, hits in zip(faces, found)
        ],
    }


async def _search(
    services: Services,
    call: Call,
    faces: Sequence[Found],
    groups: Sequence[str],
    users: int,
    threshold: float,
    user: Optional[str],
) -> list[list[Hit]]:
    queries = np.stack([face.known.embedding for face in faces])

    def work(library: Library) -> list[list[Hit]]:
        if user is None:
            return library.search(call.app, queries, groups, users, threshold)
        where = groups_of(library, call.app, user, groups)
        hits = [library.score_user(call.app, group, user, queries[0]) for group in where]
        hits = sorted(hits, key=lambda hit: -hit.score)
        return [[hit for hit in hits if hit.score >= threshold][:users]]

    started = time.perf_counter()
    found = await call.ask(services.people, work)
    services.metrics.search(time.perf_counter() - started)
    return found


def _distinct(group_id_list: str) -> list[str]:
    return list(dict.fromkeys(group_id_list.split(",")))


def _shown(hit: Hit) -> dict[str, Any]:
    return {
        "group_id": hit.group,
        "user_id": hit.user,
        "user_info": hit.info,
        "score": round(hit.score, 4),
    }
