"""What a call may be given: ids, texts, numbers, embeddings. Everything else is refused here."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from library.errors import InvalidError, LimitError, ModelMismatchError
from library.records import Enrolment
from settings.library import LibraryLimits

# Longest embedding: MySQL's BLOB holds 65,535 bytes, and no recogniser has more than 4096 numbers.
MAX_DIM = 4096
# The interfaces set no length for an app's name; its column ends here.
APP_BYTES = 255
TOKEN_BYTES = 64
# A norm this close to 1 is unit length but for rounding: the bytes stay as they were sent.
UNIT_TOLERANCE = 1e-6
# Databases count rows of a listing in signed 32 or 64 bits.
MAX_START = 2**31 - 1

_ID = re.compile(r"[A-Za-z0-9_]+")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,254}")


@dataclass(frozen=True)
class PreparedFace:
    """A face as its row holds it. drawn: its token was made here, so that nobody has it yet."""

    token: str
    drawn: bool
    embedding: bytes
    quality: float | None
    metadata: str | None
    crop: bytes | None


@dataclass(frozen=True)
class PreparedBatch:
    """Checked enrolments of one recogniser: faces[i] belongs to (group, user, info)[i]."""

    model: str
    dim: int
    faces: list[PreparedFace]
    users: list[tuple[str, str]]
    infos: list[str | None]


class Validator:
    """Checks against the configured limits. Everything raises InvalidError or LimitError."""

    def __init__(self, limits: LibraryLimits) -> None:
        self.limits = limits

    def app(self, name: str) -> str:
        return _checked_id("app", name, APP_BYTES)

    def group(self, name: str) -> str:
        return _checked_id("group", name, self.limits.group_id_bytes)

    def user(self, name: str) -> str:
        return _checked_id("user", name, self.limits.user_id_bytes)

    def token(self, token: str) -> str:
        return _checked_id("token", token, TOKEN_BYTES)

    def info(self, info: str) -> str:
        return _checked_text("info", info, self.limits.user_info_bytes)

    def metadata(self, text: str) -> str:
        return _checked_text("metadata", text, self.limits.metadata_bytes)

    def crop(self, png: bytes) -> bytes:
        if len(png) > self.limits.crop_bytes:
            raise LimitError(
                "limit_exceeded",
                f"A crop of {len(png)} bytes, at most {self.limits.crop_bytes} are allowed.",
            )
        return png

    def page(self, start: int, length: int | None) -> tuple[int, int]:
        """Start and length of a listing; None is the longest that is allowed."""
        longest = self.limits.listing
        if not _is_integer(start) or not 0 <= start <= MAX_START:
            raise InvalidError("invalid_value", f"start is {start!r}, not 0 to {MAX_START}.")
        if length is None:
            return start, longest
        if not _is_integer(length) or length < 0:
            raise InvalidError("invalid_value", f"length is {length!r}, not 0 to {longest}.")
        if length > longest:
            raise LimitError("limit_exceeded", f"length is {length}, at most {longest} is allowed.")
        return start, length

    def enrolments(self, enrolments: Sequence[Enrolment]) -> PreparedBatch:
        """All of a call's enrolments, their embeddings of unit length."""
        if not enrolments:
            raise InvalidError("invalid_value", "There is no face to enrol.")
        if len(enrolments) > self.limits.batch:
            raise LimitError(
                "limit_exceeded",
                f"{len(enrolments)} faces in one call, at most {self.limits.batch} are allowed.",
            )
        model = model_name(enrolments[0].face.model)
        for one in enrolments:
            if one.face.model != model:
                raise ModelMismatchError(
                    "model_mismatch", f"Embeddings of {model} and of {one.face.model} in one call."
                )
        vectors = unit_vectors([one.face.embedding for one in enrolments])
        return PreparedBatch(
            model=model,
            dim=vectors.shape[1],
            faces=[self._face(one, row) for one, row in zip(enrolments, vectors)],
            users=[(self.group(one.group), self.user(one.user)) for one in enrolments],
            infos=[None if one.info is None else self.info(one.info) for one in enrolments],
        )

    def _face(self, enrolment: Enrolment, vector: np.ndarray) -> PreparedFace:
        face = enrolment.face
        metadata, crop, quality = face.metadata, face.crop, face.quality
        if metadata is not None:
            metadata = self.metadata(metadata)
        if quality is not None:
            quality = finite_number("quality", quality)
        if crop is not None:
            crop = self.crop(crop)
        drawn = face.token is None
        token = uuid.uuid4().hex if face.token is None else self.token(face.token)
        return PreparedFace(token, drawn, vector.tobytes(), quality, metadata, crop)


