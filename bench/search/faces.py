"""Faces for the search benchmark: made up, but spread as embeddings are.

Random directions would flatter an index: embeddings of faces fill fewer dimensions than they
have components, and the faces of one person lie together. The model here:

- Directions have variances that fall exponentially, so that they fill `effective` dimensions
  (the participation ratio, (sum of variances)² / sum of squares), turned by a random rotation so
  that no component stands for one of them. The default, three eighths of the components (48 of
  128), is that of mobilefacenet_128 on 124 pictures of six people: the differences between
  pictures of one person fill 46, and cosines of different people have a standard deviation of
  0.12 there; here it is 0.14, which is harder.
- A person is a direction, and has one to nine faces: the person's direction and another one, in
  a proportion that gives two faces a cosine of 0.6 in the mean, as those people have (0.58).
- A probe is a face turned towards a random direction until their cosine is between 0.5 and 0.7,
  evenly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SAME_PERSON = 0.6
FACES_MOST = 9
PROBE_COSINES = (0.5, 0.7)
_CHUNK = 65_536


@dataclass(frozen=True)
class Probes:
    """vectors: (q, dim) float32 of unit length. targets: (q,) rows of the faces they were from."""

    vectors: np.ndarray
    targets: np.ndarray


def default_effective(dim: int) -> float:
    """Dimensions that embeddings of `dim` components fill."""
    return 3 * dim / 8


class FaceModel:
    """Draws faces of `dim` components that fill `effective` dimensions, dim or more for all."""

    def __init__(self, dim: int, effective: float, seed: int = 0) -> None:
        self.dim = dim
        self.effective = min(effective, dim)
        self._rng = np.random.default_rng(seed)
        # Variances exp(-i / (effective / 2)) have this participation ratio, but for the cut end.
        decay = np.inf if effective >= dim else effective / 2
        self._deviations = np.exp(-np.arange(dim) / (2 * decay)).astype(np.float32)
        rotation, _ = np.linalg.qr(self._rng.standard_normal((dim, dim)))
        self._rotation = rotation.astype(np.float32)

    def _directions(self, count: int) -> np.ndarray:
        drawn = self._rng.standard_normal((count, self.dim), dtype=np.float32) * self._deviations
        return _unit(drawn)

    def persons(self, faces: int) -> np.ndarray:
        """The person of each of `faces` faces, in random order: (faces,) int64."""
        mean = (1 + FACES_MOST) / 2
        counts = self._rng.integers(1, FACES_MOST + 1, int(faces / mean * 1.2) + 10)
        return self._rng.permutation(np.repeat(np.arange(len(counts)), counts)[:faces])

    def faces(self, persons: np.ndarray) -> Iterator[np.ndarray]:
        """Faces of the persons, in pieces: (n, dim) float32."""
        centres = self._directions(int(persons.max()) + 1)
        common, own = np.float32(SAME_PERSON**0.5), np.float32((1 - SAME_PERSON) ** 0.5)
        for start in range(0, len(persons), _CHUNK):
            chosen = persons[start : start + _CHUNK]
            faces = common * centres[chosen] + own * self._directions(len(chosen))
            yield _unit(faces) @ self._rotation

    def probes(self, faces: np.ndarray, count: int) -> Probes:
        """`count` probes of random faces (n, dim)."""
        targets = self._rng.choice(len(faces), min(count, len(faces)), replace=False)
        near = faces[targets]
        cosines = self._rng.uniform(*PROBE_COSINES, (len(targets), 1)).astype(np.float32)
        away = self._directions(len(targets)) @ self._rotation
        away -= near * np.einsum("nd,nd->n", away, near)[:, None]
        return Probes(_unit(cosines * near + np.sqrt(1 - cosines**2) * _unit(away)), targets)


def impostor_deviation(faces: np.ndarray, persons: np.ndarray) -> float:
    """Standard deviation of the cosines of different persons, from a few thousand faces."""
    sample = slice(0, 4096)
    different = persons[sample][:, None] != persons[sample]
    return float((faces[sample] @ faces[sample].T)[different].std())


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
