"""Sketches: four bits for two components, by which an approximate search finds its candidates.

The codes are those of product quantization (Jégou et al., https://hal.inria.fr/inria-00514462)
in the layout that the processor looks up 32 at a time (André et al.,
https://arxiv.org/abs/1812.09162), as faiss has it. A million sketches of 128 components are
looked through in a millisecond on one core, an eighth of what the faces themselves take. Unlike
in an inverted file or a graph every face is looked at, so what is found depends on how near it
is, not on which cell or path it is in; faces come and go without anything to be built again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from library.index.memory.faiss_internals import PackedCodes, PackedSearch

# Four bits stand for this many components, more where there are many: the error of a score is
# the smaller the more parts it is the sum of.
_COMPONENTS = 2
_PARTS_ENOUGH = 64
_COMPONENTS_MOST = 4
# Enough for 16 centroids; more changes the error by a hundredth.
_TRAINED_ON = 4096
_ITERATIONS = 6


def parts_of(dim: int) -> int:
    """How many parts a vector of `dim` components is cut into, each of four bits."""
    return -(-dim // _components(dim))


def _components(dim: int) -> int:
    return _COMPONENTS if dim <= _COMPONENTS * _PARTS_ENOUGH else _COMPONENTS_MOST


class Sketch:
    """The sketches of n vectors.

    Each has a code book of its own, made from its own vectors: it never grows old.
    """

    def __init__(self, packed: PackedCodes) -> None:
        self.packed = packed

    @classmethod
    def of(cls, vectors: np.ndarray) -> Sketch:
        """Sketch (n, dim) float32 vectors, n at least 16."""
        dim = vectors.shape[1]
        padded = _padded(vectors, _width(dim))
        training = padded[:: max(1, len(vectors) // _TRAINED_ON)]
        return cls(PackedCodes.of(padded, parts_of(dim), training, _ITERATIONS))

    def __len__(self) -> int:
        return len(self.packed)

    def wipe(self, offsets: np.ndarray) -> None:
        """Overwrite the sketches of rows with that of no direction, near which no query is."""
        if len(offsets):
            blank = self.packed.code_of(np.zeros(self.packed.dim, np.float32))
            self.packed.write(offsets, blank)

    def codes_of(self, offsets: np.ndarray) -> np.ndarray:
        """The sketches of rows: (n, bytes) uint8."""
        return self.packed.read(offsets)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """What `restored` takes: the codes as bytes, without a copy, and the code book, float32."""
        return self.packed.codes, self.packed.book

    @classmethod
    def restored(cls, count: int, dim: int, codes: np.ndarray, book: np.ndarray) -> Sketch:
        """The sketches that `arrays` gave away. Raises ValueError where the sizes do not fit."""
        return cls(PackedCodes.restored(count, _width(dim), parts_of(dim), codes, book))


class Stack:
    """Several sketches that are looked through in one call.

    One call for each would let go of Python's lock and wait for it again so many times, which
    takes longer than the looking while another thread has much to do with the lock.
    """

    def __init__(self, sketches: Sequence[Sketch]) -> None:
        """sketches: at least one, all of the same dim."""
        self._count = sum(map(len, sketches))
        self._width = sketches[0].packed.dim
        self._together = PackedSearch([sketch.packed for sketch in sketches])

    def __len__(self) -> int:
        return self._count

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k rows with the best estimates for each query (q, dim) float32.

        Returns their scores (q, k) float32 and the rows (q, k) int64, counted through all the
        sketches, -1 where there is none.
        """
        return self._together.search(_padded(queries, self._width), k)


def _width(dim: int) -> int:
    """Components of vectors that are cut into parts of equal length."""
    return parts_of(dim) * _components(dim)


def _padded(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Vectors with zeros behind, up to `dim` components; rows without gaps."""
    if vectors.shape[1] == dim:
        return np.ascontiguousarray(vectors)
    return np.pad(vectors, ((0, 0), (0, dim - vectors.shape[1])))