def model_name(name: object) -> str:
    """A recogniser's name. Raises InvalidError invalid_id."""
    if not isinstance(name, str) or not _MODEL.fullmatch(name):
        raise InvalidError("invalid_id", f"model {_shown(name)} is not a recogniser's name.")
    return name


def unit_vectors(embeddings: Sequence[np.ndarray]) -> np.ndarray:
    """Embeddings as rows of unit length: (n, dim) little-endian float32.

    Raises InvalidError invalid_embedding, or ModelMismatchError where they differ in length.
    """
    rows = [_array(embedding) for embedding in embeddings]
    for number, row in enumerate(rows):
        if row.dtype.kind not in "fiu" or row.ndim != 1 or not 1 <= row.size <= MAX_DIM:
            raise InvalidError(
                "invalid_embedding",
                f"Embedding {number} is {row.dtype} of shape {row.shape}, "
                f"not 1 to {MAX_DIM} real numbers.",
            )
        if row.size != rows[0].size:
            raise ModelMismatchError(
                "model_mismatch", f"Embeddings of {rows[0].size} and of {row.size} numbers."
            )
    matrix = np.stack(rows)
    wide = matrix.astype(np.float64)
    largest = np.abs(wide).max(axis=1)
    bad = np.flatnonzero(~(np.isfinite(largest) & (largest > 0)))
    if bad.size:
        raise InvalidError("invalid_embedding", f"Embedding {bad[0]} is zero or not finite.")
    # Scaled first: squares of very large or small numbers would overflow or vanish.
    wide /= largest[:, None]
    norms = np.linalg.norm(wide, axis=1)
    unit = (wide / norms[:, None]).astype("<f4")
    kept = np.abs(norms * largest - 1) < UNIT_TOLERANCE
    unit[kept] = matrix[kept]
    return unit


def _array(embedding: object) -> np.ndarray:
    try:
        return np.asarray(embedding)
    except ValueError:
        return np.array(None)  # rows of several lengths: nothing that passes for numbers


def is_unit(vectors: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
    """Which rows of (n, dim) float32 are finite and of unit length: (n,) bool."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return np.abs(norms - 1) < tolerance


def _checked_id(kind: str, name: object, longest: int) -> str:
    if not isinstance(name, str) or not _ID.fullmatch(name) or len(name) > longest:
        raise InvalidError(
            "invalid_id",
            f"{kind} {_shown(name)} is not 1 to {longest} characters that are allowed.",
        )
    return name


def _checked_text(kind: str, text: object, longest: int) -> str:
    if not isinstance(text, str) or "\0" in text:
        raise InvalidError("invalid_value", f"{kind} is not text without NUL.")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidError("invalid_value", f"{kind} has half a surrogate pair.") from None
    if size > longest:
        raise LimitError("limit_exceeded", f"{kind} has {size} bytes, {longest} are allowed.")
    return text


def finite_number(kind: str, number: float) -> float:
    """A number. Raises InvalidError invalid_value for what is none, or not finite."""
    try:
        value = float(number)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise InvalidError("invalid_value", f"{kind} is not a finite number.")
    return value


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 60 else f"{text[:57]}..."
