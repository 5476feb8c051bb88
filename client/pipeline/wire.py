"""The pipeline's answers, read in this one place: by the client, the gateway and the benches.

An answer carries one JSON document as text: ``{"images": [...], "models": {...}}``. Whoever reads
it chooses what takes JSON and base64 apart, so that those who read many may use faster ones.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np

# Takes base64 text to bytes; raises ValueError for what is none.
Decode = Callable[[str], bytes]


@dataclass(frozen=True)
class FaceSeen:
    """A face in a picture; what was not asked for is None (`attributes`: empty).

    box: x1 y1 x2 y2 in pixels of the upright picture. score: 0 to 1, the detector's.
    landmarks: 5 points x y in pixels: left eye, right eye, nose, left and right mouth corner.
    embedding: (D,) float32 of unit length; no_embedding: why there is none, where it was asked for.
    liveness: 0 to 1, 1 is live.
    angle: yaw, pitch and roll in degrees. quality: as the pipeline says it.
    mesh: (468, 3) float32, x y z in pixels. aligned: PNG of the aligned crop.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: list[list[float]] | None
    embedding: np.ndarray | None = field(repr=False)
    attributes: dict[str, Any]
    angle: dict[str, Any] | None
    quality: dict[str, Any] | None
    mesh: np.ndarray | None
    liveness: float | None
    aligned: bytes | None
    no_embedding: str | None = None


@dataclass(frozen=True)
class PictureSeen:
    """A picture's faces, largest first.

    width, height: pixels of the upright picture, 0 where there is an error.
    error: the pipeline's number and sentence where it could not use the picture.
    """

    width: int
    height: int
    faces: tuple[FaceSeen, ...]
    error: tuple[int, str] | None = None


def strictly(text: str) -> bytes:
    """`Decode` with nothing but Python."""
    return base64.b64decode(text, validate=True)


def faces_in(result: str) -> int:
    """How many faces an answer's text has, in all of its pictures. Raises as `read_document`."""
    return sum(len(image.get("faces", ())) for image in json.loads(result)["images"])


def read_document(
    document: Mapping[str, Any], decode: Decode = strictly
) -> tuple[list[PictureSeen], dict[str, str]]:
    """What an answer says of each picture, in the request's order; and by stage the model's name.

    Raises LookupError, TypeError, ValueError or AttributeError for a document that is no answer.
    """
    return [_picture(image, decode) for image in document["images"]], dict(document["models"])


def _picture(image: Mapping[str, Any], decode: Decode) -> PictureSeen:
    error = image.get("error")
    if error is not None:
        return PictureSeen(0, 0, (), (int(error["code"]), str(error["message"])))
    faces = tuple(_face(face, decode) for face in image["faces"])
    return PictureSeen(int(image["width"]), int(image["height"]), faces)


def _face(face: Mapping[str, Any], decode: Decode) -> FaceSeen:
    x1, y1, x2, y2 = face["box"]
    liveness = face.get("liveness")
    aligned = face.get("aligned")
    mesh = _floats(face.get("mesh"), decode)
    return FaceSeen(
        box=(x1, y1, x2, y2),
        score=face["score"],
        landmarks=face.get("landmarks"),
        embedding=_floats(face.get("embedding"), decode),
        attributes=face.get("attributes") or {},
        angle=face.get("angle"),
        quality=face.get("quality"),
        mesh=None if mesh is None else mesh.reshape(-1, 3),
        liveness=None if liveness is None else float(liveness["score"]),
        aligned=None if aligned is None else decode(aligned),
        no_embedding=face.get("no_embedding"),
    )


def _floats(value: Any, decode: Decode) -> np.ndarray | None:
    """float32 from base64 of little-endian float32, or from a list."""
    if isinstance(value, str):
        return np.frombuffer(decode(value), "<f4")
    return None if value is None else np.asarray(value, np.float32)
