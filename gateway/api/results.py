"""What the face API's operations answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, Field, RootModel

T = TypeVar("T")


class Answer(BaseModel, Generic[T]):
    """Every answer: error_code 0 and a result, or another error_code and none.

    error_msg: of the number, always the same. error_detail: what was wrong with this request.
    log_id: number of the request, also in the logs. timestamp: seconds since 1970.
    """

    error_code: int = Field(examples=[0])
    error_msg: str = Field(examples=["SUCCESS"])
    error_detail: str | None = None
    log_id: int
    timestamp: int
    cached: int = 0
    result: T | None = None


class Location(BaseModel):
    """A box in pixels of the picture as sent. rotation: degrees, clockwise, of the face in it.

    Clients in typed languages declare width, height and rotation as whole numbers.
    """

    left: float
    top: float
    width: int
    height: int
    rotation: int


class NoLocation(BaseModel):
    """Of a face that was named by its token, nothing is known but that."""


class Angle(BaseModel):
    """Degrees."""

    yaw: float
    pitch: float
    roll: float


class Choice(BaseModel):
    """What a model takes for likeliest. probability: 0 to 1."""

    type: str
    probability: float


class Quality(BaseModel):
    """occlusion and blur: 0 (good) to 1. illumination: 0 to 255. completeness: 0 to 1 (whole)."""

    occlusion: dict[str, float] | None = None
    blur: float
    illumination: float
    completeness: float | None = None


class Point(BaseModel):
    """Pixels of the picture as sent."""

    x: float
    y: float


class FaceResult(BaseModel):
    """A face. The fields from `age` on are there when face_field names them."""

    face_token: str
    location: Location | NoLocation
    face_probability: float
    angle: Angle | None = None
    age: float | None = None
    gender: Choice | None = None
    expression: Choice | None = None
    emotion: Choice | None = None
    landmark: list[Point] | None = Field(None, description="Left eye, right eye, nose, mouth.")
    landmark72: list[Point] | None = None
    landmark150: dict[str, Point] | None = None
    quality: Quality | None = None
    spoofing: float | None = Field(None, description="1 minus the liveness score.")
    feature: str | None = Field(None, description="Base64 of little-endian float32.")


class DetectResult(BaseModel):
    """Faces of a picture, largest first."""

    face_num: int
    face_list: list[FaceResult]


class TokenResult(BaseModel):
    """A face by its token."""

    face_token: str


class MatchResult(BaseModel):
    """score: 0 to 100; 80 and more: the same person."""

    score: float
    face_list: list[TokenResult]


class LiveMap(BaseModel):
    """livemapscore: 0 to 1, 1 is live."""

    livemapscore: float


class LiveFace(FaceResult):
    """A face with its liveness."""

    liveness: LiveMap


class LivenessResult(BaseModel):
    """face_liveness: the greatest of the pictures'. thresholds: by share of live faces refused."""

    face_liveness: float
    thresholds: dict[str, float]
    face_list: list[LiveFace]


class UserHit(BaseModel):
    """A user who was found. score: 0 to 100."""

    group_id: str
    user_id: str
    user_info: str
    score: float


class IdentifyResult(BaseModel):
    """Users most like the face, best first."""

    face_token: str
    user_list: list[UserHit]


class FaceUsers(BaseModel):
    """A face and the users most like it; none where nobody is."""

    face_token: str
    location: Location | NoLocation
    user_list: list[UserHit]


class MultiSearchResult(BaseModel):
    """Faces of a picture, largest first, with whom they are like."""

    face_num: int
    face_list: list[FaceUsers]


class EnrolResult(BaseModel):
    """The face that was registered."""

    face_token: str
    location: Location | NoLocation


class FaceEntry(BaseModel):
    """A registered face. ctime: when, in UTC."""

    face_token: str
    ctime: str = Field(examples=["2026-01-31 12:00:00"])


class FaceListResult(BaseModel):
    """A user's faces."""

    face_list: list[FaceEntry]


class UserEntry(BaseModel):
    """A user in a group."""

    user_info: str
    group_id: str


class UserResult(BaseModel):
    """A user in all groups that were asked for."""

    user_list: list[UserEntry]


class UserIdsResult(BaseModel):
    """Users of a group."""

    user_id_list: list[str]


class GroupIdsResult(BaseModel):
    """Groups of an app."""

    group_id_list: list[str]


class AppMade(BaseModel):
    """An app; ctime: when it was made, in UTC."""

    app_id: str
    ctime: str = Field(examples=["2026-01-31 12:00:00"])


class AppIdsResult(BaseModel):
    """Apps, in the order of their making."""

    app_id_list: list[str]
    app_list: list[AppMade]


class AppCounts(BaseModel):
    """An app in numbers."""

    group_num: int
    user_num: int
    face_num: int


class StatAppResult(RootModel[dict[str, AppCounts]]):
    """Apps in numbers, by their ids."""


class GroupCounts(BaseModel):
    """A group in numbers; ctime: when it was made, utime: the newest that it has, in UTC."""

    user_num: int
    face_num: int
    ctime: str = Field(examples=["2026-01-31 12:00:00"])
    utime: str = Field(examples=["2026-01-31 12:00:00"])


class StatGroupResult(RootModel[dict[str, GroupCounts]]):
    """Groups of an app in numbers, by their ids."""


class CompareResult(BaseModel):
    """similarity: cosine, -1 to 1. message: in words."""

    similarity: float
    is_same_person: bool
    message: str


class CompareError(BaseModel):
    """error_code: as in the face API's table."""

    error_code: int
    message: str


class HealthResult(BaseModel):
    """status: ok or unavailable, then with reasons.

    The others are told to whoever has a key, where keys are asked for.
    """

    status: str
    reasons: list[str]
    models: dict[str, str] | None = None
    versions: dict[str, str] | None = None
    uptime_s: float | None = None
