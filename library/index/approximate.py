"""The approximate index: sketches choose the candidates, whose faces are then compared exactly.

Whoever is found has the right score; what may happen is that someone is not found whose sketch
was worse than those of all candidates. With the 256 candidates that are looked at by default this
was less than 1 search in 500 among a million faces (``python -m bench search`` measures it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Optional, Union

import numpy as np

from library.index.base import NO_ID, Collection, Hits
from library.index.block import BLOCK_ROWS, Block
from library.index.candidates import Candidates, Part, parts_of
from library.index.engine import run_on_threads
from library.index.exact import ExactIndex
from library.index.ranking import scored
from library.index.scan import scan
from library.index.sketch import Sketch
from library.index.table import OFFSET_BITS, View

DEFAULT_CANDIDATES = 256
DEFAULT_FROM = 100_000
# Candidates for each person asked for, where that is more than the setting.
_CANDIDATES_A_PERSON = 16
# Searches in groups that have less than this share of all faces compare with all of those.
_SHARE_LEAST = 1 / 8
# Each block gives its share of the candidates this many times over, and some: the best of all
# are not spread evenly.
_SPREAD = 2
_SPREAD_LEAST = 8
# Of faces without a sketch, whose scores are certain, a part of the candidates is enough.
_SCORES_FEWER = 4
# Sketches looked through on one thread in a fifth of a millisecond.
_ROWS_A_THREAD = 4 * 65_536


class ApproximateIndex(ExactIndex):
    """Like ExactIndex, but from `approximate_from` entries on faster by an order of magnitude.

    candidates: faces that are compared for one query after their sketches were, at least 16. More
        find more and take longer. A search for k persons looks at 16 k at least.
    approximate_from: below this many entries, and in groups that together have less than an
        eighth of all, a search compares with every face and is exact.
    """

    def __init__(
        self,
        collection: Collection,
        storage: str = "auto",
        threads: int = 0,
        candidates: int = DEFAULT_CANDIDATES,
        approximate_from: int = DEFAULT_FROM,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        super().__init__(collection, storage, threads, block_rows)
        self.candidates = candidates
        self.approximate_from = approximate_from

    def _sealed(self, block: Block) -> None:
        if block.sketch is None:
            block.sketch = Sketch.of(block.codec.decoded(block.entries.codes))
            # Rows that died before there was a sketch to wipe.
            block.sketch.wipe(np.flatnonzero(~block.alive))

    def _search(
        self, view: View, queries: np.ndarray, k: int, groups: Optional[np.ndarray]
    ) -> Hits:
        share = self._share(groups)
        if len(view) < max(1, self.approximate_from) or share < _SHARE_LEAST:
            return super()._search(view, queries, k, groups)
        wanted = int(max(self.candidates, _CANDIDATES_A_PERSON * k) / share)
        candidates = self._likely(view, queries, wanted, groups)
        hits = scored(queries, candidates, view, groups).hits(k)
        # Too few persons among them: these are so many faces of so few that all are compared.
        left = np.flatnonzero(hits.persons[:, -1] < 0)
        if len(left):
            hits.put(left, super()._search(view, queries[left], k, groups))
        return hits

    def _likely(
        self, view: View, queries: np.ndarray, wanted: int, groups: Optional[np.ndarray]
    ) -> Candidates:
        """The rows with the best sketches, and the best of those that have no sketch yet."""
        parts = [(part, part.block.sketch) for part in parts_of(view, groups)]
        plain = [part for part, sketch in parts if sketch is None]
        sketched = [(part.place, sketch) for part, sketch in parts if sketch is not None]
        # Estimates are lower than scores, so both are compared with their like only.
        scores = [Candidates.none(len(queries), 0)]
        estimates = _Estimates(queries, sketched, wanted)
        # What has no sketch takes longest, so it comes first.
        waiting: Iterator[Union[Part, int]] = iter([*plain, *range(len(sketched))])

        def task() -> None:
            for one in waiting:
                if isinstance(one, Part):
                    scores.append(scan(queries, [one], wanted // _SCORES_FEWER, threads=1))
                else:
                    estimates.look_through(one)

        run_on_threads(task, min(self.threads, 1 + len(view) // _ROWS_A_THREAD))
        best = Candidates.together(scores).best(wanted // _SCORES_FEWER)
        return Candidates.together([best, estimates.candidates().best(wanted)])


class _Estimates:
    """The rows with the best sketches of every block, written side by side by several threads.

    sketched: places and sketches of the blocks. wanted: rows of all blocks together for a query.
    """

    def __init__(
        self, queries: np.ndarray, sketched: Sequence[tuple[int, Sketch]], wanted: int
    ) -> None:
        self._queries = queries
        self._sketched = sketched
        share = _SPREAD * wanted // max(1, len(sketched)) + _SPREAD_LEAST
        most = min([share, wanted, *(len(sketch) for _, sketch in sketched)])
        shape = (len(sketched), len(queries), most)
        self._scores = np.empty(shape, np.float32)
        self._offsets = np.empty(shape, np.int64)

    def look_through(self, number: int) -> None:
        """Find a block's best; each has to be looked through once."""
        sketch = self._sketched[number][1]
        sketch.search(self._queries, self._scores[number], self._offsets[number])

    def candidates(self) -> Candidates:
        """What was found in all of them."""
        places = np.array([place for place, _ in self._sketched], np.int64)
        bases = (places << OFFSET_BITS)[:, None, None]
        rows = np.where(self._offsets < 0, NO_ID, self._offsets + bases)
        return Candidates(_by_query(self._scores), _by_query(rows))


def _by_query(found: np.ndarray) -> np.ndarray:
    """(blocks, q, m) to (q, blocks * m)."""
    return found.transpose(1, 0, 2).reshape(found.shape[1], found.shape[0] * found.shape[2])
