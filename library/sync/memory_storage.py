"""Indexes in memory, and the folder of their snapshots."""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from library.errors import SnapshotError
from library.index.memory.approximate import ApproximateIndex
from library.index.memory.exact import ExactIndex
from library.index.memory.restoring import kept
from library.index.memory.snapshot import writing_in
from library.index.vector_index import Collection, VectorIndex
from library.sync.index_storage import IndexStorage
from settings.library import LibraryConfig

LOG = logging.getLogger("library")

# The setting counts cells, as faiss's and Milvus's do; in memory faces are chosen by sketches. So
# the default of 32 is the index's own 256 candidates.
_CANDIDATES_A_PROBE = 8


class MemoryStorage(IndexStorage):
    """Indexes in memory, and their snapshots."""

    def __init__(self, config: LibraryConfig) -> None:
        self._settings = config.index
        self._folder = config.snapshot_dir()

    def open(self, collection: Collection, entries: int) -> VectorIndex:
        kind, options = self._kind()
        path = self.path(collection.app_id)
        if path is not None and path.exists():
            try:
                return kind.load(path, collection, **options)
            except SnapshotError as error:
                LOG.warning("%s: %s", path, error.message)
            except FileNotFoundError:
                LOG.info("%s: gone since it was seen", path)
        return kind(collection, **options)

    def drop(self, index: VectorIndex) -> None:
        index.close()
        self.discard(index.collection)

    def discard(self, collection: Collection) -> None:
        path = self.path(collection.app_id)
        if path is None or not path.exists():
            return
        with writing_in(path.parent):
            there = kept(path)
            # Another collection's has the same name, and its faces are not these.
            if there is None or there[0] == collection:
                path.unlink(missing_ok=True)

    def sweep(self, apps: AbstractSet[int]) -> None:
        if self._folder is None or not self._folder.is_dir():
            return
        kept_of = {path for app_id in apps if (path := self.path(app_id)) is not None}
        for path in self._folder.glob("app-*.index"):
            if path in kept_of:
                continue
            try:
                with writing_in(self._folder):
                    path.unlink(missing_ok=True)
            except OSError as error:
                LOG.warning("%s: not deleted: %s", path, error)

    def path(self, app_id: int) -> Path | None:
        return self._folder / f"app-{app_id}.index" if self._folder is not None else None

    def save(self, index: VectorIndex) -> None:
        path = self.path(index.collection.app_id)
        if path is not None and isinstance(index, ExactIndex):
            path.parent.mkdir(parents=True, exist_ok=True)
            index.save(path)

    def _kind(self) -> tuple[type[ExactIndex], dict[str, Any]]:
        """The class of the indexes, and its settings."""
        settings = self._settings
        options: dict[str, Any] = {"storage": settings.storage, "threads": settings.threads}
        if settings.kind == "exact":
            return ExactIndex, options
        # It searches exactly up to that many entries, and needs no exchange for another one then.
        options["approximate_from"] = settings.approximate_from
        options["candidates"] = _CANDIDATES_A_PROBE * settings.probes
        return ApproximateIndex, options
