"""What the face API's operations take: one model an operation, checked before anything is done.

A parameter that is wrong is answered with the number that belongs to its name; see `ERRORS`.
Unknown parameters are ignored, because clients send those of other versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from gateway.errors import ApiError, ErrorCode, missing
from ops.errors import PICTURE_FORMATS

# What `face_field` may name; other names are ignored, as clients send those of other versions.
GIVEN = {
    "age",
    "angle",
    "emotion",
    "expression",
    "feature",
    "gender",
    "landmark",
    "landmark150",
    "landmark72",
    "quality",
    "spoofing",
}
MAX_GROUPS = 10
MAX_FACES = 120
MAX_PICTURES = 8
# Characters of a parameter that is no picture. The longest, op_app_id_list, has 25,600.
MAX_TEXT = 65_536
# Every user of this name means: in all groups.
ALL_GROUPS = "@ALL"

ERRORS = {
    "appid": ErrorCode.APP_ID,
    "start": ErrorCode.START,
    "length": ErrorCode.LENGTH,
    "op_app_id_list": ErrorCode.OP_APP_ID_LIST,
    "op_app_id": ErrorCode.OP_APP_ID,
    "group_id_list": ErrorCode.GROUP_ID_LIST,
    "group_id": ErrorCode.GROUP_ID,
    "src_group_id": ErrorCode.GROUP_ID,
    "dst_group_id": ErrorCode.GROUP_ID,
    "user_id": ErrorCode.USER_ID,
    "face_token": ErrorCode.FACE_TOKEN,
    "match_threshold": ErrorCode.MATCH_THRESHOLD,
    "user_info": ErrorCode.USER_INFO,
    "action_type": ErrorCode.ACTION_TYPE,
    "image": ErrorCode.IMAGE,
    "image_type": ErrorCode.IMAGE_TYPE,
    "face_field": ErrorCode.FACE_FIELD,
    "max_face_num": ErrorCode.MAX_FACE_NUM,
    "face_type": ErrorCode.FACE_TYPE,
    "quality_control": ErrorCode.QUALITY_CONTROL,
    "liveness_control": ErrorCode.LIVENESS_CONTROL,
    "max_user_num": ErrorCode.MAX_USER_NUM,
}


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _joined(value: object) -> object:
    """A JSON list where the API has a comma list."""
    if isinstance(value, list) and all(isinstance(one, (str, int)) for one in value):
        return ",".join(map(str, value))
    return value


def _without_spaces(value: object) -> object:
    return value.replace(" ", "") if isinstance(value, str) else value


def _few_groups(value: str) -> str:
    if value.count(",") >= MAX_GROUPS:
        raise ValueError(f"more than {MAX_GROUPS} groups")
    return value


_ID = "[A-Za-z0-9_]"
AppId = Annotated[str, StringConstraints(pattern=f"^{_ID}{{1,255}}$")]
GroupId = Annotated[str, StringConstraints(pattern=f"^{_ID}{{1,48}}$")]
GroupIdOrAll = Annotated[str, StringConstraints(pattern=f"^({_ID}{{1,48}}|@ALL)$")]
UserId = Annotated[str, StringConstraints(pattern=f"^{_ID}{{1,128}}$")]
FaceToken = Annotated[str, StringConstraints(pattern=f"^{_ID}{{1,64}}$")]
GroupIds = Annotated[
    str,
    BeforeValidator(_joined),
    BeforeValidator(_without_spaces),
    AfterValidator(_few_groups),
    Field(pattern=f"^{_ID}{{1,48}}(,{_ID}{{1,48}})*$", examples=["staff,visitors"]),
]
UserInfo = Annotated[
    str, Field(pattern="^[^\\x00]*$", description="At most 256 bytes of UTF-8, without NUL.")
]
AppIds = Annotated[
    str,
    BeforeValidator(_joined),
    BeforeValidator(_without_spaces),
    Field(pattern=f"^{_ID}{{1,255}}(,{_ID}{{1,255}}){{0,99}}$"),
]
FaceField = Annotated[
    str,
    BeforeValidator(_joined),
    BeforeValidator(_without_spaces),
    Field(max_length=1024, description=f"Comma list of {', '.join(sorted(GIVEN))}."),
]
ImageType = Annotated[Literal["BASE64", "URL", "FACE_TOKEN"], BeforeValidator(_upper)]
Level = Annotated[Literal["NONE", "LOW", "NORMAL", "HIGH"], BeforeValidator(_upper)]
FaceType = Annotated[
    Literal["LIVE", "IDCARD", "WATERMARK", "CERT", "ALIGNED"],
    BeforeValidator(_upper),
    Field(
        description="What the picture is. ALIGNED, this project's own: a face already cut out and "
        "aligned for the recogniser, in which nothing is detected. The others are treated alike."
    ),
]


class Parameters(BaseModel):
    """appid: of the application; without keys the default app where it is absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    appid: AppId | None = None


