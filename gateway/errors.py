"""Errors that an application can meet: one table of numbers, as the face API has them.

The numbers never change their meaning. The operations of the first two interfaces answer all of
them with HTTP 200; an unknown path gets 404, and everything 503 while the gateway is started again.
"""

from __future__ import annotations

import enum

from client.rest.error_numbers import ErrorNumber
from library.errors import LibraryError


class ErrorCode(enum.Enum):
    """(number, message). Clients compare the message, so it is answered as it stands here."""

    UNKNOWN = (ErrorNumber.UNKNOWN, "unknown error")
    UNSUPPORTED_METHOD = (ErrorNumber.UNSUPPORTED_METHOD, "Unsupported openapi method")
    NO_PERMISSION = (ErrorNumber.NO_PERMISSION, "No permission to access data")
    TOO_MANY_REQUESTS = (ErrorNumber.TOO_MANY_REQUESTS, "Open api qps request limit reached")
    INVALID_TOKEN = (ErrorNumber.INVALID_TOKEN, "Access token invalid or no longer valid")
    EXPIRED_TOKEN = (ErrorNumber.EXPIRED_TOKEN, "Access token expired")

    INVALID_PARAMETER = (ErrorNumber.INVALID_PARAMETER, "invalid param")
    MISSING = (ErrorNumber.MISSING, "param is null")
    START = (ErrorNumber.START, "param[start] format error")
    LENGTH = (ErrorNumber.LENGTH, "param[length] format error")
    OP_APP_ID_LIST = (ErrorNumber.OP_APP_ID_LIST, "param[op_app_id_list] format error")
    GROUP_ID_LIST = (ErrorNumber.GROUP_ID_LIST, "param[group_id_list] format error")
    GROUP_ID = (ErrorNumber.GROUP_ID, "param[group_id] format error")
    USER_ID = (ErrorNumber.USER_ID, "param[user_id] format error")
    FACE_TOKEN = (ErrorNumber.FACE_TOKEN, "param[face_token] format error")
    MATCH_THRESHOLD = (ErrorNumber.MATCH_THRESHOLD, "param[match_threshold] format error")
    USER_INFO = (ErrorNumber.USER_INFO, "param[user_info] format error")
    ACTION_TYPE = (ErrorNumber.ACTION_TYPE, "param[action_type] format error")
    OP_APP_ID = (ErrorNumber.OP_APP_ID, "param[op_app_id] format error")
    IMAGE_TYPE = (ErrorNumber.IMAGE_TYPE, "param[image_type] format error")
    APP_ID = (ErrorNumber.APP_ID, "param[appid] format error")
    FACE_FIELD = (ErrorNumber.FACE_FIELD, "param[face_field] format error")
    MAX_FACE_NUM = (ErrorNumber.MAX_FACE_NUM, "param[max_face_num] format error")
    FACE_TYPE = (ErrorNumber.FACE_TYPE, "param[face_type] format error")
    IMAGE = (ErrorNumber.IMAGE, "param[image] format error")
    QUALITY_CONTROL = (ErrorNumber.QUALITY_CONTROL, "param[quality_control] format error")
    LIVENESS_CONTROL = (ErrorNumber.LIVENESS_CONTROL, "param[liveness_control] format error")
    MAX_USER_NUM = (ErrorNumber.MAX_USER_NUM, "param[max_user_num] format error")

    NO_FACE = (ErrorNumber.NO_FACE, "pic not has face")
    BAD_PICTURE = (ErrorNumber.BAD_PICTURE, "image check fail")
    URL_FAILED = (ErrorNumber.URL_FAILED, "image_url_download_fail")
    NO_MATCH = (ErrorNumber.NO_MATCH, "match user is not found")
    TOKEN_NOT_FOUND = (ErrorNumber.TOKEN_NOT_FOUND, "face token not exist")
    TOO_MANY_FACES = (ErrorNumber.TOO_MANY_FACES, "the number of user's faces is beyond the limit")
    PICTURE_TOO_LARGE = (ErrorNumber.PICTURE_TOO_LARGE, "image size is too large")
    PIPELINE = (ErrorNumber.PIPELINE, "system busy")
    DATABASE = (ErrorNumber.DATABASE, "system busy")
    AUDIT = (ErrorNumber.AUDIT, "system busy")

    GROUP_NOT_FOUND = (ErrorNumber.GROUP_NOT_FOUND, "group is not exist")
    GROUP_EXISTS = (ErrorNumber.GROUP_EXISTS, "group is already exist")
    USER_EXISTS = (ErrorNumber.USER_EXISTS, "user is already exist")
    USER_NOT_FOUND = (ErrorNumber.USER_NOT_FOUND, "user is not exist")
    FACE_EXISTS = (ErrorNumber.FACE_EXISTS, "face is already exist")
    FACE_NOT_FOUND = (ErrorNumber.FACE_NOT_FOUND, "face is not exist")
    COVERED = (ErrorNumber.COVERED, "face is covered")
    BLURRED = (ErrorNumber.BLURRED, "face is fuzzy")
    POOR_LIGHT = (ErrorNumber.POOR_LIGHT, "face light is not good")
    INCOMPLETE = (ErrorNumber.INCOMPLETE, "incomplete face")
    LIVENESS = (ErrorNumber.LIVENESS, "liveness check fail")

    def __init__(self, number: ErrorNumber, message: str) -> None:
        self.number = int(number)
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
