"""From the best faces to the best persons."""

from __future__ import annotations

import numpy as np

from library.index.memory.block_table import View
from library.index.memory.candidates import Candidates
from library.index.memory.entry_block import among
from library.index.vector_index import Hits

# Vectors decoded at a time.
_PIECE_ROWS = 16_384


def scored(
    queries: np.ndarray,
    candidates: Candidates,
    view: View,
    groups: np.ndarray | None = None,
) -> Ranking:
    """Score the candidates anew, all in the same way, and put them in order.

    The kernels add a score's terms in an order that depends on where a row is and how many
    queries there are; here the same vector has the same score everywhere, bit by bit, so that
    ties are ties. groups: what the faces have to be in; None where they are known to be.
    """
    query, place = np.nonzero(candidates.rows >= 0)
    rows = candidates.rows[query, place]
    order = np.argsort(rows)
    query, rows = query[order], rows[order]
    faces = [np.empty(0, np.int64), np.empty(0, np.float32), *(np.empty(0, np.int64),) * 2]
    pieces = [tuple(faces)]
    for start in range(0, len(rows), _PIECE_ROWS):
        piece = slice(start, start + _PIECE_ROWS)
        taken = view.take(rows[piece])
        scores = np.einsum("nd,nd->n", taken.vectors, queries[query[piece]])
        live = taken.alive
        if groups is not None:
            live &= among(taken.groups, groups)
        pieces.append((query[piece][live], scores[live], taken.persons[live], taken.ids[live]))
    return Ranking(len(queries), *(np.concatenate(parts) for parts in zip(*pieces)))


class Ranking:
    """The persons found for each query, best first.

    query, scores, persons, entries: (n,), one for each face found.
    """

    def __init__(
        self,
        queries: int,
        query: np.ndarray,
        scores: np.ndarray,
        persons: np.ndarray,
        entries: np.ndarray,
    ) -> None:
        order = np.lexsort((entries, persons, -scores, query))
        # A person's first face in this order is its best; the person's others are left out.
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        by_person = np.lexsort((place, persons, query))
        same = (np.diff(persons[by_person]) == 0) & (np.diff(query[by_person]) == 0)
        first = np.ones(len(order), np.bool_)
        first[by_person[1:][same]] = False
        order = order[first[order]]
        self._queries = queries
        self._query = query[order]
        self._scores = scores[order]
        self._persons = persons[order]
        self._entries = entries[order]
        self._rank = np.arange(len(order)) - np.searchsorted(self._query, self._query)

    def hits(self, k: int) -> Hits:
        """The best k persons for each query."""
        hits = Hits.none(self._queries, k)
        keep = self._rank < k
        place = self._query[keep], self._rank[keep]
        hits.scores[place] = self._scores[keep]
        hits.persons[place] = self._persons[keep]
        hits.entries[place] = self._entries[keep]
        return hits


def certain(hits: Hits, candidates: Candidates, tolerance: float) -> np.ndarray:
    """For which queries no face that is not among the candidates could change the hits: (q,) bool.

    tolerance: by how much the kernels' scores may differ from those of the hits.
    """
    everything = (candidates.rows < 0).any(axis=1)
    left_out = candidates.scores.min(axis=1)
    return everything | (hits.scores[:, -1] > left_out + tolerance)
