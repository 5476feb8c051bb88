"""The same face once more: embeddings that one picture gives, whenever it is looked at.

The network answers a picture with the same numbers each time, but for the last bits, which depend
on what else is in its batch: 1e-7 was seen. Another picture of the person is far from that.
"""

from __future__ import annotations

import numpy as np

# Of the cosine of two embeddings, and of their first components.
SAME = 0.9999
_NOISE = 1e-5
# Leading halves of a first component that are looked for one by one.
_MOST_HALVES = 256


def same(embeddings: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of `embeddings` are one of `others`: (n,) bool for (n, D) and (m, D) of unit length."""
    return np.asarray((embeddings @ others.T).max(axis=1) > SAME)


def leading_halves(embedding: np.ndarray) -> list[bytes] | None:
    """The upper two bytes that the first component may have; None for too many.

    They are bytes 3 and 4 of the embedding as little-endian float32: the sign, the exponent and
    seven bits of the fraction, by which a file can have an index.
    """
    first = float(embedding[0])
    low, high = sorted((abs(first - _NOISE), abs(first + _NOISE)))
    if first - _NOISE <= 0 <= first + _NOISE:
        return None
    halves = np.arange(_upper(low), _upper(high) + 1)
    if len(halves) > _MOST_HALVES:
        return None
    sign = 0x8000 if first < 0 else 0
    return [(int(half) | sign).to_bytes(2, "little") for half in halves]


def _upper(value: float) -> int:
    return int(np.float32(value).view(np.uint32)) >> 16
