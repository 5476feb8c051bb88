"""The index in Milvus: beyond the memory of one machine, and shared by all service processes.

Every process applies the database's changes to the same collection; :mod:`.milvus_journal` says why
they do no harm to each other. The collection bears the app's recogniser and origin in its name, so
that another recogniser's faces, or other rows with the same numbers, never meet it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from pymilvus import DataType, FieldSchema

from library.errors import IndexLostError, ModelMismatchError
from library.index.checks import (
    checked_entries,
    checked_groups,
    checked_ids,
    checked_queries,
)
from library.index.milvus.collection import VECTOR, MilvusCollection
from library.index.milvus.connection import MilvusConnection
from library.index.milvus.journal import Journal, State
from library.index.milvus.person_search import FoundEntries, search_persons
from library.index.milvus.upkeep import Upkeep
from library.index.vector_index import Collection, Hits, VectorIndex

PREFIX = "faces"
# Links of the graph, and candidates for them: in the middle of what Milvus's pages recommend.
HNSW_PARAMETERS = {"M": 16, "efConstruction": 200}
CANDIDATES_A_PROBE = 4


def collection_name(collection: Collection, prefix: str = PREFIX) -> str:
    """The name of an app's index in Milvus: letters, digits and underscores, below 255."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", prefix):
        raise ValueError(f"prefix {prefix!r}: up to 64 letters, digits and underscores")
    identity = f"{collection.model}\0{collection.origin}".encode()
    readable = re.sub(r"[^A-Za-z0-9]", "_", collection.model)[:64]
    digest = hashlib.sha256(identity).hexdigest()[:16]
    return f"{prefix}_{collection.app_id}_{readable}_{digest}"


