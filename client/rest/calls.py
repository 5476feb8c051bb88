"""The gateway's functions as requests: what is sent, and how the result is read."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Generic, Optional, Tuple, TypeVar, Union

from client.rest import answers
from client.rest.error_numbers import ErrorNumber
from client.rest.records import (
    AppStatistics,
    Comparison,
    Enrolled,
    EnrolledFace,
    Face,
    FoundFace,
    GroupStatistics,
    HealthReport,
    Identified,
    Liveness,
    Match,
    Membership,
    Picture,
    Token,
    Url,
)

T = TypeVar("T")

API = "/face-api/v3/"
HUB = "/face-api/facehub/"
EVERYWHERE = "@ALL"
NOBODY = Identified()
Names = Union[str, "Sequence[str]"]
# quality_control and liveness_control.
Controls = Tuple[Optional[str], Optional[str]]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request.

    body: JSON, None for a GET. read: the result's value; for a `plain` call, that of the whole
    answer. repeatable: it changes nothing, so it may be sent again. instead: what stands for an
    error by its number. statuses: of HTTP that come with a result. files: of a multipart form, in
    place of body.
    """

    path: str
    body: Any
    read: Callable[[Any], T]
    repeatable: bool = True
    instead: Mapping[int, T] = field(default_factory=dict)
    plain: bool = False
    statuses: tuple[int, ...] = (200,)
    files: Mapping[str, bytes] | None = None


def detect(
    picture: Picture, fields: Names, max_faces: int, liveness: str | None
) -> Call[tuple[Face, ...]]:
    """See FaceService.detect."""
    options = {"face_field": _joined(fields), "max_face_num": max_faces}
    body = _with({**_image(picture), **options}, liveness_control=liveness)
    return Call(API + "face/detect", body, answers.faces, instead={ErrorNumber.NO_FACE: ()})


def match(one: Picture, other: Picture, controls: Controls) -> Call[Match]:
    """See FaceService.match."""
    body = [_controlled(picture, controls) for picture in (one, other)]
    return Call(API + "face/match", body, answers.match)


def compare(one: Picture, other: Picture) -> Call[Comparison]:
    """See FaceService.compare."""
    files = {"image1": _bytes(one), "image2": _bytes(other)}
    return Call("/compare", None, answers.comparison, plain=True, files=files)


def identify(
    picture: Picture,
    groups: Names,
    max_users: int,
    threshold: float,
    user: str | None,
    controls: Controls,
) -> Call[Identified]:
    """See FaceService.identify."""
    body = _search(picture, groups, max_users, threshold, controls)
    body = _with(body, user_id=user)
    return Call(
        API + "face/identify", body, answers.identified, instead={ErrorNumber.NO_MATCH: NOBODY}
    )


def multi_search(
    picture: Picture,
    groups: Names,
    max_faces: int,
    max_users: int,
    threshold: float,
    user: str | None,
    controls: Controls,
) -> Call[tuple[FoundFace, ...]]:
    """See FaceService.multi_search."""
    body = _search(picture, groups, max_users, threshold, controls)
    body = _with({**body, "max_face_num": max_faces}, user_id=user)
    instead: dict[int, tuple[FoundFace, ...]]
    instead = {ErrorNumber.NO_FACE: (), ErrorNumber.NO_MATCH: ()}
    return Call(API + "face/multi-search", body, answers.found_faces, instead=instead)


def liveness(pictures: Sequence[Picture], fields: Names) -> Call[Liveness]:
    """See FaceService.liveness."""
    body = [_with(_image(one), face_field=_joined(fields) or None) for one in pictures]
    return Call(API + "face/liveness", body, answers.liveness)


def enrol(
    path: str,
    picture: Picture,
    group: str,
    user: str,
    info: str | None,
    action: str | None,
    controls: Controls,
) -> Call[Enrolled]:
    """See FaceService.add and FaceService.update. path: of the one or the other."""
    body = _controlled(picture, controls)
    body = _with({**body, "group_id": group, "user_id": user}, user_info=info, action_type=action)
    return Call(API + path, body, answers.enrolled, repeatable=False)


def change(path: str, **parameters: str) -> Call[None]:
    """A change that has no result."""
    return Call(API + path, parameters, lambda _: None, repeatable=False)


def faces(user: str, group: str) -> Call[tuple[EnrolledFace, ...]]:
    """See FaceService.faces."""
    body = {"user_id": user, "group_id": group}
    return Call(API + "face/list", body, answers.enrolled_faces)


def user(name: str, group: str) -> Call[tuple[Membership, ...]]:
    """See FaceService.user."""
    body = {"user_id": name, "group_id": group}
    return Call(API + "user/get", body, answers.memberships)


def listing(path: str, key: str, **parameters: Any) -> Call[tuple[str, ...]]:
    """A list of names, at `key` of the result."""

    def read(result: Any) -> tuple[str, ...]:
        return tuple(map(str, result[key]))

    return Call(API + path, parameters, read)


def app_statistics(apps: Names) -> Call[tuple[AppStatistics, ...]]:
    """See FaceService.app_statistics."""
    body = _with({}, op_app_id_list=_joined(apps) or None)
    return Call(HUB + "statapp", body, answers.app_statistics)


def group_statistics(groups: Names, app: str | None) -> Call[tuple[GroupStatistics, ...]]:
    """See FaceService.group_statistics."""
    body = _with({}, group_id_list=_joined(groups) or None, op_app_id=app)
    return Call(HUB + "statgroup", body, answers.group_statistics)


def health() -> Call[HealthReport]:
    """See FaceService.health."""
    return Call("/health", None, answers.health, repeatable=False, plain=True, statuses=(200, 503))


def _image(picture: Picture) -> dict[str, Any]:
    if isinstance(picture, Token):
        return {"image": str(picture), "image_type": "FACE_TOKEN"}
    if isinstance(picture, Url):
        return {"image": str(picture), "image_type": "URL"}
    encoded = base64.b64encode(_bytes(picture)).decode("ascii")
    return {"image": encoded, "image_type": "BASE64"}


def _bytes(picture: Picture) -> bytes:
    """The file. Raises OSError, and TypeError for what is no file."""
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return bytes(picture)
    if isinstance(picture, str):
        raise TypeError("a picture is bytes, a pathlib.Path, or for most calls a Token or Url")
    return Path(picture).read_bytes()


def _controlled(picture: Picture, controls: Controls) -> dict[str, Any]:
    quality, liveness = controls
    return _with(_image(picture), quality_control=quality, liveness_control=liveness)


def _search(
    picture: Picture,
    groups: Names,
    max_users: int,
    threshold: float,
    controls: Controls,
) -> dict[str, Any]:
    options = {"max_user_num": max_users, "match_threshold": threshold}
    return {**_controlled(picture, controls), "group_id_list": _joined(groups), **options}


def _with(body: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The body, and of the others those that are set."""
    return {**body, **{name: value for name, value in more.items() if value is not None}}


def _joined(names: Names) -> str:
    return names if isinstance(names, str) else ",".join(names)
