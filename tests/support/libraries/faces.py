"""Made-up faces for tests of the library."""

from __future__ import annotations

from typing import Any

import numpy as np

from library.records import Enrolment, NewFace

MODEL = "recogniser"
DIM = 16


def vectors(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """Random directions: (count, dim) float32 of unit length."""
    made = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def face(seed: int = 0, model: str = MODEL, dim: int = DIM, **values: Any) -> NewFace:
    """A face with the embedding of a seed."""
    return NewFace(vectors(1, seed, dim)[0], model, **values)


def enrolment(
    group: str, user: str, seed: int = 0, info: str | None = None, **values: Any
) -> Enrolment:
    """A face of a seed for a user."""
    return Enrolment(group, user, face(seed, **values), info)
