"""What goes into the store and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np


@dataclass(frozen=True)
class NewFace:
    """A face to be enrolled.

    embedding: (dim,) real numbers, finite, not all zero; stored as float32 of unit length.
    model: the recogniser's name: letters, digits, and _ . : + - after the first.
    token: the face's name in the app, letters, digits and underscores, at most 64; None makes
        one of 32 hexadecimal digits.
    quality: of the picture, any finite number. metadata: the application's own text.
    crop: the aligned picture as PNG; kept only where `store_crops` is on.
    """

    embedding: np.ndarray
    model: str
    token: str | None = None
    quality: float | None = None
    metadata: str | None = None
    crop: bytes | None = None


@dataclass(frozen=True)
class Enrolment:
    """A face for a user of a group; info None leaves the user's info as it is, or empty."""

    group: str
    user: str
    face: NewFace
    info: str | None = None


@dataclass(frozen=True)
class Face:
    """An enrolled face. embedding: (dim,) float32 of unit length. created: in UTC."""

    token: str
    model: str
    embedding: np.ndarray
    quality: float | None
    metadata: str | None
    created: datetime


@dataclass(frozen=True)
class FaceSummary:
    """An enrolled face without its embedding."""

    token: str
    model: str
    quality: float | None
    metadata: str | None
    created: datetime


@dataclass(frozen=True)
class User:
    """A user in one group. faces: how many."""

    group: str
    user: str
    info: str
    created: datetime
    faces: int


@dataclass(frozen=True)
class Person:
    """Whom an id of a person stands for."""

    group: str
    user: str
    info: str


@dataclass(frozen=True)
class AppRecord:
    """An app and when it was made, in UTC."""

    app: str
    created: datetime


@dataclass(frozen=True)
class GroupStatistics:
    """users: of the group. faces: that they have in it.

    created: in UTC. updated: when the newest of the users and faces that it has was made.
    """

    group: str
    users: int
    faces: int
    created: datetime
    updated: datetime


@dataclass(frozen=True)
class Statistics:
    """An app in numbers; faces shared by several groups count once in `faces`."""

    app: str
    model: str | None
    dim: int | None
    faces: int
    entries: int
    groups: tuple[GroupStatistics, ...]

    @property
    def users(self) -> int:
        """In all groups; who is in two of them counts twice."""
        return sum(group.users for group in self.groups)


@dataclass(frozen=True)
class IndexPlace:
    """How far an app's index is. version: of the app in the database. reached: by the index."""

    version: int
    reached: int


@dataclass(frozen=True)
class AppState:
    """What an index has to know of an app.

    version: rises with every change. floor: removals up to this version are no longer told; an
        index older than that is built again. origin: changes when the app's rows are others, after
        a restore for instance; an index of another origin is built again.
    faces, entries: how many. model, dim: of the app's faces; None before the first.
    """

    id: int
    version: int
    floor: int
    origin: str
    faces: int
    entries: int
    model: str | None
    dim: int | None


@dataclass(frozen=True)
class Batch:
    """n entries in the order of (version, id), for an index.

    ids, persons, groups, versions: (n,) int64. vectors: (n, dim) float32 of unit length.
    """

    ids: np.ndarray
    persons: np.ndarray
    groups: np.ndarray
    versions: np.ndarray
    vectors: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ExportedFace:
    """A face of a user with everything that enrolling it elsewhere takes.

    Several users can have the same face (`token`): copies share theirs.
    """

    group: str
    user: str
    info: str
    face: Face
    crop: bytes | None


@dataclass(frozen=True)
class Problem:
    """Something in the database that should not be.

    kind: a key of `library.store.inspection.KINDS`. id: of the row it was found
    at, and of which table the kind says.
    """

    kind: str
    app: str
    id: int
    detail: str
