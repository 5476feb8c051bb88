"""The approximate index: sketches choose the candidates, whose faces are then compared exactly.

Whoever is found has the right score; what may happen is that someone is not found whose sketch
was worse than those of all candidates. With the 256 candidates that are looked at by default this
was less than 1 search in 500 among a million faces (``python -m bench search`` measures it).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from library.index.memory.block_table import OFFSET_BITS, View
from library.index.memory.candidates import Candidates, Part, parts_of
from library.index.memory.entry_block import BLOCK_ROWS, EntryBlock
from library.index.memory.exact import ExactIndex
from library.index.memory.faiss_engine import run_on_threads
from library.index.memory.ranking import scored
from library.index.memory.scan import scan
from library.index.memory.sketch import Sketch, Stack
from library.index.vector_index import NO_ID, Collection, Hits

DEFAULT_CANDIDATES = 256
DEFAULT_FROM = 100_000
# Candidates for each person asked for, where that is more than the setting.
_CANDIDATES_A_PERSON = 16
# Searches in groups that have less than this share of all faces compare with all of those.
_SHARE_LEAST = 1 / 8
# A stack gives its share of the candidates, so many standard deviations more, and some: the best
# of all are not spread evenly.
_DEVIATIONS = 4
_SPREAD_LEAST = 8
# Of faces without a sketch, whose scores are certain, a part of the candidates is enough.
_SCORES_FEWER = 4
# Sketches looked through on one thread in a fifth of a millisecond.
_ROWS_A_THREAD = 4 * 65_536
# So long after faces were added more are expected.
_BUSY_S = 0.1


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
        # By their number.
        self._stacks: dict[int, _Stacks] = {}
        self._added = -math.inf

    def add(
        self,
        ids: np.ndarray,
        persons: np.ndarray,
        groups: np.ndarray,
        vectors: np.ndarray,
        version: int,
    ) -> None:
        super().add(ids, persons, groups, vectors, version)
        self._added = time.monotonic()

    def remove(self, ids: np.ndarray, version: int) -> None:
        super().remove(ids, version)
        # They keep the sketches of blocks that have been given up.
        self._stacks.clear()

    def _sealed(self, block: EntryBlock) -> None:
        if block.sketch is None:
            block.sketch = Sketch.of(block.codec.decoded(block.entries.codes))
            # Rows that died before there was a sketch to wipe.
            block.sketch.wipe(np.flatnonzero(~block.alive))

    def _search(self, view: View, queries: np.ndarray, k: int, groups: np.ndarray | None) -> Hits:
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
        self, view: View, queries: np.ndarray, wanted: int, groups: np.ndarray | None
    ) -> Candidates:
        """The rows with the best sketches, and the best of those that have no sketch yet."""
        parts = [(part, part.block.sketch) for part in parts_of(view, groups)]
        plain = [part for part, sketch in parts if sketch is None]
        sketched = [(part.place, sketch) for part, sketch in parts if sketch is not None]
        threads = min(self.threads, 1 + len(view) // _ROWS_A_THREAD)
        count = len(sketched)
        if time.monotonic() - self._added < _BUSY_S:
            # While faces come in one after the other, whoever adds them has a core and most of
            # the time Python's lock: as few calls as possible, on one thread fewer.
            threads = count = max(1, threads - 1)
        stacks = self._stacked(tuple(sketched), count)
        # Estimates are lower than scores, so both are compared with their like only.
        scores = [Candidates.none(len(queries), 0)]
        estimates: list[_Estimates] = []
        # What has no sketch takes longest, so it comes first.
        waiting: Iterator[Part | int] = iter([*plain, *range(len(stacks))])

        def task() -> None:
            for one in waiting:
                if isinstance(one, Part):
                    scores.append(scan(queries, [one], wanted // _SCORES_FEWER, threads=1))
                else:
                    estimates.append(stacks.look_through(one, queries, wanted))

        run_on_threads(task, threads)
        found = [Candidates.together(scores).best(wanted // _SCORES_FEWER)]
        if estimates:
            found.append(stacks.candidates(estimates).best(wanted))
        return Candidates.together(found)

    def _stacked(self, sketched: tuple[tuple[int, Sketch], ...], most: int) -> _Stacks:
        """At most so many stacks of the blocks' sketches; the same as long as those are."""
        count = min(len(sketched), most)
        stacks = self._stacks.get(count)
        if stacks is None or stacks.sketched != sketched:
            stacks = self._stacks[count] = _Stacks(sketched, count)
        return stacks


@dataclass(frozen=True)
class _Estimates:
    """What was found in a stack: see `Stack.search`."""

    stack: int
    scores: np.ndarray
    rows: np.ndarray


class _Stacks:
    """Stacks of sketches, which may be looked through side by side.

    sketched: the sketches, with their blocks' places. count: of the stacks.
    """

    def __init__(self, sketched: tuple[tuple[int, Sketch], ...], count: int) -> None:
        self.sketched = sketched
        dealt = [sketched[number::count] for number in range(count)]
        self._stacks = [Stack([sketch for _, sketch in some]) for some in dealt]
        self._total = sum(map(len, self._stacks))
        # Rows of all stacks, one after the other: where each stack begins, and each sketch, and
        # what makes a sketch's rows such as `View.take` takes them.
        self._firsts = np.cumsum([0, *map(len, self._stacks)])
        lengths = [len(sketch) for some in dealt for _, sketch in some]
        self._starts = np.cumsum([0, *lengths])[:-1]
        places = np.array([place for some in dealt for place, _ in some], np.int64)
        self._shifts = (places << OFFSET_BITS) - self._starts

    def __len__(self) -> int:
        return len(self._stacks)

    def look_through(self, number: int, queries: np.ndarray, wanted: int) -> _Estimates:
        """A stack's share of the `wanted` rows with the best sketches of all."""
        stack = self._stacks[number]
        share = wanted * len(stack) / self._total
        most = int(share + _DEVIATIONS * math.sqrt(share)) + _SPREAD_LEAST
        return _Estimates(number, *stack.search(queries, min(most, wanted, len(stack))))

    def candidates(self, found: Sequence[_Estimates]) -> Candidates:
        """What was found in all the stacks, at least one."""
        scores = np.concatenate([one.scores for one in found], axis=1)
        rows = np.concatenate([one.rows for one in found], axis=1)
        firsts = self._firsts[[one.stack for one in found]]
        row = rows + np.repeat(firsts, [one.rows.shape[1] for one in found])
        sketch = np.searchsorted(self._starts, row, side="right") - 1
        return Candidates(scores, np.where(rows < 0, NO_ID, row + self._shifts[sketch]))
