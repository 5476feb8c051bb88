"""What the processes that share an index in Milvus tell each other: how far it is, what is gone.

Milvus has neither transactions nor conditional writes, so nothing stops a process that was held up
from writing an entry that another one has removed meanwhile. The journal makes that harmless:

- Who removes entries first writes a *tombstone* for each, and then deletes the entries.
- Who adds entries first writes them, and then looks for tombstones of a later version than the one
  that the entries were read from the database at, and deletes the entries that have one.

All writes stand in one order, that of the server's clock. If the tombstone was written after the
look, the deletion comes after it, and so after the entry, which it deletes; else the look finds the
tombstone. What a process leaves that dies between writing and looking is found when the index is
opened the next time, by any process, which looks for all tombstones. Ids of entries are never used
twice, so that a tombstone never means another face.

The *state* of an index is one row: the generation of its collection and the database's version that
it is at. The version is written after what it stands for. Two processes that write it at a time
can only make it lower than it could be, and then changes are applied again, which changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from pymilvus import DataType, FieldSchema

from library.index.milvus.collection import VECTOR, MilvusCollection
from library.index.milvus.connection import MilvusConnection

FORMAT = 1  # part of the name: another format is another collection
DAY_MS = 86_400_000
# Milvus wants a vector in every collection, of two components at least.
_DIM = 2
_FIELDS = (
    FieldSchema("key", DataType.VARCHAR, is_primary=True, max_length=512),
    FieldSchema("index_name", DataType.VARCHAR, max_length=255),
    FieldSchema("entry", DataType.INT64),
    FieldSchema("generation", DataType.INT64),
    FieldSchema("version", DataType.INT64),
    FieldSchema("written", DataType.INT64),
    FieldSchema(VECTOR, DataType.FLOAT_VECTOR, dim=_DIM),
)
_NO_ENTRY = -1


@dataclass(frozen=True)
class State:
    """generation: number of the index's collection. version: of the database, that it is at."""

    generation: int
    version: int


class Journal:
    """The journal's rows of one index, in a collection that all indexes of a prefix share.

    index: the index's name. Times of the server's clock are those of ``MilvusCollection``.
    """

    def __init__(self, connection: MilvusConnection, prefix: str, index: str) -> None:
        self._index = index
        self._collection = MilvusCollection(connection, f"{prefix}_journal_{FORMAT}")

    def open(self) -> None:
        """Make it where it is missing."""
        self._collection.create(_FIELDS, {"format": FORMAT})
        self._collection.make_searchable("FLAT", {})

    def state(self, latest: bool = False) -> State | None:
        """The index's state, or None before the first was written.

        latest: that of the last ``see``; else what was written in the last fifth of a second may
            be missing, and the server does not let the caller wait for it.
        """
        fields = ("generation", "version")
        for rows in self._collection.rows_of("key", [self._index], fields, latest):
            for row in rows:
                return State(int(row["generation"]), int(row["version"]))
        return None

    def write_state(self, state: State) -> int:
        """Returns the time of writing, which is later than that of every write before."""
        return self._write([self._index], np.array([_NO_ENTRY]), state.generation, state.version)

    def now(self) -> int:
        """A time later than that of every write, of any process, that has returned."""
        key = f"{self._index}#now"
        return self._write([key], np.array([_NO_ENTRY]), 0, 0)

    def see(self, time: int) -> None:
        """From now on, see what was written until then."""
        self._collection.see(time)

    def bury(self, ids: np.ndarray, version: int) -> None:
        """Write tombstones. ids: (n,) int64. version: the one that the entries are gone in."""
        self._write([f"{self._index}#{entry}" for entry in ids.tolist()], ids, 0, version)

    def buried_after(self, version: int) -> dict[int, int]:
        """Entries that are gone in a later version, each with that version."""
        condition = f'index_name == "{self._index}" and entry >= 0 and version > {version}'
        return {
            int(row["entry"]): int(row["version"])
            for rows in self._collection.rows(condition, ("entry", "version"))
            for row in rows
        }

    def prune(self, days: float) -> None:
        """Drop tombstones that are older."""
        oldest = _now_ms() - int(days * DAY_MS)
        condition = f'index_name == "{self._index}" and entry >= 0 and written < {oldest}'
        for rows in self._collection.rows(condition, ("key",)):
            self._collection.delete("key", [row["key"] for row in rows])

    def erase(self) -> None:
        """Drop all rows of this index."""
        self.see(self.now())
        for rows in self._collection.rows(f'index_name == "{self._index}"', ("key",)):
            self._collection.delete("key", [row["key"] for row in rows])

    def _write(self, keys: list[str], entries: np.ndarray, generation: int, version: int) -> int:
        count = len(keys)
        columns = [
            np.array(keys, dtype=object),
            np.full(count, self._index, dtype=object),
            entries,
            np.full(count, generation),
            np.full(count, version),
            np.full(count, _now_ms()),
            np.zeros((count, _DIM), np.float32),
        ]
        return self._collection.upsert(columns)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
