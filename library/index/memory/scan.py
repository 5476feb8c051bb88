"""Every face compared: the exact searches, one query at a time or many at once.

A few queries: the stored codes go through faiss's scanner, which decodes them in registers, for
each. Many queries: blocks are decoded in pieces that stay in the cache, and one matrix product
serves all queries. How long they take does not depend on what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from library.index.memory.candidates import Candidates, Part
from library.index.memory.codec import Codec
from library.index.memory.faiss_engine import run_on_threads
from library.index.memory.faiss_internals import Products, Scanner, pointer
from library.index.vector_index import NO_SCORE

# From this many queries on a matrix product takes less time than a scan for each of them.
_MANY = 14
# Queries in one product.
_TOGETHER = 128
# Codes scanned for several queries at a time, in the cache of a core.
_SCANNED_BYTES = 1 << 20
# Rows decoded at a time: the cache of a core holds them and their scores.
_PIECE_BYTES = 2 << 20
_PIECE_ROWS_MOST = 4096
# Another thread is worth its while for this many bytes of codes (a millisecond).
_BYTES_A_THREAD = 16 << 20


def scan(queries: np.ndarray, parts: Sequence[Part], most: int, threads: int) -> Candidates:
    """The best `most` rows of all the parts for each query (q, dim) float32."""
    size = sum(part.size for part in parts)
    threads = max(1, min(threads, len(parts), size // _BYTES_A_THREAD))
    if len(queries) < _MANY:
        found = [_scan_for_few(queries, parts, most, threads)]
    else:
        starts = range(0, len(queries), _TOGETHER)
        found = [_scan_for_many(queries[s : s + _TOGETHER], parts, most, threads) for s in starts]
    return Candidates(
        np.concatenate([one.scores for one in found]), np.concatenate([one.rows for one in found])
    )


def _scan_for_few(
    queries: np.ndarray, parts: Sequence[Part], most: int, threads: int
) -> Candidates:
    waiting = iter(parts)
    count = len(queries)
    # Whole blocks for one query. For several it is pieces that stay in the cache, so that the
    # memory, which takes most of the time, is read once.
    whole = count == 1 and not any(part.groups is not None for part in parts)

    def task() -> Candidates:
        found = Candidates.none(count, most)
        heaps = [(pointer(found.scores[n]), pointer(found.rows[n])) for n in range(count)]
        scanners: list[Scanner] = []
        codec: Codec | None = None
        for part in waiting:
            if codec is not part.block.codec:
                codec = part.block.codec
                scanners = [codec.scanner(query, by_list=whole) for query in queries]
            if whole:
                # Named by the list's number and the place in it, which is how a view does it.
                codes = pointer(part.block.entries.codes)
                scanners[0].scan_list(part.place, part.count, codes, heaps[0], most)
                continue
            piece = min(_PIECE_ROWS_MOST, max(1, _SCANNED_BYTES // codec.code_size))
            for rows, chosen in part.pieces(piece):
                at, names = pointer(chosen), pointer(rows)
                for scanner, heap in zip(scanners, heaps):
                    scanner.scan(len(rows), at, names, heap, most)
        return found

    return Candidates.together(run_on_threads(task, threads)).best(most)


def _scan_for_many(
    queries: np.ndarray, parts: Sequence[Part], most: int, threads: int
) -> Candidates:
    waiting = iter(parts)
    count, dim = queries.shape
    products = Products(queries)
    piece = min(_PIECE_ROWS_MOST, _PIECE_BYTES // (4 * dim))

    def task() -> Candidates:
        best = _Best(count, most, piece)
        vectors = np.empty((piece, dim), np.float32)
        scores = np.empty((piece, count), np.float32)
        for part in waiting:
            for rows, codes in part.pieces(piece):
                decoded = part.block.codec.decode(codes, vectors)
                products.write(decoded, scores)
                best.offer(rows, scores[: len(rows)])
        return best.candidates()

    return Candidates.together(run_on_threads(task, threads)).best(most)


class _Best:
    """The best rows so far for each of `queries` queries, from pieces of at most `piece` rows."""

    def __init__(self, queries: int, most: int, piece: int) -> None:
        self._queries = queries
        self._most = most
        # A score has to be above the query's threshold to be among the best.
        self._thresholds = np.full((piece, queries), NO_SCORE, np.float32)
        self._above = np.empty((piece, queries), np.bool_)
        self._kept = Candidates.none(queries, most)
        self._new: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting = 0

    def offer(self, rows: np.ndarray, scores: np.ndarray) -> None:
        """rows: (n,) int64. scores: (n, queries) float32, read before this returns."""
        if self._thresholds[0, 0] == NO_SCORE and len(rows) > self._most:
            # The first piece: only its own best can be among the best.
            place = len(rows) - self._most
            lowest = np.partition(scores, place, axis=0)[place]
            self._thresholds[:] = np.nextafter(lowest, np.float32(NO_SCORE))
        above = np.greater(scores, self._thresholds[: len(rows)], out=self._above[: len(rows)])
        places = np.flatnonzero(above)
        if not len(places):
            return
        row, query = np.divmod(places, self._queries)
        self._new.append((query, scores.ravel()[places], rows[row]))
        self._waiting += len(places)
        if self._waiting > 2 * self._queries * self._most:
            self._sort()

    def _sort(self) -> None:
        """Put what waits among the kept, keep the best, and raise the thresholds."""
        if not self._new:
            return
        present = np.nonzero(self._kept.rows >= 0)
        self._new.append((present[0], self._kept.scores[present], self._kept.rows[present]))
        query, scores, rows = (np.concatenate(parts) for parts in zip(*self._new))
        order = np.lexsort((-scores, query))
        query, scores, rows = query[order], scores[order], rows[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        keep = rank < self._most
        self._kept = Candidates.none(self._queries, self._most)
        self._kept.scores[query[keep], rank[keep]] = scores[keep]
        self._kept.rows[query[keep], rank[keep]] = rows[keep]
        np.maximum(self._thresholds, self._kept.scores[:, -1], out=self._thresholds)
        self._new, self._waiting = [], 0

    def candidates(self) -> Candidates:
        self._sort()
        return self._kept
