"""Where an app's index comes from, and where it is kept."""

from __future__ import annotations

import abc
import logging
from pathlib import Path
from typing import Any

from library.config import LibraryConfig
from library.errors import SnapshotError
from library.index.approximate import ApproximateIndex
from library.index.base import Collection, VectorIndex
from library.index.exact import ExactIndex
from library.index.restoring import kept
from library.index.snapshot import writing_in
from library.records import AppState

LOG = logging.getLogger("library")

# The setting counts cells, as faiss's and Milvus's do; in memory faces are chosen by sketches. So
# the default of 32 is the index's own 256 candidates.
_CANDIDATES_A_PROBE = 8


class Shelf(abc.ABC):
    """Opens indexes as the configuration says, and keeps what there is of them.

    Methods raise IndexUnavailableError where an index's server does not answer.
    """

    @abc.abstractmethod
    def open(self, collection: Collection, entries: int) -> VectorIndex:
        """The index of a collection, as far as it has been kept; empty otherwise.

        entries: how many it will hold.
        """

    @abc.abstractmethod
    def drop(self, index: VectorIndex) -> None:
        """Close an index and delete what is kept of it."""

    @abc.abstractmethod
    def discard(self, collection: Collection) -> None:
        """Delete what is kept of a collection's index, without opening it. Raises OSError."""

    def refresh(self, index: VectorIndex) -> None:  # noqa: B027 - only shared ones need it
        """Take over what other processes have done to an index that they share."""

    def is_outgrown(self, opened_for: int, entries: int) -> bool:
        """Whether an index that was opened for so many entries should be another one for these."""
        return False

    def path(self, app_id: int) -> Path | None:
        """Where the snapshot of an app is kept, or would be; None where none is."""
        return None

    def save(self, index: VectorIndex) -> None:  # noqa: B027 - only those in memory need it
        """Write the snapshot of an index. Raises OSError."""


class MemoryShelf(Shelf):
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


def make_shelf(config: LibraryConfig) -> Shelf:
    """The shelf for the kind of index that is configured."""
    if config.index.kind != "milvus":
        return MemoryShelf(config)
    # Its client takes half a second to import.
    from library.milvus_shelf import MilvusShelf

    return MilvusShelf(config)


def collection_of(state: AppState) -> Collection | None:
    """Whose faces an app's index holds, None before its first face."""
    if state.model is None or state.dim is None:
        return None
    return Collection(state.id, state.model, state.dim, state.origin)
