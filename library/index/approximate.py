"""The approximate index: sketches choose the candidates, whose faces are then compared exactly.

Whoever is found has the right score; what may happen is that someone is not found whose sketch
was worse than those of all candidates. With the 256 candidates that are looked at by default this
was less than 1 search in 500 among a million faces (``python -m bench search`` measures it).
"""

from __future__ import annotations

from typing import Optional

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
        sketched = sum(sketch is not None for _, sketch in parts)
        from_each = min(_SPREAD * wanted // max(1, sketched) + _SPREAD_LEAST, wanted)
        # What has no sketch takes longest, so it comes first.
        waiting = iter(sorted(parts, key=lambda pair: pair[1] is not None))
        # Estimates are lower than scores, so both are compared with their like only.
        scores = [Candidates.none(len(queries), 0)]
        estimates = [Candidates.none(len(queries), 0)]

        def task() -> None:
            for part, sketch in waiting:
                if sketch is None:
                    scores.append(scan(queries, [part], wanted // _SCORES_FEWER, threads=1))
                else:
                    estimates.append(_estimates(part, sketch, queries, from_each))

        run_on_threads(task, min(self.threads, 1 + len(view) // _ROWS_A_THREAD))
        best = Candidates.together(scores).best(wanted // _SCORES_FEWER)
        return Candidates.together([best, Candidates.together(estimates).best(wanted)])


def _estimates(part: Part, sketch: Sketch, queries: np.ndarray, most: int) -> Candidates:
    scores, offsets = sketch.search(queries, min(most, len(sketch)))
    rows = np.where(offsets < 0, NO_ID, offsets + (part.place << OFFSET_BITS))
    return Candidates(scores, rows)
