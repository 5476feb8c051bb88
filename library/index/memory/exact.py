"""The exact index: every face is compared, and the best persons are certainly the best.

Exact means: in the order of the stored vectors' cosines. What the storage changes in them is
said in :mod:`library.index.memory.codec`; with `float32` it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from library.index.checks import checked_entries, checked_groups, checked_ids, checked_queries
from library.index.memory.block_table import BlockTable, View
from library.index.memory.candidates import parts_of
from library.index.memory.codec import AUTO, STORAGES
from library.index.memory.entry_block import BLOCK_ROWS, EntryBlock
from library.index.memory.faiss_engine import cores
from library.index.memory.ranking import certain, scored
from library.index.memory.restoring import kept, restore
from library.index.memory.scan import scan
from library.index.memory.snapshot import Snapshot, writing_in
from library.index.vector_index import Collection, Hits, VectorIndex

# Faces fetched for k persons: at least, and each. Most persons have a few faces.
_FETCHED_LEAST = 64
_FETCHED_A_PERSON = 4
# Groups with more than this share of all entries are not looked for, but filtered out afterwards.
_SHARE_MOST = 1 / 4
# How much more is fetched where that was not enough.
_FETCHED_MORE = 8
# And how much at most for several queries at once.
_FETCHED_TOGETHER = 1 << 20

T = TypeVar("T", bound="ExactIndex")
# Searches begun anew because entries were replaced; after these the writer has to wait.
_ATTEMPTS = 2


class ExactIndex(VectorIndex):
    """All entries in memory, in blocks.

    storage: "float32", "fp16", "sq8", or "auto" for the one that was measured to be best.
    threads: of one search; 0 for one a core.
    block_rows: rows of a block, by which memory is taken and given back.

    Raises ValueError for a storage that is not known.
    """

    def __init__(
        self,
        collection: Collection,
        storage: str = "auto",
        threads: int = 0,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        storage = AUTO if storage == "auto" else storage
        if storage not in STORAGES:
            raise ValueError(f"storage {storage!r}: auto, {', '.join(STORAGES)} are known")
        self.collection = collection
        self.version = 0
        self.threads = threads or cores()
        self.table = BlockTable(storage, collection.dim, self._sealed, block_rows)

    def add(
        self,
        ids: np.ndarray,
        persons: np.ndarray,
        groups: np.ndarray,
        vectors: np.ndarray,
        version: int,
    ) -> None:
        entries = checked_entries(ids, persons, groups, vectors, self.collection.dim)
        with self.table.lock:
            if len(entries[0]):
                self.table.put(*entries)
            self.version = max(self.version, version)

    def remove(self, ids: np.ndarray, version: int) -> None:
        with self.table.lock:
            self.table.remove(np.unique(checked_ids(ids)))
            self.version = max(self.version, version)

    def search(self, queries: np.ndarray, k: int, groups: Sequence[int] | None = None) -> Hits:
        queries = checked_queries(queries, k, self.collection.dim)
        wanted = checked_groups(groups)
        if not len(queries):
            return Hits.none(0, k)
        for _ in range(_ATTEMPTS):
            view = self.table.view
            hits = self._search(view, queries, k, wanted)
            # An entry that was replaced meanwhile is dead in this view, and new in the next one.
            if self.table.view.replacements == view.replacements:
                return hits
        with self.table.lock:
            return self._search(self.table.view, queries, k, wanted)

    def save(self, path: Path) -> None:
        """Write a snapshot; the one that was there is exchanged for a whole one, or stays.

        It stays where another process has written one of a later version. Searches and changes
        go on meanwhile. Raises OSError where it cannot be written.
        """
        with writing_in(path.parent):
            there = kept(path)
            with self.table.lock:
                snapshot = Snapshot.of(self.table, self.collection, self.version)
            if there is None or there[0] != self.collection or there[1] <= snapshot.version:
                snapshot.write(path)

    @classmethod
    def load(cls: type[T], path: Path, collection: Collection, **settings: Any) -> T:
        """The index that a snapshot holds; the file stays in use and must not be written to.

        settings: as the class takes them.

        Raises:
            SnapshotError: it is damaged, or of another collection or storage.
            FileNotFoundError: there is none.
        """
        index = cls(collection, **settings)
        index.version = restore(index.table, collection, path)
        return index

    def ids(self) -> np.ndarray:
        with self.table.lock:
            return self.table.ids()

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        with self.table.lock:
            return self.table.vectors(checked_ids(ids))

    def __len__(self) -> int:
        return len(self.table)

    def _search(self, view: View, queries: np.ndarray, k: int, groups: np.ndarray | None) -> Hits:
        """The best k persons that the view shows. groups: (g,) int64, None for all."""
        hits = Hits.none(len(queries), k)
        fetched = max(_FETCHED_LEAST, _FETCHED_A_PERSON * k)
        chosen = groups
        share = self._share(groups)
        if share > _SHARE_MOST:
            # To look at all takes less time than to pick out most.
            chosen, fetched = None, int(fetched / share)
        left = np.arange(len(queries))
        # Both ways of scoring add dim products, in sum at most 1, with half a unit's error each.
        tolerance = self.collection.dim * 2.0**-23
        while len(left) and len(view):
            fetched = min(fetched, len(view))
            again = []
            together = max(1, _FETCHED_TOGETHER // fetched)
            for start in range(0, len(left), together):
                part = left[start : start + together]
                parts = parts_of(view, chosen)
                candidates = scan(queries[part], parts, fetched, self.threads)
                found = scored(queries[part], candidates, view, groups).hits(k)
                hits.put(part, found)
                again.append(part[~certain(found, candidates, tolerance)])
            left = np.concatenate(again) if fetched < len(view) else left[:0]
            fetched *= _FETCHED_MORE
        return hits

    def _share(self, groups: np.ndarray | None) -> float:
        """The groups' share of all entries."""
        if groups is None:
            return 1.0
        return self.table.count_in(groups.tolist()) / max(1, len(self.table))

    def _sealed(self, block: EntryBlock) -> None:
        """A block is full."""
