"""What goes into and comes out of the REST gateway, as its Python client has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union


class Token(str):
    """The name of a face that the service has seen: stands for a picture for an hour or longer.

    That of an enrolled face stands for it as long as it is enrolled.
    """


class Url(str):
    """The address of a picture, which the service fetches; only where it is allowed to."""


# A picture: the bytes of a JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF file, the path of one, or
# what stands for one.
Picture = Union[bytes, "os.PathLike[str]", Token, Url]


class FaceServiceError(Exception):
    """A call that the service refused.

    code: the number in the answer's error_code, see ErrorNumber; for what answers
        with an HTTP status only, that. message: one sentence for a person.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code
        self.message = message


class NoAnswerError(FaceServiceError):
    """No usable answer. Its code is 0.

    kind: "unreachable", nobody is there and nothing was done; otherwise the call may have been
        carried out: "timeout", "connection-lost", or "malformed", which is no answer of this API.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(0, message)
        self.kind = kind


@dataclass(frozen=True)
class Location:
    """A face's rectangle in pixels of the upright picture. rotation: degrees, clockwise."""

    left: float
    top: float
    width: float
    height: float
    rotation: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2."""
        return (self.left, self.top, self.left + self.width, self.top + self.height)


@dataclass(frozen=True)
class Angle:
    """Degrees: yaw to the left, pitch up, roll clockwise are positive."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Guess:
    """A class, such as female or happy, and how likely it is, 0 to 1."""

    type: str
    probability: float


@dataclass(frozen=True)
class Quality:
    """blur: 0 sharp to 1 blurred. illumination: 0 dark to 255. completeness: 0 to 1, whole.

    occlusion: 0 to 1 by the part of the face, 1 is covered. Without landmarks, as in a picture
    that is aligned already, completeness is None and occlusion empty.
    """

    blur: float
    illumination: float
    completeness: float | None
    occlusion: Mapping[str, float]


@dataclass(frozen=True)
class Face:
    """A face of a picture; None and empty for what was not asked for.

    location: None for the token of an enrolled face, whose picture is not kept.
    probability: 0 to 1, that it is a face. age: years. landmarks: x, y of the left eye, the right
    eye, the nose and the mouth, in pixels. landmark72: 72 points around the features.
    spoofing: 0 to 1. liveness: 0 to 1, 1 is live; only where liveness was the question.
    raw: the face as the service answered, with everything that was asked for.
    """

    token: Token
    location: Location | None
    probability: float
    angle: Angle | None = None
    age: float | None = None
    gender: Guess | None = None
    expression: Guess | None = None
    emotion: Guess | None = None
    landmarks: tuple[tuple[float, float], ...] = ()
    landmark72: tuple[tuple[float, float], ...] = ()
    quality: Quality | None = None
    spoofing: float | None = None
    liveness: float | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Match:
    """score: 0 to 100, the same person from 80 on. tokens: of the two faces."""

    score: float
    tokens: tuple[Token, Token]


@dataclass(frozen=True)
class Comparison:
    """similarity: cosine of the two embeddings, -1 to 1."""

    similarity: float
    is_same_person: bool
    message: str


@dataclass(frozen=True)
class FoundUser:
    """A user that a search found. score: 0 to 100."""

    group: str
    user: str
    info: str
    score: float


@dataclass(frozen=True)
class Identified:
    """users: best first; none where nobody is like it enough, and then no token either."""

    users: tuple[FoundUser, ...] = ()
    token: Token | None = None


@dataclass(frozen=True)
class FoundFace:
    """A face of a picture and whom a search found for it, best first; nobody is an empty tuple."""

    token: Token
    location: Location | None
    users: tuple[FoundUser, ...]


@dataclass(frozen=True)
class Enrolled:
    """The face that was enrolled: its token, and where it is in the picture, as for Face."""

    token: Token
    location: Location | None


@dataclass(frozen=True)
class Liveness:
    """score: 0 to 1, 1 is live. faces: of the pictures, in their order.

    thresholds: scores to compare with, by the share of live faces that each refuses: "frr_1e-4",
    "frr_1e-3", "frr_1e-2".
    """

    score: float
    thresholds: Mapping[str, float]
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class EnrolledFace:
    """A face of a user. created: time of its enrolment, in UTC."""

    token: Token
    created: datetime


@dataclass(frozen=True)
class Membership:
    """A user in one group."""

    group: str
    info: str


@dataclass(frozen=True)
class AppStatistics:
    """An app in numbers. users: a user in two groups counts twice, a face that both have once."""

    app: str
    groups: int
    users: int
    faces: int


@dataclass(frozen=True)
class GroupStatistics:
    """A group in numbers. created, updated: of it, and of the newest that it has, in UTC."""

    group: str
    users: int
    faces: int
    created: datetime
    updated: datetime


@dataclass(frozen=True)
class HealthReport:
    """ok: a request would be answered now. reasons: why not, a sentence each.

    models: name by stage. versions: by program. uptime_s: seconds since the start. licences: of
    the models, by their names.
    """

    ok: bool
    reasons: tuple[str, ...]
    models: Mapping[str, str]
    versions: Mapping[str, str]
    uptime_s: float
    licences: Mapping[str, str] = field(default_factory=dict)
