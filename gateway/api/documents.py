"""The OpenAPI document: what FastAPI cannot see of the operations by itself."""

from __future__ import annotations

from typing import Any

from gateway.api.compare import PATH as COMPARE
from gateway.api.operations_table import PRIVATE, Operation
from gateway.api.results import CompareError
from gateway.errors import error_table

TITLE = "Face recognition"
_FILE = {"type": "string", "format": "binary"}
_PICTURE = "/9j/4AAQSkZJRgABAQ..."  # how the base64 of a JPEG begins
_EXAMPLES: dict[str, Any] = {
    "image": _PICTURE,
    "image_type": "BASE64",
    "face_type": "LIVE",
    "face_field": "age,gender,quality",
    "max_face_num": 5,
    "group_id": "staff",
    "group_id_list": "staff,visitors",
    "src_group_id": "visitors",
    "dst_group_id": "staff",
    "user_id": "ada",
    "user_info": "Ada, engineering",
    "face_token": "0123456789abcdef0123456789abcdef",
    "quality_control": "NORMAL",
    "liveness_control": "NONE",
    "action_type": None,  # its default
    "max_user_num": 3,
    "match_threshold": 80,
    "start": 0,
    "length": 100,
}
DESCRIPTION = f"""
Every operation answers HTTP 200 with `error_code` 0 and a `result`, or with another `error_code`;
`/compare` has statuses of its own. A path that there is not gets 404, another method 405, and
everything 503 while the gateway is being started again.
Parameters may come in the query or in the body, as JSON or as form fields; a picture also as a file
named `image` of a multipart form.

{error_table()}
"""


def described(operation: Operation) -> dict[str, Any]:
    """What FastAPI cannot see of an operation: its body, which is read by hand."""
    schema = operation.takes.model_json_schema()
    schema.pop("title", None)
    example = {
        name: _EXAMPLES[name] for name in schema["properties"] if _EXAMPLES.get(name) is not None
    }
    if "appid" in schema.get("required", ()):
        example["appid"] = "shop"
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": example}}
    if operation.most:
        content["application/json"] = {
            "schema": {
                "type": "array",
                "items": schema,
                "minItems": operation.least,
                "maxItems": operation.most,
            },
            "example": [example] * operation.least,
        }
    else:
        content["application/x-www-form-urlencoded"] = {"schema": schema}
        if "image" in schema["properties"]:
            content["multipart/form-data"] = {"schema": _with_file(schema)}
    required = bool(operation.most or schema.get("required"))
    return {
        "requestBody": {"required": required, "content": content},
        "parameters": [_query("appid", "The application; may stand in the body as well."), _TOKEN],
    }


def _with_file(schema: dict[str, Any]) -> dict[str, Any]:
    """The form of an operation that has its picture as a file, which is BASE64 and nothing else."""
    properties = {**schema["properties"], "image": _FILE}
    del properties["image_type"]
    required = [name for name in schema["required"] if name != "image_type"]
    return {**schema, "properties": properties, "required": required}


def described_compare() -> dict[str, Any]:
    """The form of POST /compare."""
    schema = {
        "type": "object",
        "required": ["image1", "image2"],
        "properties": {
            "image1": _FILE,
            "image2": _FILE,
            "aligned": {
                "type": "string",
                "enum": ["true", "false"],
                "description": "Both are faces cut out and aligned; nothing is detected.",
            },
        },
    }
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
        "parameters": [_query("appid", "The application."), _TOKEN],
    }


COMPARE_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": CompareError, "description": text}
    for status, text in (
        (400, "A picture or the form cannot be used."),
        (401, "No key, or a wrong one."),
        (403, "The key may not do this."),
        (413, "Too large."),
        (429, "Too many requests; send it again later."),
        (500, "A fault of the service."),
        (503, "The recognition service does not answer now."),
    )
}


def tag_of(path: str) -> str:
    """Under which heading a path is listed."""
    if path == COMPARE:
        return "plain"
    return "private deployment" if path.startswith((PRIVATE, "/face-api/")) else "cloud"


def _query(name: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": text,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_]{1,255}$"},
    }


_TOKEN = {
    "name": "access_token",
    "in": "query",
    "required": False,
    "description": "Of /oauth/2.0/token, where keys are asked for.",
    "schema": {"type": "string"},
}
