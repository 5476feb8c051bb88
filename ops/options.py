"""The request's ``options``: a JSON object, every field optional."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.errors import ErrorKind, ServiceError

Want = Literal[
    "landmarks", "embedding", "attributes", "liveness", "aligned", "angle", "quality", "mesh"
]

MAX_OPTIONS_LENGTH = 4096


class Options(BaseModel):
    """What a client may ask for.

    max_faces: faces a picture, largest first.
    min_score: 0 to 1; faces that the detector is less sure of are left out.
    min_size: pixels; faces whose shorter side is smaller are left out.
    want: parts of the answer.
    embedding_format: numbers in a list, or base64 of little-endian float32.
    aligned: the picture already is an aligned face; nothing is detected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_faces: int = Field(10, ge=1, le=1000)
    min_score: float = Field(0.4, ge=0.0, le=1.0)
    min_size: int = Field(0, ge=0, le=100_000)
    want: frozenset[Want] = frozenset({"landmarks", "embedding"})
    embedding_format: Literal["list", "base64"] = "list"
    aligned: bool = False


def parse_options(text: str) -> Options:
    """Read the options of a request.

    Raises ServiceError(MALFORMED_OPTIONS), naming the field and what is wrong with it.
    """
    if len(text) > MAX_OPTIONS_LENGTH:
        raise ServiceError(
            ErrorKind.MALFORMED_OPTIONS, f"options are longer than {MAX_OPTIONS_LENGTH} characters."
        )
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, "options are not JSON.") from None
    if not isinstance(fields, dict):
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, "options are not a JSON object.")
    if isinstance(fields.get("want"), list):
        fields = {**fields, "want": _want(fields["want"])}
    try:
        return Options.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][:1]) or "options"
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, f"{place[:64]}: {first['msg']}.") from None


def _want(items: list[object]) -> frozenset[object]:
    if not all(isinstance(item, str) for item in items):
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, "want: a list of strings is expected.")
    return frozenset(items)
