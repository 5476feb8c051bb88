"""What the face API's operations answer.

Dictionaries, so that an answer costs nothing but its making. The OpenAPI document is made of these
types, and mypy holds what the operations return against them.
"""

from __future__ import annotations

from typing import Annotated, Generic, NotRequired, TypeVar

from pydantic import Field

# Before Python 3.12, pydantic makes no schema of typing's own.
from typing_extensions import TypeAliasType, TypedDict

T = TypeVar("T")

# Of a registration or the like, in UTC.
Time = Annotated[str, Field(examples=["2026-01-31 12:00:00"])]


class Answer(TypedDict, Generic[T]):
    """Every answer: error_code 0 and a result, or another error_code and none.

    error_msg: of the number, always the same. error_detail: what was wrong with this request.
    log_id: number of the request, also in the logs. timestamp: seconds since 1970.
    """

    error_code: Annotated[int, Field(examples=[0])]
    error_msg: Annotated[str, Field(examples=["SUCCESS"])]
    log_id: int
    timestamp: int
    cached: int
    result: T | None
    error_detail: NotRequired[str]


class Location(TypedDict):
    """A box in pixels of the picture as sent. rotation: degrees, clockwise, of the face in it.

    Clients in typed languages declare width, height and rotation as whole numbers.
    """

    left: float
    top: float
    width: int
    height: int
    rotation: int


class NoLocation(TypedDict):
    """Of a face that was named by its token, nothing is known but that."""


class Angle(TypedDict):
    """Degrees."""

    yaw: float
    pitch: float
    roll: float


class Choice(TypedDict):
    """What a model takes for likeliest. probability: 0 to 1."""

    type: str
    probability: float


class Quality(TypedDict):
    """occlusion and blur: 0 (good) to 1. illumination: 0 to 255. completeness: 0 to 1 (whole)."""

    occlusion: NotRequired[dict[str, float]]
    blur: float
    illumination: float
    completeness: NotRequired[float]


class Point(TypedDict):
    """Pixels of the picture as sent."""

    x: float
    y: float


class FaceResult(TypedDict):
    """A face. The fields from `age` on are there when face_field names them."""

    face_token: str
    location: Location | NoLocation
    face_probability: float
    angle: NotRequired[Angle]
    age: NotRequired[float]
    gender: NotRequired[Choice]
    expression: NotRequired[Choice]
    emotion: NotRequired[Choice]
    landmark: NotRequired[
        Annotated[list[Point], Field(description="Left eye, right eye, nose, mouth.")]
    ]
    landmark72: NotRequired[list[Point]]
    landmark150: NotRequired[dict[str, Point]]
    quality: NotRequired[Quality]
    spoofing: NotRequired[Annotated[float, Field(description="1 minus the liveness score.")]]
    feature: NotRequired[Annotated[str, Field(description="Base64 of little-endian float32.")]]


class DetectResult(TypedDict):
    """Faces of a picture, largest first."""

    face_num: int
    face_list: list[FaceResult]


class TokenResult(TypedDict):
    """A face by its token."""

    face_token: str


class MatchResult(TypedDict):
    """score: 0 to 100; 80 and more: the same person."""

    score: float
    face_list: list[TokenResult]


class LiveMap(TypedDict):
    """livemapscore: 0 to 1, 1 is live."""

    livemapscore: float


class LiveFace(FaceResult):
    """A face with its liveness."""

    liveness: LiveMap


class LivenessResult(TypedDict):
    """face_liveness: the greatest of the pictures'. thresholds: by share of live faces refused."""

    face_liveness: float
    thresholds: dict[str, float]
    face_list: list[LiveFace]


class UserHit(TypedDict):
    """A user who was found. score: 0 to 100."""

    group_id: str
    user_id: str
    user_info: str
    score: float


class IdentifyResult(TypedDict):
    """Users most like the face, best first."""

    face_token: str
    user_list: list[UserHit]


class FaceUsers(TypedDict):
    """A face and the users most like it; none where nobody is."""

    face_token: str
    location: Location | NoLocation
    user_list: list[UserHit]


class MultiSearchResult(TypedDict):
    """Faces of a picture, largest first, with whom they are like."""

    face_num: int
    face_list: list[FaceUsers]


class EnrolResult(TypedDict):
    """The face that was registered."""

    face_token: str
    location: Location | NoLocation


class FaceEntry(TypedDict):
    """A registered face. ctime: when, in UTC."""

    face_token: str
    ctime: Time


class FaceListResult(TypedDict):
    """A user's faces."""

    face_list: list[FaceEntry]


class UserEntry(TypedDict):
    """A user in a group."""

    user_info: str
    group_id: str


class UserResult(TypedDict):
    """A user in all groups that were asked for."""

    user_list: list[UserEntry]


class UserIdsResult(TypedDict):
    """Users of a group."""

    user_id_list: list[str]


class GroupIdsResult(TypedDict):
    """Groups of an app."""

    group_id_list: list[str]


class AppMade(TypedDict):
    """An app; ctime: when it was made, in UTC."""

    app_id: str
    ctime: Time


class AppIdsResult(TypedDict):
    """Apps, in the order of their making."""

    app_id_list: list[str]
    app_list: list[AppMade]


class AppCounts(TypedDict):
    """An app in numbers."""

    group_num: int
    user_num: int
    face_num: int


StatAppResult = TypeAliasType(
    "StatAppResult",
    Annotated[dict[str, AppCounts], Field(description="Apps in numbers, by their ids.")],
)


class GroupCounts(TypedDict):
    """A group in numbers; ctime: when it was made, utime: the newest that it has, in UTC."""

    user_num: int
    face_num: int
    ctime: Time
    utime: Time


StatGroupResult = TypeAliasType(
    "StatGroupResult",
    Annotated[dict[str, GroupCounts], Field(description="Groups in numbers, by their ids.")],
)


class CompareResult(TypedDict):
    """similarity: cosine, -1 to 1. message: in words."""

    similarity: float
    is_same_person: bool
    message: str


class CompareError(TypedDict):
    """error_code: as in the face API's table."""

    error_code: int
    message: str
