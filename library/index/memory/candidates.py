"""Candidates of a search: rows with their scores, and where they are looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from library.index.memory.block_table import OFFSET_BITS, View
from library.index.memory.entry_block import EntryBlock
from library.index.vector_index import NO_ID, NO_SCORE


@dataclass(frozen=True)
class Candidates:
    """The best m rows for each of q queries, in no order.

    scores: (q, m) float32, -inf for none. rows: (q, m) int64 as `View.take` takes them, -1 for
    none. A row that is not here scores no more than the lowest score here; where fewer than m
    are there, none was left out.
    """

    scores: np.ndarray
    rows: np.ndarray

    @classmethod
    def none(cls, queries: int, most: int) -> Candidates:
        scores = np.full((queries, most), NO_SCORE, np.float32)
        return cls(scores, np.full((queries, most), NO_ID, np.int64))

    def best(self, most: int) -> Candidates:
        """The best `most` of them."""
        if self.rows.shape[1] <= most:
            return self
        order = np.argpartition(-self.scores, most - 1, axis=1)[:, :most]
        return Candidates(
            np.take_along_axis(self.scores, order, axis=1),
            np.take_along_axis(self.rows, order, axis=1),
        )

    @classmethod
    def together(cls, found: Sequence[Candidates]) -> Candidates:
        """Those of the same queries from several places."""
        if len(found) == 1:
            return found[0]
        return cls(
            np.concatenate([one.scores for one in found], axis=1),
            np.concatenate([one.rows for one in found], axis=1),
        )


@dataclass(frozen=True)
class Part:
    """Rows of one block to be looked at: of the first `count` those in the groups.

    groups: (g,) int64, or None for all.
    """

    place: int
    block: EntryBlock
    count: int
    groups: np.ndarray | None

    @property
    def size(self) -> int:
        """Bytes of all codes."""
        return self.count * self.block.codec.code_size

    def pieces(self, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows, as `View.take` takes them, and their codes, `most` at a time."""
        codes = self.block.entries.codes
        offsets = self.block.selected(self.groups, self.count)
        base = self.place << OFFSET_BITS
        count = self.count if offsets is None else len(offsets)
        for start in range(0, count, most):
            end = min(start + most, count)
            if offsets is None:
                yield np.arange(base + start, base + end), codes[start:end]
            else:
                chosen = offsets[start:end]
                yield base + chosen, codes.take(chosen, axis=0)


def parts_of(view: View, groups: np.ndarray | None) -> list[Part]:
    """All that a view shows of the groups."""
    rows = zip(range(len(view.blocks)), view.blocks, view.counts)
    return [Part(place, block, count, groups) for place, block, count in rows if count]
