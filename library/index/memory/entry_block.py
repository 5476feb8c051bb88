"""A block: a fixed number of rows, one for each entry, that are written once.

Rows are appended behind those that searches look at, and a removed row is marked dead and wiped,
never written again. So a search needs no lock: the rows that it began with stay where they are
and what they are, or are dead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from library.index.memory.codec import Codec
from library.index.memory.sketch import Sketch

# Rows of a full block: at 128 components in fp16 16 MiB, which one core scans in half a
# millisecond. What is held back by removed rows is given back a block at a time.
BLOCK_ROWS = 65_536
# A block that holds entries of more groups than this does not remember which.
_GROUPS_KNOWN = 64
_FEW_GROUPS = 8
_SPAN_MOST = 1 << 17


@dataclass(frozen=True)
class Entries:
    """n entries. ids, persons, groups: (n,) int64; codes: (n, code_size) uint8."""

    ids: np.ndarray
    persons: np.ndarray
    groups: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: np.ndarray | slice) -> Entries:
        return Entries(self.ids[rows], self.persons[rows], self.groups[rows], self.codes[rows])


def among(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the values (n,) are among the wanted (w,), ascending: (n,) bool.

    For few wanted ones, or such that lie together, five to fifty times as fast as numpy.isin.
    """
    if len(wanted) <= _FEW_GROUPS:
        inside = np.zeros(len(values), np.bool_)
        for one in wanted.tolist():
            inside |= values == one
        return inside
    lowest, span = int(wanted[0]), int(wanted[-1] - wanted[0]) + 1
    if span > _SPAN_MOST:
        return np.isin(values, wanted)
    # One place more at both ends, where everything ends up that lies beyond.
    table = np.zeros(span + 2, np.bool_)
    table[wanted - lowest + 1] = True
    return table.take(values - (lowest - 1), mode="clip")


class EntryBlock:
    """Rows up to `capacity`, the first `count` of them written.

    entries: the arrays, `capacity` long. alive: (capacity,) bool, False for a removed row.
    dead: removed rows. sketch: for approximate searches, of a full block only.

    Memory that was never written is not taken from the machine.
    """

    def __init__(self, codec: Codec, entries: Entries, alive: np.ndarray, count: int) -> None:
        self.codec = codec
        self.entries = entries
        self.alive = alive
        self.count = count
        self.dead = count - int(np.count_nonzero(alive[:count]))
        self.sketch: Sketch | None = None
        self._blank = codec.encode(np.zeros((1, codec.dim), np.float32))[0]
        self._groups: set[int] | None = set()
        self._ascending = 0
        self._lowest, self._highest = np.iinfo(np.int64).max, -1
        self._describe(0, count)

    @classmethod
    def empty(cls, codec: Codec, capacity: int) -> EntryBlock:
        """A block without rows."""
        ids, persons, groups = (np.empty(capacity, np.int64) for _ in range(3))
        codes = np.empty((capacity, codec.code_size), np.uint8)
        entries = Entries(ids, persons, groups, codes)
        return cls(codec, entries, np.empty(capacity, np.bool_), 0)

    @property
    def capacity(self) -> int:
        return len(self.alive)

    @property
    def space(self) -> int:
        """Rows that can still be appended."""
        return self.capacity - self.count

    def append(self, entries: Entries) -> None:
        """Append rows, at most `space`. Searches see them when `count` is told to them."""
        start, end = self.count, self.count + len(entries)
        own = self.entries
        own.codes[start:end] = entries.codes
        own.ids[start:end] = entries.ids
        own.persons[start:end] = entries.persons
        own.groups[start:end] = entries.groups
        self.alive[start:end] = True
        self._describe(start, end)
        self.count = end

    def _describe(self, start: int, end: int) -> None:
        """Take note of the new rows' groups and ids."""
        if start == end:
            return
        ids, groups = self.entries.ids[start:end], self.entries.groups[start:end]
        if self._groups is not None:
            self._groups = self._groups | set(np.unique(groups).tolist())
            if len(self._groups) > _GROUPS_KNOWN:
                self._groups = None
        rising = bool(np.all(ids[1:] > ids[:-1])) and int(ids[0]) > self._highest
        if self._ascending == start and rising:
            self._ascending = end
        self._lowest = min(self._lowest, int(ids.min()))
        self._highest = max(self._highest, int(ids.max()))

    def kill(self, offsets: np.ndarray) -> None:
        """Mark rows dead and wipe what they held of a face. offsets: (n,), of live rows."""
        # In this order: a search that reads the code first and `alive` afterwards is never wrong.
        self.alive[offsets] = False
        self.entries.codes[offsets] = self._blank
        if self.sketch is not None:
            self.sketch.wipe(offsets)
        self.dead += len(offsets)

    def live(self) -> Entries:
        """Copies of the live rows."""
        return self.entries[np.flatnonzero(self.alive[: self.count])]

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Offsets of the live rows with these ids, -1 for others: (n,) int64."""
        found = np.full(len(ids), -1, np.int64)
        if not self.count or not len(ids):
            return found
        if int(ids.min()) > self._highest or int(ids.max()) < self._lowest:
            return found
        own = self.entries.ids[: self.count]
        self._match(own[: self._ascending], None, 0, ids, found)
        if self._ascending < self.count:
            rest = own[self._ascending :]
            # Stable, so that of equal ids the row written last, which alone can live, is last.
            self._match(rest, np.argsort(rest, kind="stable"), self._ascending, ids, found)
        found[(found >= 0) & ~self.alive[found]] = -1
        return found

    @staticmethod
    def _match(
        own: np.ndarray,
        order: np.ndarray | None,
        start: int,
        ids: np.ndarray,
        found: np.ndarray,
    ) -> None:
        """Enter into `found` where in own[order] the ids stand, counted from `start`."""
        if not len(own):
            return
        place = np.searchsorted(own, ids, side="right", sorter=order) - 1
        rows = place if order is None else order[place]
        hit = (place >= 0) & (own[rows] == ids)
        found[hit] = rows[hit] + start

    def selected(self, groups: np.ndarray | None, count: int) -> np.ndarray | None:
        """Offsets of the live rows among the first `count` that are in the groups.

        groups: (g,) int64. None stands for all rows, dead ones too: in the argument for a search
        that names no group, in the answer where no row need be left out.
        """
        if groups is None:
            return None
        known = self._groups
        if known is not None:
            wanted = known.intersection(groups.tolist())
            if not wanted:
                return np.empty(0, np.int64)
            if len(wanted) == len(known):
                return None
        inside = among(self.entries.groups[:count], groups)
        return np.flatnonzero(inside & self.alive[:count])
