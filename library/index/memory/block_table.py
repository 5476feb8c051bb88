"""The blocks of an index in memory, and its entries by id: read while a writer changes them.

A search takes a `View`: which blocks there are, and how many rows of each. The writer appends
rows behind those and then puts a new view in place, marks removed rows dead, and moves the live
rows of blocks that have many dead ones. Nothing that a view shows is ever written again, apart
from rows that die, so searches need no lock and never wait.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from library.index.memory.codec import Codec, limit_for, make_codec
from library.index.memory.entry_block import BLOCK_ROWS, Entries, EntryBlock
from library.index.memory.faiss_internals import PLACE_BITS

# The first block of an index is this much smaller, so that a small app takes little memory. It is
# exchanged for a larger one when it is full.
_FIRST_SMALLER = 64
_GROWTH = 4
# A block whose dead rows are more than this share of it is given up and its live rows move.
_DEAD_MOST = 1 / 8
# The row of a candidate: the block's place in the view, and below that the row's in the block.
OFFSET_BITS = PLACE_BITS
OFFSET_MASK = (1 << OFFSET_BITS) - 1


@dataclass(frozen=True)
class RowCopies:
    """Copies of n rows. vectors: (n, dim) float32; alive: False where the others mean nothing."""

    ids: np.ndarray
    persons: np.ndarray
    groups: np.ndarray
    vectors: np.ndarray
    alive: np.ndarray


@dataclass(frozen=True)
class View:
    """What one search sees.

    counts: rows of each block. replacements: of entries, up to when the view was made.
    """

    blocks: tuple[EntryBlock, ...] = ()
    counts: tuple[int, ...] = ()
    replacements: int = 0

    def __len__(self) -> int:
        """Number of rows, dead ones too."""
        return sum(self.counts)

    def take(self, rows: np.ndarray) -> RowCopies:
        """What stands in rows of candidates; rows: (n,) int64, ascending."""
        codec = self.blocks[0].codec
        codes = np.empty((len(rows), codec.code_size), np.uint8)
        ids, persons, groups = (np.empty(len(rows), np.int64) for _ in range(3))
        alive = np.empty(len(rows), np.bool_)
        offsets, places = rows & OFFSET_MASK, rows >> OFFSET_BITS
        ends = [*np.flatnonzero(np.diff(places)).tolist(), len(rows) - 1]
        start, decoded, vectors = 0, 0, []
        for last in ends if len(rows) else ():
            block = self.blocks[int(places[last])]
            if block.codec is not codec:
                vectors.append(codec.decoded(codes[decoded:start]))
                codec, decoded = block.codec, start
            piece = slice(start, last + 1)
            start = last + 1
            chosen, own = offsets[piece], block.entries
            # Clipping, which nothing needs, spares numpy a copy.
            own.codes.take(chosen, axis=0, out=codes[piece], mode="clip")
            own.ids.take(chosen, out=ids[piece], mode="clip")
            own.persons.take(chosen, out=persons[piece], mode="clip")
            own.groups.take(chosen, out=groups[piece], mode="clip")
            # Last: what died while it was read may have been wiped.
            block.alive.take(chosen, out=alive[piece], mode="clip")
        vectors.append(codec.decoded(codes[decoded:]))
        joined = vectors[0] if len(vectors) == 1 else np.concatenate(vectors)
        return RowCopies(ids, persons, groups, joined, alive)


class BlockTable:
    """Entries by id. One writer at a time, which the lock sees to; readers take `view`.

    storage: a name of :data:`library.index.memory.codec.STORAGES`. dim: of the vectors.
    sealed: called with a block of `block_rows` rows once it is full, and when one is restored.
    """

    def __init__(
        self,
        storage: str,
        dim: int,
        sealed: Callable[[EntryBlock], None],
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        self.storage = storage
        self.dim = dim
        self.view = View()
        self.lock = threading.Lock()
        self.block_rows = block_rows
        self._first_rows = max(1, block_rows // _FIRST_SMALLER)
        self._sealed = sealed
        self._codec: Codec | None = None
        self._groups: Counter[int] = Counter()
        self._count = 0

    def __len__(self) -> int:
        """Number of entries."""
        return self._count

    def count_in(self, groups: Sequence[int]) -> int:
        """Entries in the groups."""
        return sum(self._groups[group] for group in set(groups))

    # For the writer, which holds the lock.

    def put(
        self, ids: np.ndarray, persons: np.ndarray, groups: np.ndarray, vectors: np.ndarray
    ) -> None:
        """Add entries, instead of those with the same ids. The ids are all different."""
        codec = self._codec_for(vectors)
        # First, because it may exchange the last block, in which rows may be found.
        self._make_space(codec, len(ids))
        new = Entries(ids, persons, groups, codec.encode(vectors))
        fresh = np.ones(len(ids), np.bool_)
        replaced = {}
        for place, (which, offsets) in self._find(ids).items():
            # What is there already as it should be need not be replaced.
            same = self._equal(place, offsets, new[which], codec)
            fresh[which[same]] = False
            if not same.all():
                replaced[place] = offsets[~same]
        new = new[np.flatnonzero(fresh)]
        self._append(new, codec)
        self._note(new.groups)
        if replaced:
            self._publish(self.view.blocks, replacements=self.view.replacements + 1)
            self._kill(replaced)

    def remove(self, ids: np.ndarray) -> None:
        """Remove entries; unknown ids are ignored."""
        self._kill({place: offsets for place, (_, offsets) in self._find(ids).items()})

    def restore(self, blocks: Sequence[EntryBlock]) -> None:
        """Fill the empty table with blocks that a snapshot held."""
        for block in blocks:
            self._note(block.entries.groups[: block.count][block.alive[: block.count]])
            if block.count == self.block_rows:
                self._sealed(block)
            self._codec = block.codec
        self._publish(blocks)

    # Reading by id; under the lock too.

    def ids(self) -> np.ndarray:
        """Ids of all entries, ascending."""
        parts = [block.live().ids for block in self.view.blocks]
        return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """(n, dim) float32, NaN for unknown ids."""
        vectors = np.full((len(ids), self.dim), np.nan, np.float32)
        for place, (which, offsets) in self._find(ids).items():
            block = self.view.blocks[place]
            vectors[which] = block.codec.decoded(block.entries.codes[offsets])
        return vectors

    def _find(self, ids: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """By the block's place: which of the ids are in it, and their offsets."""
        found = {}
        for place, block in enumerate(self.view.blocks):
            offsets = block.find(ids)
            which = np.flatnonzero(offsets >= 0)
            if len(which):
                found[place] = (which, offsets[which])
        return found

    def _equal(self, place: int, offsets: np.ndarray, new: Entries, codec: Codec) -> np.ndarray:
        """Which rows hold the same as `new`, whose codes are the codec's: (n,) bool."""
        block = self.view.blocks[place]
        if block.codec is not codec:
            return np.zeros(len(offsets), np.bool_)
        own = block.entries[offsets]
        equal = (own.persons == new.persons) & (own.groups == new.groups)
        return equal & np.all(own.codes == new.codes, axis=1)

    # Blocks.

    def _publish(self, blocks: Sequence[EntryBlock], replacements: int = -1) -> None:
        if replacements < 0:
            replacements = self.view.replacements
        counts = tuple(block.count for block in blocks)
        self.view = View(tuple(blocks), counts, replacements)

    def _codec_for(self, vectors: np.ndarray) -> Codec:
        """The codec in use, or a wider one from now on where that cannot hold the vectors."""
        largest = float(np.abs(vectors).max(initial=0.0))
        if self._codec is None or self._codec.limit < min(largest, 1.0):
            limit = limit_for(self.storage, largest)
            self._codec = make_codec(self.storage, self.dim, limit)
        return self._codec

    def _append(self, new: Entries, codec: Codec) -> None:
        self._make_space(codec, len(new))
        start = 0
        while start < len(new):
            block = self.view.blocks[-1]
            if not block.space:
                block = EntryBlock.empty(codec, self.block_rows)
                self._publish((*self.view.blocks, block))
            part = new[slice(start, start + block.space)]
            block.append(part)
            start += len(part)
            self._publish(self.view.blocks)
            if block.count == self.block_rows:
                self._sealed(block)

    def _make_space(self, codec: Codec, rows: int) -> None:
        """See to it that the last block is of the codec and has space for the rows, or is full."""
        blocks = self.view.blocks
        if not blocks or blocks[-1].codec is not codec:
            self._publish((*blocks, EntryBlock.empty(codec, self._capacity(rows))))
        elif blocks[-1].space < rows and blocks[-1].capacity < self.block_rows:
            self._publish((*blocks[:-1], self._copy_of(blocks[-1], rows)))

    def _capacity(self, rows: int) -> int:
        capacity = self._first_rows
        while capacity < rows and capacity < self.block_rows:
            capacity *= _GROWTH
        return min(capacity, self.block_rows)

    def _copy_of(self, block: EntryBlock, space: int) -> EntryBlock:
        """A block with the live rows of another, and space for more, if so many are not a block."""
        copy = EntryBlock.empty(block.codec, self._capacity(block.count - block.dead + space))
        copy.append(block.live())
        return copy

    def _note(self, groups: np.ndarray) -> None:
        """Count new entries."""
        self._count += len(groups)
        self._groups.update(_counted(groups))

    def _kill(self, rows: dict[int, np.ndarray]) -> None:
        """Mark rows dead, by the block's place, and move what is left where much is dead."""
        blocks = self.view.blocks
        for place, offsets in rows.items():
            groups = blocks[place].entries.groups[offsets]
            blocks[place].kill(offsets)
            self._count -= len(groups)
            for group, count in _counted(groups).items():
                self._groups[group] -= count
                if not self._groups[group]:
                    del self._groups[group]
        for place in rows:
            block = blocks[place]
            few = max(self._first_rows / 2, _DEAD_MOST * block.count)
            if block.dead == block.count or block.dead > few:
                self._give_up(block)

    def _give_up(self, block: EntryBlock) -> None:
        """Move the live rows of a block to the end, where a search sees them in either place."""
        if block not in self.view.blocks:
            # The moving of another block has exchanged it.
            return
        if block is self.view.blocks[-1]:
            copies = (self._copy_of(block, 1),) if block.dead < block.count else ()
        else:
            copies = ()
            live = block.live()
            codec = self._codec or block.codec
            if block.codec is not codec:
                live = replace(live, codes=codec.encode(block.codec.decoded(live.codes)))
            self._append(live, codec)
        others = tuple(other for other in self.view.blocks if other is not block)
        self._publish((*others, *copies))


def _counted(groups: np.ndarray) -> dict[int, int]:
    """How often each group occurs."""
    names, counts = np.unique(groups, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist()))
