"""face/identify and face/multi-search: who in the library is in the picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.api.faces import Found, check_controls, faces_of, wanted_by
from gateway.api.parameters import Identify, MultiSearch
from gateway.api.results import IdentifyResult, MultiSearchResult, UserHit
from gateway.backends.library_calls import groups_of
from gateway.backends.search_batching import Kind
from gateway.context import Call
from gateway.errors import ApiError, ErrorCode
from library.library import Hit, Library


async def identify(call: Call, asked: Identify) -> IdentifyResult:
    """The users most like the picture's largest face. user_id: only this user is compared."""
    ((face, *_),) = await faces_of(call, [asked], wanted_by(asked))
    check_controls(call, asked, face)
    groups = _distinct(asked.group_id_list)
    (hits,) = await _search(
        call, [face], groups, asked.max_user_num, asked.match_threshold, asked.user_id
    )
    if not hits:
        raise ApiError(ErrorCode.NO_MATCH)
    return {"face_token": face.token, "user_list": [_shown(hit) for hit in hits]}


async def multi_search(call: Call, asked: MultiSearch) -> MultiSearchResult:
    """The same for every face of a picture. The controls are for the largest face."""
    (faces,) = await faces_of(call, [asked], wanted_by(asked), asked.max_face_num)
    check_controls(call, asked, faces[0])
    groups = _distinct(asked.group_id_list)
    found = await _search(
        call, faces, groups, asked.max_user_num, asked.match_threshold, asked.user_id
    )
    if not any(found):
        raise ApiError(ErrorCode.NO_MATCH)
    return {
        "face_num": len(faces),
        "face_list": [
            {
                "face_token": face.token,
                "location": face.location,
                "user_list": [_shown(hit) for hit in hits],
            }
            for face, hits in zip(faces, found)
        ],
    }


async def _search(
    call: Call,
    faces: Sequence[Found],
    groups: Sequence[str],
    users: int,
    threshold: float,
    user: str | None,
) -> list[list[Hit]]:
    queries = np.stack([face.known.embedding for face in faces])

    def compare(library: Library) -> list[list[Hit]]:
        where = groups_of(library, call.app, str(user), groups)
        found = [
            _of_one(library, call.app, where, str(user), query, threshold) for query in queries
        ]
        return [hits[:users] for hits in found]

    started = time.perf_counter()
    if user is None:
        kind = Kind(call.app, tuple(groups), users, threshold)
        found = await call.within(call.backends.searches.search(kind, queries))
    else:
        found = await call.ask(compare)
    call.backends.metrics.search(time.perf_counter() - started)
    return found


def _of_one(
    library: Library, app: str, groups: Sequence[str], user: str, query: Any, threshold: float
) -> list[Hit]:
    hits = [library.score_user(app, group, user, query) for group in groups]
    return sorted((hit for hit in hits if hit.score >= threshold), key=lambda hit: -hit.score)


def _distinct(group_id_list: str) -> list[str]:
    return list(dict.fromkeys(group_id_list.split(",")))


def _shown(hit: Hit) -> UserHit:
    return {
        "group_id": hit.group,
        "user_id": hit.user,
        "user_info": hit.info,
        "score": round(hit.score, 4),
    }
