"""Indexes that Milvus keeps."""

from __future__ import annotations

from library.config import LibraryConfig
from library.index.base import Collection, VectorIndex
from library.index.milvus import MilvusIndex
from library.shelf import Shelf


class MilvusShelf(Shelf):
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

    def refresh(self, index: VectorIndex) -> None:
        if isinstance(index, MilvusIndex):
            index.refresh()

    def is_outgrown(self, opened_for: int, entries: int) -> bool:
        return self._is_approximate(entries) and not self._is_approximate(opened_for)

    def _is_approximate(self, entries: int) -> bool:
        return entries >= self._settings.approximate_from
