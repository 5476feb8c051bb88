"""What the client sends and gets: options into a request, an answer into typed values.

Both transports carry the same thing: parallel lists of strings ``key`` and ``value``, and in the
answer ``err_no`` and ``err_msg`` besides. What is inside is JSON, see ``client.pipeline.wire``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from client.errors import ClientError, MalformedAnswerError
from client.pipeline.wire import FaceSeen, PictureSeen, read_document

WANTS = (
    "landmarks", "embedding", "attributes", "liveness", "aligned", "angle", "quality", "mesh"
)  # fmt: skip
MESH_POINTS = 468
EMBEDDING_FORMATS = ("list", "base64")


@dataclass(frozen=True)
class Options:
    """What a request asks for; None leaves the choice to the service's configuration.

    max_faces: how many faces at most, largest first.
    min_score: 0 to 1, detections below are left out.
    min_size: pixels, faces with a shorter side are left out.
    smallest_face: pixels, faces down to this size are searched for, 0 for what one look finds.
    want: names out of ``WANTS``.
    embedding_format: ``list`` (JSON numbers) or ``base64`` (little-endian float32).
    aligned: the picture already is one aligned face; nothing is detected.
    """

    max_faces: int | None = None
    min_score: float | None = None
    min_size: int | None = None
    smallest_face: int | None = None
    want: tuple[str, ...] | None = None
    embedding_format: str | None = None
    aligned: bool | None = None

    def to_json(self) -> str:
        """The ``options`` value of a request; only what was set."""
        return json.dumps({name: value for name, value in vars(self).items() if value is not None})

    def request(self, picture: str) -> tuple[list[str], list[str]]:
        """Keys and values of a request for one picture, given as base64."""
        return ["image", "options"], [picture, self.to_json()]


@dataclass(frozen=True)
class Angle:
    """How the head stands, in degrees.

    yaw: positive where the face points to the left of the picture. pitch: positive where it looks
    down. roll: positive where it is turned clockwise as seen.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Quality:
    """How usable the picture of a face is.

    blur: 0 sharp to 1 blurred. illumination: mean brightness of the face, 0 to 255.
    completeness: share of the face in the picture, 0 to 1. occlusion: how surely a part of the
    face is covered, 0 to 1 by its name. None and empty for a face sent as aligned.
    """

    blur: float
    illumination: float
    completeness: float | None = None
    occlusion: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FaceAnswer:
    """One face of an answer.

    box: x1 y1 x2 y2 in pixels of the upright picture. score: 0 to 1.
    landmarks: (5, 2) float32, x y in pixels, or None where not asked for.
    embedding: (D,) float32 of unit length, or None; no_embedding: why there is none, although it
    was asked for, or None. liveness: 0 to 1, 1 is live, or None.
    aligned: the face upright in its square as PNG, or None.
    angle: degrees, or None. quality: or None. mesh: (468, 3) float32, x y z in pixels, or None.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray | None = None
    embedding: np.ndarray | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    liveness: float | None = None
    aligned: bytes | None = None
    angle: Angle | None = None
    quality: Quality | None = None
    mesh: np.ndarray | None = None
    no_embedding: str | None = None


@dataclass(frozen=True)
class ImageAnswer:
    """What the service says about one picture: its faces, or the error it has with the picture.

    width, height: pixels of the upright picture, 0 where there is an error.
    """

    width: int
    height: int
    faces: tuple[FaceAnswer, ...] = ()
    error: ClientError | None = None


@dataclass(frozen=True)
class Answer:
    """The answer to a request of one picture; ``raw`` is the JSON document as it came."""

    image: ImageAnswer
    models: Mapping[str, str]
    raw: Mapping[str, Any]


def read_answer(err_no: int, err_msg: str, keys: Sequence[str], values: Sequence[str]) -> Answer:
    """The typed answer from the four fields of a response.

    Raises ClientError with the service's own number where it refused the request, and
    MalformedAnswerError where the fields don't follow the wire format.
    """
    if err_no != 0:
        raise ClientError(str(err_no), err_msg or "the service gave no reason")
    if list(keys) != ["result"] or len(values) != 1:
        raise MalformedAnswerError(f"expected the one key 'result', got {list(keys)!r:.80}")
    try:
        document = json.loads(values[0])
    except ValueError:
        raise MalformedAnswerError(f"the result is not JSON: {values[0]!r:.80}") from None
    try:
        (picture,), models = read_document(document)
        return Answer(_image(picture), models, document)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise MalformedAnswerError(
            f"the result is not an answer to one picture ({reason})"
        ) from None


def _image(seen: PictureSeen) -> ImageAnswer:
    if seen.error is not None:
        number, message = seen.error
        return ImageAnswer(0, 0, error=ClientError(str(number), message))
    return ImageAnswer(seen.width, seen.height, tuple(map(_face, seen.faces)))


def _face(seen: FaceSeen) -> FaceAnswer:
    x1, y1, x2, y2 = map(float, seen.box)
    score = float(seen.score)
    if not all(map(math.isfinite, (x1, y1, x2, y2, score))):
        raise ValueError("a box or score that is not finite")
    if seen.embedding is not None and seen.embedding.ndim != 1:
        raise ValueError(f"an embedding of shape {seen.embedding.shape}")
    points, mesh, reason = seen.landmarks, seen.mesh, seen.no_embedding
    return FaceAnswer(
        box=(x1, y1, x2, y2),
        score=score,
        landmarks=None if points is None else np.asarray(points, np.float32).reshape(5, 2),
        embedding=seen.embedding,
        attributes=seen.attributes,
        liveness=seen.liveness,
        aligned=seen.aligned,
        angle=_angle(seen.angle),
        quality=_quality(seen.quality),
        mesh=None if mesh is None else mesh.reshape(MESH_POINTS, 3),
        no_embedding=None if reason is None else str(reason),
    )


def _angle(value: Mapping[str, Any] | None) -> Angle | None:
    if value is None:
        return None
    return Angle(*(float(value[name]) for name in ("yaw", "pitch", "roll")))


def _quality(value: Mapping[str, Any] | None) -> Quality | None:
    if value is None:
        return None
    share = value.get("completeness")
    return Quality(
        float(value["blur"]),
        float(value["illumination"]),
        None if share is None else float(share),
        {str(name): float(v) for name, v in (value.get("occlusion") or {}).items()},
    )
