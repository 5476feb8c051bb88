"""Indexes that Milvus keeps."""

from __future__ import annotations

from library.errors import IndexUnavailableError
from library.index.milvus.collection import MilvusCollection
from library.index.milvus.connection import MilvusConnection
from library.index.milvus.index import PREFIX, MilvusIndex, collection_name
from library.index.milvus.journal import Journal
from library.index.vector_index import Collection, VectorIndex
from library.sync.index_storage import IndexStorage
from settings.library import LibraryConfig


class MilvusStorage(IndexStorage):
    """Indexes in Milvus: exact ones, and approximate ones from `approximate_from` entries on."""

    def __init__(self, config: LibraryConfig) -> None:
        self._settings = config.index
        self._keep_days = config.keep_removals_days
        uri = config.index.milvus_uri
        self._place = uri if "://" in uri else str((config.folder / uri).resolve())

    def open(self, collection: Collection, entries: int) -> VectorIndex:
        return MilvusIndex(
            collection,
            self._place,
            self._settings.milvus_token,
            approximate=self._is_approximate(entries),
            probes=self._settings.probes,
            keep_removals_days=self._keep_days,
        )

    def drop(self, index: VectorIndex) -> None:
        if isinstance(index, MilvusIndex):
            index.drop()

    def discard(self, collection: Collection) -> None:
        name = collection_name(collection)
        try:
            _discard(name, self._place, self._settings.milvus_token)
        except IndexUnavailableError as error:
            what = f"{error.detail} Its collections {name}_* are still there."
            raise IndexUnavailableError("index_unavailable", what) from error

    def refresh(self, index: VectorIndex) -> None:
        if isinstance(index, MilvusIndex):
            index.refresh()

    def is_outgrown(self, opened_for: int, entries: int) -> bool:
        return self._is_approximate(entries) and not self._is_approximate(opened_for)

    def _is_approximate(self, entries: int) -> bool:
        return entries >= self._settings.approximate_from


def _discard(name: str, place: str, token: str) -> None:
    """Take the index of that name out of Milvus, where there is one, without loading it."""
    connection = MilvusConnection.open(place, token)
    try:
        journal = Journal(connection, PREFIX, name)
        journal.open()
        journal.see(journal.now())
        state = journal.state(latest=True)
        if state is not None:
            rows = MilvusCollection(connection, f"{name}_{state.generation}")
            if rows.exists():
                rows.drop()
        journal.erase()
    finally:
        connection.close()