class MilvusIndex(VectorIndex):
    """An index whose entries are rows of a Milvus collection.

    A search sees what this process has changed, at once, and what others have, after ``refresh``.

    The version is kept in Milvus, so that the index must not be told that it is at a version before
    all entries *and* removals of it are in. Who follows the database from version a to b adds the
    entries first, passing a, and then removes, passing b, be it nothing. ``remove`` must not be
    passed a version before the one that the entries went in.

    Every method raises IndexUnavailableError where Milvus does not answer, and works again when it
    does; and IndexLostError once somebody has taken the collection away, or cleared it.
    """

    def __init__(
        self,
        collection: Collection,
        place: str,
        token: str = "",
        *,
        approximate: bool = False,
        probes: int = 32,
        prefix: str = PREFIX,
        keep_removals_days: float = 7.0,
    ) -> None:
        """Open the index, made empty at version 0 where Milvus has none.

        place: ``http[s]://HOST:PORT``, or the path of a file for Milvus Lite.
        token: as Milvus takes it, ``USER:PASSWORD`` for instance.
        approximate: search a graph (HNSW); else every vector is compared, as Milvus Lite always
            does. An index of the other kind is changed, for which the server takes its time.
        probes: of an approximate search, a quarter of the candidates that it follows.
        prefix: of the names of all collections.
        keep_removals_days: how long a process may be held up within ``add`` without harm.

        Raises:
            IndexUnavailableError: Milvus cannot be reached, refuses the token, or another process
                has the file.
            ModelMismatchError: the collection of this name holds other vectors.
        """
        self.collection = collection
        self.name = collection_name(collection, prefix)
        self._approximate = approximate
        self._probes = probes
        self._writing = threading.Lock()
        self._closed = False
        self._connection = MilvusConnection.open(place, token)
        self._journal = Journal(self._connection, prefix, self.name)
        try:
            state = self._open()
            self._upkeep = Upkeep(self._rows, self._journal, not self._connection.is_lite)
            self._upkeep.sweep(keep_removals_days)
        except BaseException:
            self._connection.close()
            raise
        self._generation, self.version = state.generation, state.version

    def _open(self) -> State:
        self._journal.open()
        now = self._journal.now()
        self._journal.see(now)
        state = self._journal.state(latest=True)
        if state is None:
            state = State(generation=1, version=0)
        elif not self._rows_of(state.generation).exists():
            # A number of its own keeps a process that still follows the old one off it.
            state = State(state.generation + 1, version=0)
        self._rows = self._rows_of(state.generation)
        if not self._rows.exists():
            self._create(self._rows)
            self._journal.write_state(state)
        self._check_identity()
        self._rows.make_searchable(*self._kind())
        self._rows.see(now)
        return state

    def _rows_of(self, generation: int) -> MilvusCollection:
        return MilvusCollection(self._connection, f"{self.name}_{generation}")

    def _create(self, rows: MilvusCollection) -> None:
        fields = [
            FieldSchema("id", DataType.INT64, is_primary=True),
            FieldSchema("person", DataType.INT64),
            FieldSchema("group", DataType.INT64),
            FieldSchema("version", DataType.INT64),
            FieldSchema(VECTOR, DataType.FLOAT_VECTOR, dim=self.collection.dim),
        ]
        rows.create(fields, self._identity())

    def _identity(self) -> dict[str, Any]:
        collection = self.collection
        return {
            "app": collection.app_id,
            "model": collection.model,
            "origin": collection.origin,
        }

    def _check_identity(self) -> None:
        dim, about = self._rows.describe()
        if dim != self.collection.dim or about != self._identity():
            raise ModelMismatchError(
                "model_mismatch",
                f"Milvus's collection {self._rows.name} holds vectors of length {dim} "
                f"of {about.get('model')}, not of length {self.collection.dim} "
                f"of {self.collection.model}.",
            )

    def _kind(self) -> tuple[str, dict[str, int]]:
        # Lite has no graph, and does not change a collection's cells back and forth.
        if self._approximate and not self._connection.is_lite:
            return "HNSW", HNSW_PARAMETERS
        return "FLAT", {}

    def _search_parameters(self, rows: int) -> dict[str, int]:
        if self._kind()[0] == "FLAT":
            return {}
        # The graph takes no fewer candidates than rows are asked for.
        return {"ef": max(rows, CANDIDATES_A_PROBE * self._probes)}

    def add(
        self,
        ids: np.ndarray,
        persons: np.ndarray,
        groups: np.ndarray,
        vectors: np.ndarray,
        version: int,
    ) -> None:
        ids, persons, groups, vectors = checked_entries(
            ids, persons, groups, vectors, self.collection.dim
        )
        with self._writing:
            if len(ids):
                read_at = np.full(len(ids), version)
                time = self._rows.upsert([ids, persons, groups, read_at, vectors])
                self._upkeep.added(ids, version, time)
            if version > self.version:
                self._advance(version)

    def remove(self, ids: np.ndarray, version: int) -> None:
        gone = np.unique(checked_ids(ids))
        with self._writing:
            if len(gone):
                self._journal.bury(gone, version)
                self._rows.delete("id", gone)
            if len(gone) or version > self.version:
                written = self._advance(version)
                if len(gone):  # Milvus does not tell when it deletes: before this, at any rate
                    self._rows.see(written)

    def refresh(self) -> int:
        """The version that the index is at by what other processes have done, and see their work.

        It may be some tenths of a second behind theirs. What is done twice then does no harm.
        """
        with self._writing:
            state = self._stored_state()
            if state.version > self.version:
                self._rows.see(self._journal.now())
                self.version = state.version
            return self.version

    def _advance(self, version: int) -> int:
        """Keep the version in Milvus. Returns the time of the server's clock at which it was."""
        reached = max(version, self._stored_state().version, self.version)
        written = self._journal.write_state(State(self._generation, reached))
        self.version = reached
        return written

    def _stored_state(self) -> State:
        state = self._journal.state()
        if state is None or state.generation < self._generation:
            return State(self._generation, 0)  # the server does not show yet what this one wrote
        if state.generation > self._generation:
            raise IndexLostError("index_lost", "The index in Milvus was cleared.")
        return state

    def search(self, queries: np.ndarray, k: int, groups: Sequence[int] | None = None) -> Hits:
        queries = checked_queries(queries, k, self.collection.dim)
        wanted = checked_groups(groups)
        if not len(queries) or (wanted is not None and not len(wanted)):
            return Hits.none(len(queries), k)
        among = "" if wanted is None else f"group in {wanted.tolist()}"

        def fetch(part: np.ndarray, rows: int, left_out: Sequence[int]) -> list[FoundEntries]:
            conditions = [among, f"person not in {list(left_out)}" if left_out else ""]
            condition = " and ".join(filter(None, conditions))
            parameters = self._search_parameters(rows)
            found = self._rows.search(part, rows, ["person"], condition, parameters)
            return [_found(hits) for hits in found]

        return search_persons(fetch, queries, k)

    def ids(self) -> np.ndarray:
        # Whoever compares these with the database wants to know of what others have done, too.
        self._rows.see(self._journal.now())
        ids = [row["id"] for rows in self._rows.rows("id >= 0", ["id"]) for row in rows]
        return np.sort(np.array(ids, np.int64))

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(checked_ids(ids), return_inverse=True)
        vectors = np.full((len(wanted), self.collection.dim), np.nan, np.float32)
        for rows in self._rows.rows_of("id", wanted, ["id", VECTOR]):
            if rows:
                at = np.searchsorted(wanted, [row["id"] for row in rows])
                vectors[at] = [row[VECTOR] for row in rows]
        return vectors[places]

    def __len__(self) -> int:
        return self._rows.count()

    def clear(self) -> None:
        """Empty it, at version 0, to be filled anew. Other processes' objects are lost by it."""
        with self._writing:
            old, state = self._rows, State(self._generation + 1, version=0)
            rows = self._rows_of(state.generation)
            self._create(rows)
            rows.make_searchable(*self._kind())
            rows.see(self._journal.write_state(state))
            old.drop()
            self._rows, self._generation, self.version = rows, state.generation, 0
            self._upkeep.follow(rows)

    def drop(self) -> None:
        """Take the index out of Milvus, with all that is known of it there, and close it."""
        self._upkeep.close()
        with self._writing:
            self._rows.drop()
            self._journal.erase()
        self.close()

    def close(self) -> None:
        self._upkeep.close()
        if not self._closed:
            self._closed = True
            self._connection.close()


def _found(hits: Any) -> FoundEntries:
    return FoundEntries(
        np.array(hits.distances, np.float32),
        np.array(hits.ids, np.int64),
        np.array([hit.fields["person"] for hit in hits], np.int64),
    )
