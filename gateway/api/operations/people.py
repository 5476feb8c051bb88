"""face/add and its like, user/..., group/...: the library's people."""

from __future__ import annotations

from collections.abc import Sequence

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
from gateway.api.results import (
    EnrolResult,
    FaceListResult,
    GroupIdsResult,
    UserIdsResult,
    UserResult,
)
from gateway.context import Call
from gateway.errors import ApiError, ErrorCode
from library.library import Library
from library.records import Enrolment, NewFace
from library.store.store import Store

# Faces that are deleted at once, of which tokens are looked for one by one; with more of them all
# tokens of the app go.
_MOST_FORGOTTEN = 2000
# Seconds that a deletion waits for the tokens' file, which is no truth of anything.
_FORGETTING_S = 5.0
# How a face's time of registration is written.
TIME = "%Y-%m-%d %H:%M:%S"


async def add(call: Call, asked: Add) -> EnrolResult:
    """Register the picture's largest face; the user is made where there is none.

    So is the group, by default in the private deployment's spelling only.
    """
    replace = asked.action_type == "REPLACE"
    return await _enrol(call, asked, replace=replace, create_groups=call.create_groups)


async def update(call: Call, asked: Update) -> EnrolResult:
    """Register the picture's largest face in place of the user's others."""
    create_users = asked.action_type == "REPLACE"
    return await _enrol(call, asked, replace=True, create_users=create_users)


async def _enrol(
    call: Call,
    asked: Add | Update,
    replace: bool,
    create_users: bool = True,
    create_groups: bool = False,
) -> EnrolResult:
    library_config = call.backends.library_config
    most = library_config.limits.user_info_bytes
    if asked.user_info is not None and len(asked.user_info.encode("utf-8", "replace")) > most:
        raise ApiError(ErrorCode.USER_INFO, f"at most {most} bytes")
    want = wanted_by(asked) | ({"aligned"} if library_config.store_crops else set())
    ((face, *_),) = await faces_of(call, [asked], want)
    check_controls(call, asked, face)
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
        await _forget_tokens(call, asked.group_id, asked.user_id)
    await call.change(
        Library.enrol,
        call.app,
        [enrolment],
        replace,
        create_users=create_users,
        create_groups=create_groups,
    )
    # From now on the library has it, and nothing of it is to stay when it is deleted there.
    call.backends.face_tokens.forget(known)
    return {"face_token": known.token, "location": face.location}


async def delete_face(call: Call, asked: DeleteFace) -> None:
    """Take a face from a user, who goes with the last one."""

    def embeddings(store: Store) -> list[np.ndarray]:
        faces = store.faces(call.app, asked.group_id, asked.user_id)
        token = next((one.token for one in faces if one.token == asked.face_token), None)
        return [] if token is None else [store.face(call.app, token).embedding]

    await _forget(call, await call.read(embeddings))
    await call.change(
        Library.delete_face, call.app, asked.group_id, asked.user_id, asked.face_token
    )


async def list_faces(call: Call, asked: UserOfGroup) -> FaceListResult:
    """A user's faces, oldest first; times are in UTC."""
    faces = await call.read(Store.faces, call.app, asked.group_id, asked.user_id)
    return {
        "face_list": [
            {"face_token": face.token, "ctime": face.created.strftime(TIME)} for face in faces
        ]
    }


async def get_user(call: Call, asked: UserAnywhere) -> UserResult:
    """What is kept about a user, in one group or in all."""
    users = await call.read(Store.user, call.app, asked.user_id, _one_group(asked.group_id))
    return {"user_list": [{"user_info": user.info, "group_id": user.group} for user in users]}


async def list_users(call: Call, asked: UsersOfGroup) -> UserIdsResult:
    """Users of a group in the order of their making."""
    users = await call.read(Store.users, call.app, asked.group_id, asked.start, asked.length)
    return {"user_id_list": users}


async def copy_user(call: Call, asked: CopyUser) -> None:
    """Copy a user into another group; both have the same faces."""
    await call.change(
        Library.copy_user, call.app, asked.user_id, asked.src_group_id, asked.dst_group_id
    )


async def delete_user(call: Call, asked: UserAnywhere) -> None:
    """Delete a user from one group or from all."""
    await _forget_tokens(call, _one_group(asked.group_id), asked.user_id)
    await call.change(Library.delete_user, call.app, asked.user_id, _one_group(asked.group_id))


async def add_group(call: Call, asked: Group) -> None:
    """Make a group, and the app with its first one."""
    await call.change(Library.create_group, call.app, asked.group_id)


async def delete_group(call: Call, asked: Group) -> None:
    """Delete a group with its users."""
    await _forget_tokens(call, asked.group_id, None)
    await call.change(Library.delete_group, call.app, asked.group_id)


async def list_groups(call: Call, asked: Page) -> GroupIdsResult:
    """Groups of the app in the order of their making."""
    groups = await call.read(Store.groups, call.app, asked.start, asked.length)
    return {"group_id_list": groups}


async def _forget_tokens(call: Call, group: str | None, user: str | None) -> None:
    """Forget the tokens of faces that are about to be deleted or replaced.

    Before it, so that a kill between the two leaves nothing of a deleted face.
    """
    faces = await call.read(Store.embeddings, call.app, group, user, _MOST_FORGOTTEN)
    await _forget(call, faces)


async def _forget(call: Call, embeddings: Sequence[np.ndarray]) -> None:
    every = len(embeddings) >= _MOST_FORGOTTEN
    timeout = min(_FORGETTING_S, call.remaining())
    await call.backends.face_tokens.forget_alike(call.app, None if every else embeddings, timeout)


def _one_group(group: str) -> str | None:
    return None if group == ALL_GROUPS else group
