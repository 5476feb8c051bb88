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
from typing import Any

import numpy as np

from library.index.memory.faiss_engine import faiss, one_thread, pointer

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
    components = _COMPONENTS if dim <= _COMPONENTS * _PARTS_ENOUGH else _COMPONENTS_MOST
    return -(-dim // components)


class Sketch:
    """The sketches of n vectors.

    Each has a code book of its own, made from its own vectors: it never grows old.
    """

    def __init__(self, index: Any, dim: int) -> None:
        self._index = index
        self._dim = dim
        self._packer = index.get_CodePacker()
        self._codes = faiss.rev_swig_ptr(index.codes.get(), index.codes.size())

    @classmethod
    def of(cls, vectors: np.ndarray) -> Sketch:
        """Sketch (n, dim) float32 vectors, n at least 16."""
        dim = vectors.shape[1]
        index = _new_index(dim)
        step = max(1, len(vectors) // _TRAINED_ON)
        index.pq.cp.niter = _ITERATIONS
        index.pq.cp.max_points_per_centroid = _TRAINED_ON
        index.pq.cp.min_points_per_centroid = 1
        with one_thread():
            index.train(_padded(vectors[::step], index.d))
            index.add(_padded(vectors, index.d))
        return cls(index, dim)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def shard(self) -> tuple[Any, int]:
        """The index in faiss, which is gone when this is, and how many components it takes."""
        return self._index, int(self._index.d)

    def wipe(self, offsets: np.ndarray) -> None:
        """Overwrite the sketches of rows with that of no direction, near which no query is."""
        with one_thread():
            blank = self._index.pq.compute_codes(np.zeros((1, self._index.d), np.float32))[0]
        rows, size = self._packer.nvec, self._packer.block_size
        for offset in offsets.tolist():
            packed = self._codes[offset // rows * size :][:size]
            self._packer.pack_1_c(pointer(blank), offset % rows, pointer(packed))

    def codes_of(self, offsets: np.ndarray) -> np.ndarray:
        """The sketches of rows: (n, bytes) uint8."""
        codes = np.empty((len(offsets), self._packer.code_size), np.uint8)
        rows, size = self._packer.nvec, self._packer.block_size
        for row, offset in enumerate(offsets.tolist()):
            packed = self._codes[offset // rows * size :][:size]
            self._packer.unpack_1_c(pointer(packed), offset % rows, pointer(codes[row]))
        return codes

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """What `restored` takes: the codes as bytes, and the code book as float32. No copies."""
        centroids = faiss.vector_to_array(self._index.pq.centroids)
        return self._codes, centroids

    @classmethod
    def restored(cls, count: int, dim: int, codes: np.ndarray, centroids: np.ndarray) -> Sketch:
        """The sketches that `arrays` gave away. Raises ValueError where the sizes do not fit."""
        index = _new_index(dim)
        if index.pq.centroids.size() != len(centroids):
            raise ValueError(f"a code book of {len(centroids)} numbers")
        faiss.copy_array_to_vector(np.ascontiguousarray(centroids, np.float32), index.pq.centroids)
        index.is_trained = True
        index.ntotal = count
        index.ntotal2 = -(-count // index.bbs) * index.bbs
        if len(codes) != index.ntotal2 * index.M2 // 2:
            raise ValueError(f"codes of {len(codes)} bytes")
        faiss.copy_array_to_AlignedTable(np.ascontiguousarray(codes), index.codes)
        return cls(index, dim)


class Stack:
    """Several sketches that are looked through in one call.

    One call for each would let go of Python's lock and wait for it again so many times, which
    takes longer than the looking while another thread has much to do with the lock.
    """

    def __init__(self, sketches: Sequence[Sketch]) -> None:
        """sketches: at least one, all of the same dim."""
        self._sketches = tuple(sketches)  # faiss has no more than pointers to them
        self._count = sum(map(len, self._sketches))
        self._index, self._width = self._sketches[0].shard
        if len(self._sketches) > 1:
            self._index = faiss.IndexShards(self._width, False, True)
            for sketch in self._sketches:
                self._index.add_shard(sketch.shard[0])

    def __len__(self) -> int:
        return self._count

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k rows with the best estimates for each query (q, dim) float32.

        Returns their scores (q, k) float32 and the rows (q, k) int64, counted through all the
        sketches, -1 where there is none.
        """
        queries = _padded(queries, self._width)
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        self._index.search_c(len(queries), pointer(queries), k, pointer(scores), pointer(rows))
        return scores, rows


def _new_index(dim: int) -> Any:
    parts = parts_of(dim)
    padded = parts * (_COMPONENTS if dim <= _COMPONENTS * _PARTS_ENOUGH else _COMPONENTS_MOST)
    return faiss.IndexPQFastScan(padded, parts, 4, faiss.METRIC_INNER_PRODUCT)


def _padded(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Vectors with zeros behind, up to `dim` components; rows without gaps."""
    if vectors.shape[1] == dim:
        return np.ascontiguousarray(vectors)
    return np.pad(vectors, ((0, 0), (0, dim - vectors.shape[1])))
