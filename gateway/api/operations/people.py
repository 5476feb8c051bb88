"""face/add and its like, user/..., group/...: the library's people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.api.faces import check_controls, faces_of, wanted_by
from gateway.api.parameters import (
    ALL_GROUPS,
    Add,
    CopyUser,
    DeleteFace,
    Group,
    Page,
    Update,
    UserAnywhere,
    UserOfGroup,
    UsersOfGroup,
)
from gateway.context import Call, Services
from gateway.errors import ApiError, ErrorCode
from library.library import Library
from library.records import Enrolment, NewFace

# Faces that are deleted at once, of which tokens are looked for one by one; with more of them all
# tokens of the app go.
_MOST_FORGOTTEN = 2000
# Seconds that a deletion waits for the tokens' file, which is no truth of anything.
_FORGETTING_S = 5.0
# How a face's time of registration is written.
TIME = "%Y-%m-%d %H:%M:%S"


async def add(services: Services, call: Call, asked: Add) -> dict[str, Any]:
    """Register the picture's largest face; the user is made where there is none.

    So is the group, by default in the private deployment's spelling only.
    """
    replace = asked.action_type == "REPLACE"
    return await _enrol(services, call, asked, replace=replace, create_groups=call.create_groups)


async def update(services: Services, call: Call, asked: Update) -> dict[str, Any]:
    """Register the picture's largest face in place of the user's others."""
    create_users = asked.action_type == "REPLACE"
    return await _enrol(services, call, asked, replace=True, create_users=create_users)


async def _enrol(
    services: Services,
    call: Call,
    asked: Add | Update,
    replace: bool,
    create_users: bool = True,
    create_groups: bool = False,
) -> dict[str, Any]:
    most = services.library.limits.user_info_bytes
    if asked.user_info is not None and len(asked.user_info.encode("utf-8", "replace")) > most:
        raise ApiError(ErrorCode.USER_INFO, f"at most {most} bytes")
    want = wanted_by(asked) | ({"aligned"} if services.library.store_crops else set())
    ((face, *_),) = await faces_of(services, call, [asked], want)
    check_controls(services, asked, face)
    known = face.known
    new = NewFace(
        embedding=known.embedding,
        model=known.model,
        token=known.token,
        quality=round(known.probability, 4),
        crop=face.seen.aligned if face.seen else None,
    )
    enrolment = Enrolment(asked.group_id, asked.user_id, new, asked.user_info)
    if replace:
        await _forget_tokens(services, call, asked.group_id, asked.user_id)
    await call.change(
        services.people,
        lambda library: library.enrol(
            call.app, [enrolment], replace, create_users=create_users, create_groups=create_groups
        ),
    )
    # From now on the library has it, and nothing of it is to stay when it is deleted there.
    services.tokens.forget(known)
    return {"face_token": known.token, "location": known.location}


async def delete_face(services: Services, call: Call, asked: DeleteFace) -> None:
    """Take a face from a user, who goes with the last one."""

    def embeddings(library: Library) -> list[np.ndarray]:
        faces = library.store.faces(call.app, asked.group_id, asked.user_id)
        token = next((one.token for one in faces if one.token == asked.face_token), None)
        return [] if token is None else [library.store.face(call.app, token).embedding]

    await _forget(services, call, await call.ask(services.people, embeddings))
    await call.change(
        services.people,
        lambda library: library.delete_face(
            call.app, asked.group_id, asked.user_id, asked.face_token
        ),
    )


async def list_faces(services: Services, call: Call, asked: UserOfGroup) -> dict[str, Any]:
    """A user's faces, oldest first; times are in UTC."""
    faces = await call.ask(
        services.people,
        lambda library: library.store.faces(call.app, asked.group_id, asked.user_id),
    )
    return {
        "face_list": [
            {"face_token": face.token, "ctime": face.created.strftime(TIME)} for face in faces
        ]
    }


async def get_user(services: Services, call: Call, asked: UserAnywhere) -> dict[str, Any]:
    """What is kept about a user, in one group or in all."""
    users = await call.ask(
        services.people,
        lambda library: library.store.user(call.app, asked.user_id, _one_group(asked.group_id)),
    )
    return {"user_list": [{"user_info": user.info, "group_id": user.group} for user in users]}


async def list_users(services: Services, call: Call, asked: UsersOfGroup) -> dict[str, Any]:
    """Users of a group in the order of their making."""
    users = await call.ask(
        services.people,
        lambda library: library.store.users(call.app, asked.group_id, asked.start, asked.length),
    )
    return {"user_id_list": users}


async def copy_user(services: Services, call: Call, asked: CopyUser) -> None:
    """Copy a user into another group; both have the same faces."""
    await call.change(
        services.people,
        lambda library: library.copy_user(
            call.app, asked.user_id, asked.src_group_id, asked.dst_group_id
        ),
    )


async def delete_user(services: Services, call: Call, asked: UserAnywhere) -> None:
    """Delete a user from one group or from all."""
    await _forget_tokens(services, call, _one_group(asked.group_id), asked.user_id)
    await call.change(
        services.people,
        lambda library: library.delete_user(call.app, asked.user_id, _one_group(asked.group_id)),
    )


async def add_group(services: Services, call: Call, asked: Group) -> None:
    """Make a group, and the app with its first one."""
    await call.change(
        services.people, lambda library: library.create_group(call.app, asked.group_id)
    )


async def delete_group(services: Services, call: Call, asked: Group) -> None:
    """Delete a group with its users."""
    await _forget_tokens(services, call, asked.group_id, None)
    await call.change(
        services.people, lambda library: library.delete_group(call.app, asked.group_id)
    )


async def list_groups(services: Services, call: Call, asked: Page) -> dict[str, Any]:
    """Groups of the app in the order of their making."""
    groups = await call.ask(
        services.people, lambda library: library.store.groups(call.app, asked.start, asked.length)
    )
    return {"group_id_list": groups}


async def _forget_tokens(
    services: Services, call: Call, group: str | None, user: str | None
) -> None:
    """Forget the tokens of faces that are about to be deleted or replaced.

    Before it, so that a kill between the two leaves nothing of a deleted face.
    """
    faces = await call.ask(
        services.people,
        lambda library: library.store.embeddings(call.app, group, user, _MOST_FORGOTTEN),
    )
    await _forget(services, call, faces)


async def _forget(services: Services, call: Call, embeddings: Sequence[np.ndarray]) -> None:
    every = len(embeddings) >= _MOST_FORGOTTEN
    timeout = min(_FORGETTING_S, call.remaining())
    await services.tokens.forget_alike(call.app, None if every else embeddings, timeout)


def _one_group(group: str) -> str | None:
    return None if group == ALL_GROUPS else group