class Image(Parameters):
    """A picture: its base64, its address, or the token of a face."""

    image: str = Field(
        min_length=1, description=f"Base64 of a {PICTURE_FORMATS} file, a URL or a face_token."
    )
    image_type: ImageType
    face_type: FaceType = "LIVE"


class ControlledImage(Image):
    """A picture whose face has to be good enough, and alive."""

    quality_control: Level = "NONE"
    liveness_control: Level = "NONE"


class Detect(Image):
    """Parameters of face/detect."""

    face_field: FaceField = ""
    max_face_num: int = Field(1, ge=1, le=MAX_FACES)
    liveness_control: Level = "NONE"


class Match(ControlledImage):
    """One of the two pictures of face/match."""


class Liveness(Image):
    """One of the pictures of face/liveness."""

    face_field: FaceField = ""


class Identify(ControlledImage):
    """Parameters of face/identify."""

    group_id_list: GroupIds
    user_id: UserId | None = None
    max_user_num: int = Field(1, ge=1, le=50)
    match_threshold: float = Field(80.0, ge=0.0, le=100.0)


class MultiSearch(ControlledImage):
    """Parameters of face/multi-search."""

    group_id_list: GroupIds
    user_id: UserId | None = None
    max_face_num: int = Field(1, ge=1, le=MAX_FACES)
    max_user_num: int = Field(1, ge=1, le=50)
    match_threshold: float = Field(80.0, ge=0.0, le=100.0)


class Add(ControlledImage):
    """Parameters of face/add. APPEND adds a face, REPLACE takes the user's other faces away."""

    group_id: GroupId
    user_id: UserId
    user_info: UserInfo | None = None
    action_type: Annotated[Literal["APPEND", "REPLACE"], BeforeValidator(_upper)] = "APPEND"


class Update(ControlledImage):
    """Parameters of face/update. REPLACE makes a user who is not there, UPDATE does not."""

    group_id: GroupId
    user_id: UserId
    user_info: UserInfo | None = None
    action_type: Annotated[Literal["UPDATE", "REPLACE"], BeforeValidator(_upper)] = "UPDATE"


class DeleteFace(Parameters):
    """Parameters of face/delete."""

    group_id: GroupId
    user_id: UserId
    face_token: FaceToken


class UserOfGroup(Parameters):
    """A user in one group."""

    group_id: GroupId
    user_id: UserId


class UserAnywhere(Parameters):
    """A user in one group, or in all of them (@ALL)."""

    user_id: UserId
    group_id: GroupIdOrAll


class CopyUser(Parameters):
    """Parameters of user/copy."""

    user_id: UserId
    src_group_id: GroupId
    dst_group_id: GroupId


class Group(Parameters):
    """One group."""

    group_id: GroupId


class DeleteApp(Parameters):
    """The app to be deleted; the default app has to be named as well."""

    appid: AppId


class Page(Parameters):
    """A part of a listing."""

    start: int = Field(0, ge=0, le=2**31 - 1)
    length: int = Field(100, ge=1, le=1000)


class UsersOfGroup(Page):
    """Parameters of user/list."""

    group_id: GroupId


class StatApp(Parameters):
    """Parameters of facehub/statapp; without a list, all apps that the caller may see."""

    op_app_id_list: AppIds | None = None


class StatGroup(Parameters):
    """Parameters of facehub/statgroup; without a list, all groups."""

    op_app_id: AppId | None = None
    group_id_list: GroupIds | None = None


def _is_app_id(text: str) -> bool:
    """Whether an app may be called so: letters, digits and underscores."""
    return 0 < len(text) <= 255 and text.isascii() and text.replace("_", "a").isalnum()


def app_of(values: Mapping[str, Any]) -> str | None:
    """The app that a request names in its `appid`. Raises ApiError APP_ID."""
    app = values.get("appid")
    if app is None or app == "":
        return None
    text = str(app)
    if isinstance(app, bool) or not isinstance(app, (str, int)) or not _is_app_id(text):
        raise ApiError(ErrorCode.APP_ID)
    return text


P = TypeVar("P", bound=Parameters)


def parse(model: type[P], values: Mapping[str, Any]) -> P:
    """The parameters of an operation. Raises ApiError, naming the first one that is wrong."""
    # Clients send empty strings and nulls for what they leave out.
    given = {k: v for k, v in values.items() if v is not None and (v != "" or k == "user_info")}
    for name, value in given.items():
        if isinstance(value, str) and len(value) > MAX_TEXT and name != "image":
            raise ApiError(ERRORS.get(name, ErrorCode.INVALID_PARAMETER))
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "missing":
        raise missing(name)
    raise ApiError(ERRORS.get(name, ErrorCode.INVALID_PARAMETER))
