"""Errors a client can meet: one table of stable numbers, names and sentences.

The numbers never change their meaning. 50xx: the request is malformed; 51xx: a picture of it
cannot be used; 30xx and 60xx: the service cannot answer now.
"""

from __future__ import annotations

import enum
from typing import TypeVar

E = TypeVar("E", bound=Exception)
# What pictures may be, in the texts that say so.
PICTURE_FORMATS = "JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF"


class ErrorKind(enum.Enum):
    """(number, gRPC status name or None, sentence that tells what to do).

    Kinds with a gRPC status are answered with that status, and over HTTP with 429, 503 or 504;
    all others are answered with ``err_no`` and ``err_msg``.
    """

    INTERNAL = (3000, None, "The service failed on this request; its log has the details.")
    SHUTTING_DOWN = (3001, "UNAVAILABLE", "The service is stopping; send the request again later.")
    NO_SUCH_SERVICE = (3002, None, "No service of this name; use the one in the service's address.")
    BUSY = (3003, "RESOURCE_EXHAUSTED", "Too much is under way; send the request again later.")
    TIMEOUT = (6000, "DEADLINE_EXCEEDED", "Not answered in time; send it again later or send less.")

    MALFORMED_REQUEST = (5001, None, "Send as many values as keys, and at least one image.")
    UNKNOWN_KEY = (5002, None, "Only the keys image and options are known.")
    MALFORMED_OPTIONS = (5003, None, "Send options as one JSON object of the documented fields.")
    TOO_MANY_PICTURES = (5004, None, "Split the pictures over several requests.")
    UNSUPPORTED_TENSOR = (5005, None, "Tensors are not taken; send pictures as base64 strings.")
    REQUEST_TOO_LARGE = (5006, None, "Send fewer or smaller pictures in a request.")
    FOREIGN_PAGE = (5007, None, "Web pages call the gateway, with a key; programs use an address.")
    BAD_ENCODING = (5008, None, "Send the body as it is, or whole and packed with gzip or deflate.")

    NOT_BASE64 = (5101, None, "Send the picture's bytes in standard base64.")
    EMPTY_PICTURE = (5102, None, "The picture has no bytes.")
    UNSUPPORTED_FORMAT = (5103, None, f"Send a {PICTURE_FORMATS} picture.")
    PICTURE_TOO_MANY_BYTES = (5104, None, "Send a smaller file.")
    PICTURE_TOO_MANY_PIXELS = (5105, None, "Scale the picture down before sending it.")
    BROKEN_PICTURE = (5106, None, "The file is truncated or damaged; send a whole one.")
    PICTURE_TOO_COMPLEX = (5107, None, "Save it anew as an ordinary JPEG or PNG.")
    SEARCH_TOO_LARGE = (5108, None, "Ask for larger faces in smallest_face, or send a part.")

    def __init__(self, code: int, grpc_status: str | None, advice: str) -> None:
        self.code = code
        self.grpc_status = grpc_status
        self.advice = advice


# Of the kinds that say of a picture that it cannot be used.
PICTURE_CODES = range(5100, 5200)


class ServiceError(Exception):
    """An error with a stable number, to be shown to the client as it is.

    detail: what was wrong with this very request, in one short sentence, or empty. It must
        hold nothing of the picture.
    """

    def __init__(self, kind: ErrorKind, detail: str = "") -> None:
        self.kind = kind
        self.message = (
            f"{kind.name}: {detail} {kind.advice}" if detail else (f"{kind.name}: {kind.advice}")
        )
        super().__init__(self.message)

    @property
    def code(self) -> int:
        return self.kind.code


def without_frames(error: E) -> E:
    """The error without the frames that it came through, to be kept.

    Held by one of those itself, they would stay, pictures and all, until Python looks for circles.
    """
    error.__context__ = None
    error.__traceback__ = None
    return error


# The HTTP status beside each gRPC status that is used here.
HTTP_STATUS = {"UNAVAILABLE": 503, "RESOURCE_EXHAUSTED": 429, "DEADLINE_EXCEEDED": 504}


def error_table() -> str:
    """The table as Markdown, as it stands in docs/wire-format.md."""
    rows = ["| number | name | status | what to do |", "|---|---|---|---|"]
    for kind in ErrorKind:
        status = f"{HTTP_STATUS[kind.grpc_status]}, {kind.grpc_status}" if kind.grpc_status else ""
        rows.append(f"| {kind.code} | {kind.name} | {status} | {kind.advice} |")
    return "\n".join(rows)
