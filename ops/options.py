"""The request's ``options``: a JSON object, every field optional."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.errors import ErrorKind, ServiceError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Want = Literal[
    "landmarks", "embedding", "attributes", "liveness", "aligned", "angle", "quality", "mesh"
]

MAX_OPTIONS_LENGTH = 4096
# What is wrong with a value, by pydantic's name of it. Clients know JSON, not Python.
_PROBLEMS = {
    "bool_type": "true or false is expected",
    "extra_forbidden": "there is no such option",
    "float_type": "a number is expected",
    "frozen_set_type": "a list of strings is expected",
    "greater_than_equal": "at least {ge} is expected",
    "int_type": "a whole number is expected",
    "less_than_equal": "at most {le} is expected",
    "literal_error": "{expected} is expected",
}


class Options(BaseModel):
    """What a client may ask for.

    max_faces: faces a picture, largest first.
    min_score: 0 to 1; faces that the detector is less sure of are left out.
    min_size: pixels; faces whose shorter side is smaller are left out.
    smallest_face: pixels of the longer side of faces that are still to be found; 0: those that one
        look finds, None: what the service's configuration says.
    want: parts of the answer.
    embedding_format: numbers in a list, or base64 of little-endian float32.
    aligned: the picture already is an aligned face; nothing is detected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_faces: int = Field(10, ge=1, le=1000)
    min_score: float = Field(0.4, ge=0.0, le=1.0)
    min_size: int = Field(0, ge=0, le=100_000)
    smallest_face: int | None = Field(None, ge=0, le=100_000)
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
        fields = json.loads(text, parse_float=_number, parse_constant=_no_json)
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
        said = f"{place[:64]}: {_problem(first)}."
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, said) from None


def _problem(error: ErrorDetails) -> str:
    facts = {}
    for name, value in error.get("ctx", {}).items():
        # pydantic lists the allowed words in Python's quotes, and numbers as the field's type.
        facts[name] = value.replace("'", '"') if isinstance(value, str) else f"{value:g}"
    return _PROBLEMS.get(error["type"], error["msg"]).format_map(facts)


def _number(text: str) -> float:
    """JSON knows one kind of number: 3.0 is 3."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is Python's")


def _want(items: list[object]) -> frozenset[object]:
    if not all(isinstance(item, str) for item in items):
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, "want: a list of strings is expected.")
    return frozenset(items)
