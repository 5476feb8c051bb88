"""Errors that an application can meet: one table of numbers, as the face API has them.

The numbers never change their meaning. The operations of the first two interfaces answer all of
them with HTTP 200; an unknown path gets 404, and everything 503 while the gateway is started again.
"""

from __future__ import annotations

import enum

from library.errors import LibraryError


class ErrorCode(enum.Enum):
    """(number, message). Clients compare the message, so it is answered as it stands here."""

    UNKNOWN = (1, "unknown error")
    UNSUPPORTED_METHOD = (3, "Unsupported openapi method")
    NO_PERMISSION = (6, "No permission to access data")
    TOO_MANY_REQUESTS = (18, "Open api qps request limit reached")
    INVALID_TOKEN = (110, "Access token invalid or no longer valid")
    EXPIRED_TOKEN = (111, "Access token expired")

    INVALID_PARAMETER = (216100, "invalid param")
    MISSING = (222001, "param is null")
    START = (222002, "param[start] format error")
    LENGTH = (222003, "param[length] format error")
    OP_APP_ID_LIST = (222004, "param[op_app_id_list] format error")
    GROUP_ID_LIST = (222005, "param[group_id_list] format error")
    GROUP_ID = (222006, "param[group_id] format error")
    USER_ID = (222007, "param[user_id] format error")
    FACE_TOKEN = (222008, "param[face_token] format error")
    MATCH_THRESHOLD = (222009, "param[match_threshold] format error")
    USER_INFO = (222010, "param[user_info] format error")
    ACTION_TYPE = (222011, "param[action_type] format error")
    OP_APP_ID = (222012, "param[op_app_id] format error")
    IMAGE_TYPE = (222013, "param[image_type] format error")
    APP_ID = (222014, "param[appid] format error")
    FACE_FIELD = (222015, "param[face_field] format error")
    MAX_FACE_NUM = (222016, "param[max_face_num] format error")
    FACE_TYPE = (222017, "param[face_type] format error")
    IMAGE = (222018, "param[image] format error")
    QUALITY_CONTROL = (222019, "param[quality_control] format error")
    LIVENESS_CONTROL = (222020, "param[liveness_control] format error")
    MAX_USER_NUM = (222021, "param[max_user_num] format error")

    NO_FACE = (222202, "pic not has face")
    BAD_PICTURE = (222203, "image check fail")
    URL_FAILED = (222204, "image_url_download_fail")
    NO_MATCH = (222207, "match user is not found")
    TOKEN_NOT_FOUND = (222209, "face token not exist")
    TOO_MANY_FACES = (222210, "the number of user's faces is beyond the limit")
    PICTURE_TOO_LARGE = (222304, "image size is too large")
    PIPELINE = (222901, "system busy")
    DATABASE = (222910, "system busy")
    AUDIT = (222911, "system busy")

    GROUP_NOT_FOUND = (223100, "group is not exist")
    GROUP_EXISTS = (223101, "group is already exist")
    USER_EXISTS = (223102, "user is already exist")
    USER_NOT_FOUND = (223103, "user is not exist")
    FACE_EXISTS = (223105, "face is already exist")
    FACE_NOT_FOUND = (223106, "face is not exist")
    COVERED = (223113, "face is covered")
    BLURRED = (223114, "face is fuzzy")
    POOR_LIGHT = (223115, "face light is not good")
    INCOMPLETE = (223116, "incomplete face")
    LIVENESS = (223120, "liveness check fail")

    def __init__(self, number: int, message: str) -> None:
        self.number = number
        self.message = message


class ApiError(Exception):
    """An error to be shown to the client as it is.

    message: of its kind, which clients compare. detail: what was wrong with this very request, one
        short sentence, or empty. It must hold nothing of a picture, an embedding or a secret.
    """

    def __init__(self, kind: ErrorCode, detail: str = "") -> None:
        self.kind = kind
        self.message = kind.message
        self.detail = detail
        super().__init__(kind.message, detail)

    @property
    def code(self) -> int:
        """The number."""
        return self.kind.number

    @property
    def sentence(self) -> str:
        """Message and detail, for people."""
        return f"{self.message}: {self.detail}" if self.detail else self.message

    def __str__(self) -> str:
        return self.sentence


def missing(name: str) -> ApiError:
    """The error for a required parameter that was not given."""
    error = ApiError(ErrorCode.MISSING)
    error.message = f"param[{name}] is null"
    return error


# The library's codes; what is not here is a fault of the database, the index or the set-up.
_OF_LIBRARY = {
    "invalid_id": ErrorCode.INVALID_PARAMETER,
    "invalid_value": ErrorCode.INVALID_PARAMETER,
    "invalid_embedding": ErrorCode.INVALID_PARAMETER,
    "limit_exceeded": ErrorCode.INVALID_PARAMETER,
    "too_many_faces": ErrorCode.TOO_MANY_FACES,
    "app_not_found": ErrorCode.GROUP_NOT_FOUND,
    "group_not_found": ErrorCode.GROUP_NOT_FOUND,
    "user_not_found": ErrorCode.USER_NOT_FOUND,
    "face_not_found": ErrorCode.FACE_NOT_FOUND,
    "group_exists": ErrorCode.GROUP_EXISTS,
    "user_exists": ErrorCode.USER_EXISTS,
    "face_exists": ErrorCode.FACE_EXISTS,
}


def of_library(error: LibraryError) -> ApiError:
    """The API's error for one of the library's."""
    kind = _OF_LIBRARY.get(error.code)
    if kind is None:
        return ApiError(ErrorCode.DATABASE, error.code)
    return ApiError(kind, error.detail.rstrip("."))


def error_table() -> str:
    """The table as Markdown, as it stands in docs/errors.md."""
    rows = ["| number | message |", "|---|---|"]
    rows += [f"| {kind.number} | {kind.message} |" for kind in ErrorCode]
    return "\n".join(rows)
