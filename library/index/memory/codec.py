"""How the components of a vector are stored: as float32, fp16 or 8-bit integers.

What the storage does to a score, measured on a million unit vectors of 128 components: fp16
changes a cosine by 1e-4 at most (2e-5 in the mean), sq8 by 6e-3 at most (1e-3 in the mean).

fp16 is what ``auto`` takes. Of a single search it needs 8 ns a face of 128 components on one
core, where float32 needs 18 to 26 and sq8 5, and its rounding is far below what two pictures of
one moment differ by; sq8's is not.
"""

from __future__ import annotations

import abc

import cv2
import numpy as np

from library.index.memory.faiss_internals import INT8_ZERO, Scanner, ScannerMaker

STORAGES = ("float32", "fp16", "sq8")
AUTO = "fp16"
_LIMIT_LEAST = 2.0**-6


class Codec(abc.ABC):
    """Vectors of `dim` components as rows of `code_size` bytes.

    limit: the largest component (without its sign) that it can hold.
    """

    limit = 1.0
    code_size: int

    def __init__(self, dim: int) -> None:
        self.dim = dim

    @abc.abstractmethod
    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """(n, dim) float32 to (n, code_size) uint8."""

    @abc.abstractmethod
    def decode(self, codes: np.ndarray, out: np.ndarray) -> np.ndarray:
        """(n, code_size) uint8 to (n, dim) float32: the first n rows of `out`, or of `codes`."""

    @abc.abstractmethod
    def scanner(self, query: np.ndarray, by_list: bool) -> Scanner:
        """Scores codes against one query (dim,) float32, which has to stay as it is.

        by_list: rows are named by the number of the list and their place in it instead of by the
            names that are given with them.
        """

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        """Like `decode`, into an array of its own."""
        return self.decode(codes, np.empty((len(codes), self.dim), np.float32))


class Float32Codec(Codec):
    """As they are."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.code_size = 4 * dim
        self._scanners = ScannerMaker("float32", dim)

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        return vectors.view(np.uint8)

    def decode(self, codes: np.ndarray, out: np.ndarray) -> np.ndarray:
        return codes.view(np.float32)

    def scanner(self, query: np.ndarray, by_list: bool) -> Scanner:
        return self._scanners.scanner(query, by_list)


class Fp16Codec(Codec):
    """IEEE 754 half precision."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.code_size = 2 * dim
        self._scanners = ScannerMaker("fp16", dim)

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        codes = np.empty((len(vectors), self.code_size), np.uint8)
        if len(codes):
            # In this thread: faiss wakes its own for a single vector, and waits for all of them,
            # which on busy cores takes a millisecond and more.
            cv2.convertFp16(vectors, codes.view(np.int16))
        return codes

    def decode(self, codes: np.ndarray, out: np.ndarray) -> np.ndarray:
        decoded = out[: len(codes)]
        if len(codes):
            # 12 ns a vector of 128 components; faiss needs 45, numpy 220.
            cv2.convertFp16(codes.view(np.int16), decoded)
        return decoded

    def scanner(self, query: np.ndarray, by_list: bool) -> Scanner:
        return self._scanners.scanner(query, by_list)


class Sq8Codec(Codec):
    """Signed 8-bit integers, the same step for all components: 1/127 of the limit."""

    def __init__(self, dim: int, limit: float) -> None:
        super().__init__(dim)
        self.code_size = dim
        self.limit = limit
        self._step = limit / 127
        self._scanners = ScannerMaker("int8", dim)

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        steps = np.rint(vectors / np.float32(self._step))
        return np.clip(steps + INT8_ZERO, 1, 255).astype(np.uint8)

    def decode(self, codes: np.ndarray, out: np.ndarray) -> np.ndarray:
        decoded = out[: len(codes)]
        np.subtract(codes, np.float32(INT8_ZERO), out=decoded)
        decoded *= np.float32(self._step)
        return decoded

    def scanner(self, query: np.ndarray, by_list: bool) -> Scanner:
        return self._scanners.scanner(query * np.float32(self._step), by_list)


def limit_for(storage: str, largest: float) -> float:
    """The limit for vectors whose largest component is `largest`, and for others like them.

    Half the limit is half of sq8's error, so it is a power of 1/2 that leaves a tenth to spare.
    """
    limit = 1.0
    while storage == "sq8" and limit / 2 >= 1.1 * largest and limit > _LIMIT_LEAST:
        limit /= 2
    return limit


def make_codec(storage: str, dim: int, limit: float = 1.0) -> Codec:
    """The codec of a storage's name, for components up to `limit`."""
    if storage == "float32":
        return Float32Codec(dim)
    if storage == "fp16":
        return Fp16Codec(dim)
    if storage == "sq8":
        return Sq8Codec(dim, limit)
    raise ValueError(f"storage {storage!r}: one of {', '.join(STORAGES)} is expected")
