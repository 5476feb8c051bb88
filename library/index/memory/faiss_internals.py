"""What the indexes use of faiss beneath its own searches; nothing else touches it.

Codes in arrays of the project's own go through faiss's scanners, and the four-bit codes of
sketches are written and read where faiss has packed them. `tests/library/index/
test_faiss_internals.py` names each thing that is relied on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from library.index.memory.faiss_engine import faiss, one_thread

# What C++ is given of an array: its address, as it is then. Whoever takes it keeps the array.
pointer = faiss.swig_ptr
# The code of zero in bytes, see `ScannerMaker`.
INT8_ZERO = 128
# Faiss takes a code for the middle of its 256th of a range: here one as long as 255 codes, so that
# a code is a whole number.
_INT8_RANGE = np.array([-INT8_ZERO - 0.5, 255.0], np.float32)
# Rows that a scanner names itself: the number of the list, above so many bits for the place in it.
PLACE_BITS = 32
# Centroids of a part, which four bits tell apart.
CENTROIDS = 16


class Scanner:
    """Scores rows of codes against one query, and keeps the best in a heap.

    A heap is two pointers, to scores (k,) float32 and rows (k,) int64; it begins with the lowest
    score and no rows, and is in no order.
    """

    def __init__(self, scanner: Any, query: np.ndarray) -> None:
        self._query = query  # of which faiss keeps a pointer
        self._scanner = scanner
        scanner.set_query(pointer(query))

    def scan_list(self, number: int, count: int, codes: Any, heap: tuple[Any, Any], k: int) -> None:
        """Scan a list's codes; rows are named by its number and their places, see `PLACE_BITS`.

        For scanners that were made `by_list`. codes: a pointer to `count` rows.
        """
        self._scanner.set_list(number, 0.0)
        self._scanner.scan_codes(count, codes, None, *heap, k)

    def scan(self, count: int, codes: Any, names: Any, heap: tuple[Any, Any], k: int) -> None:
        """Scan codes whose rows have names. Pointers to `count` rows, and to (count,) int64."""
        self._scanner.scan_codes(count, codes, names, *heap, k)


class ScannerMaker:
    """Makes scanners for codes of `dim` components as float32, fp16 or int8.

    int8: one byte for a component, what it is multiplied with plus `INT8_ZERO`.
    """

    def __init__(self, components: str, dim: int) -> None:
        if components == "float32":
            self._quantizer = faiss.IndexFlatIP(dim)  # which the index has a pointer to
            self._index = faiss.IndexIVFFlat(self._quantizer, dim, 1, faiss.METRIC_INNER_PRODUCT)
            return
        # Not QT_8bit_direct_signed, which means just these codes: with 16, 32, ... components it
        # rounds the query to whole numbers, too, on processors with AVX2 (faiss 1.15).
        kinds = {
            "fp16": faiss.ScalarQuantizer.QT_fp16,
            "int8": faiss.ScalarQuantizer.QT_8bit_uniform,
        }
        self._quantizer = faiss.ScalarQuantizer(dim, kinds[components])
        if components == "int8":
            faiss.copy_array_to_vector(_INT8_RANGE, self._quantizer.trained)
        self._index = None

    def scanner(self, query: np.ndarray, by_list: bool) -> Scanner:
        """A scanner for one query (dim,) float32. by_list: see `Scanner.scan_list`."""
        if self._index is not None:
            made = self._index.get_InvertedListScanner(by_list, None, None)
        else:
            made = self._quantizer.select_InvertedListScanner(
                faiss.METRIC_INNER_PRODUCT, None, by_list, None, False
            )
        return Scanner(made, query)


class Products:
    """Inner products with all of the queries (q, dim) float32; for several threads at a time."""

    def __init__(self, queries: np.ndarray) -> None:
        count, dim = queries.shape
        self._transform = faiss.LinearTransform(dim, count, False)
        faiss.copy_array_to_vector(queries.ravel(), self._transform.A)
        self._transform.is_trained = True

    def write(self, vectors: np.ndarray, scores: np.ndarray) -> None:
        """Put those of (n, dim) float32 vectors into the first n rows of (>= n, q) float32."""
        self._transform.apply_noalloc(len(vectors), pointer(vectors), pointer(scores))


class PackedCodes:
    """Product quantization's codes of four bits, in the layout that is looked up 32 at a time.

    dim: of the vectors, a multiple of the number of parts. codes: (bytes,) uint8, the memory that
    faiss has them in; gone when this is.
    """

    def __init__(self, index: Any) -> None:
        self.index = index
        self.dim = int(index.d)
        self.codes: np.ndarray = faiss.rev_swig_ptr(index.codes.get(), index.codes.size())
        self._packer = index.get_CodePacker()
        self._pack_rows, self._pack_bytes = int(self._packer.nvec), int(self._packer.block_size)

    @classmethod
    def of(
        cls, vectors: np.ndarray, parts: int, training: np.ndarray, iterations: int
    ) -> PackedCodes:
        """Codes of (n, dim) float32 vectors. training: at least 16, which the book is made of."""
        index = _packed_index(vectors.shape[1], parts)
        index.pq.cp.niter = iterations
        index.pq.cp.max_points_per_centroid = len(training)
        index.pq.cp.min_points_per_centroid = 1
        with one_thread():
            index.train(training)
            index.add(vectors)
        return cls(index)

    @classmethod
    def restored(
        cls, count: int, dim: int, parts: int, codes: np.ndarray, book: np.ndarray
    ) -> PackedCodes:
        """From `codes` and `book` of others. Raises ValueError where the sizes do not fit."""
        index = _packed_index(dim, parts)
        if index.pq.centroids.size() != len(book):
            raise ValueError(f"a code book of {len(book)} numbers")
        faiss.copy_array_to_vector(np.ascontiguousarray(book, np.float32), index.pq.centroids)
        index.is_trained = True
        index.ntotal = count
        index.ntotal2 = -(-count // index.bbs) * index.bbs
        if len(codes) != index.ntotal2 * index.M2 // 2:
            raise ValueError(f"codes of {len(codes)} bytes")
        faiss.copy_array_to_AlignedTable(np.ascontiguousarray(codes), index.codes)
        return cls(index)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def book(self) -> np.ndarray:
        """The centroids of all parts: (16 dim,) float32."""
        centroids: np.ndarray = faiss.vector_to_array(self.index.pq.centroids)
        return centroids

    def code_of(self, vector: np.ndarray) -> np.ndarray:
        """What a vector (dim,) float32 would be stored as: (code bytes,) uint8."""
        with one_thread():
            code: np.ndarray = self.index.pq.compute_codes(vector[None])[0]
        return code

    def write(self, rows: np.ndarray, code: np.ndarray) -> None:
        """Overwrite rows (n,) with one code."""
        for row in rows.tolist():
            packed, place = self._packed(row)
            self._packer.pack_1_c(pointer(code), place, packed)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The codes of rows (n,): (n, code bytes) uint8."""
        codes = np.empty((len(rows), self._packer.code_size), np.uint8)
        for number, row in enumerate(rows.tolist()):
            packed, place = self._packed(row)
            self._packer.unpack_1_c(packed, place, pointer(codes[number]))
        return codes

    def _packed(self, row: int) -> tuple[Any, int]:
        """The rows that are packed together with one, and its place among them."""
        pack, place = divmod(row, self._pack_rows)
        return pointer(self.codes[pack * self._pack_bytes :][: self._pack_bytes]), place


class PackedSearch:
    """Looks through several packed codes in one call, their rows counted through."""

    def __init__(self, packed: Sequence[PackedCodes]) -> None:
        """packed: at least one, all of the same dim."""
        self._packed = tuple(packed)  # faiss has no more than pointers to them
        self._index = packed[0].index
        if len(packed) > 1:
            self._index = faiss.IndexShards(packed[0].dim, False, True)
            for one in packed:
                self._index.add_shard(one.index)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `library.index.memory.sketch.Stack.search`. queries: rows without gaps."""
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        self._index.search_c(len(queries), pointer(queries), k, pointer(scores), pointer(rows))
        return scores, rows


def _packed_index(dim: int, parts: int) -> Any:
    return faiss.IndexPQFastScan(dim, parts, 4, faiss.METRIC_INNER_PRODUCT)
