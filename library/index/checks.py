"""What an index's methods are given, checked and brought into the form that they need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# float32 leaves a vector of unit length with 1e-7 more or less; fp16 on the way leaves 1e-3.
_LENGTH_TOLERANCE = 5e-3


def checked_ids(ids: np.ndarray, name: str = "ids") -> np.ndarray:
    """(n,) int64. Raises ValueError for other shapes and for what is no integer."""
    array = np.asarray(ids)
    if array.ndim != 1 or (len(array) and array.dtype.kind not in "iu"):
        raise ValueError(f"{name}: whole numbers in one row are expected")
    return np.ascontiguousarray(array, np.int64)


def checked_entries(
    ids: np.ndarray, persons: np.ndarray, groups: np.ndarray, vectors: np.ndarray, dim: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arguments of `VectorIndex.add`, of ids that occur twice only the last.

    Raises ValueError as `VectorIndex.add` says.
    """
    numbers = [
        checked_ids(array, name)
        for name, array in (("ids", ids), ("persons", persons), ("groups", groups))
    ]
    if len({len(array) for array in numbers}) != 1:
        raise ValueError("ids, persons and groups: as many of each are expected")
    for array in numbers:
        if array.min(initial=0) < 0:
            raise ValueError("ids, persons and groups: no negative numbers are expected")
    rows = _checked_vectors(vectors, dim, "vectors")
    if len(rows) != len(numbers[0]):
        raise ValueError(f"{len(rows)} vectors for {len(numbers[0])} ids")
    lengths = np.einsum("nd,nd->n", rows, rows)
    if np.abs(lengths - 1).max(initial=0) > _LENGTH_TOLERANCE:
        raise ValueError("vectors: unit length is expected")
    unique, last = np.unique(numbers[0][::-1], return_index=True)
    if len(unique) == len(rows):
        return numbers[0], numbers[1], numbers[2], rows
    keep = np.sort(len(rows) - 1 - last)
    return numbers[0][keep], numbers[1][keep], numbers[2][keep], rows[keep]


def checked_queries(queries: np.ndarray, k: int, dim: int) -> np.ndarray:
    """(q, dim) float32. Raises ValueError as `VectorIndex.search` says."""
    if k < 1:
        raise ValueError(f"k is {k}: at least 1 is expected")
    return _checked_vectors(queries, dim, "queries")


def checked_groups(groups: Sequence[int] | None) -> np.ndarray | None:
    """(g,) int64 without repetitions, or None."""
    return None if groups is None else np.unique(np.asarray(groups, np.int64))


def _checked_vectors(vectors: np.ndarray, dim: int, name: str) -> np.ndarray:
    array = np.ascontiguousarray(vectors, np.float32)
    if array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(f"{name} of shape {array.shape}: (n, {dim}) is expected")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: finite numbers are expected")
    return array
