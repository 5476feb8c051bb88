"""One app's index, kept at the database's version of the app."""

from __future__ import annotations

import itertools
import logging
import threading
import time

from library.errors import IndexLostError, IndexUnavailableError, LibraryError, SnapshotError
from library.index.vector_index import Collection, VectorIndex
from library.records import AppState
from library.store.change_log import ChangeLog
from library.sync.index_storage import IndexStorage, collection_of
from library.sync.index_update import (
    Progress,
    apply_changes,
    can_apply_changes,
    no_progress,
    rebuild,
)

LOG = logging.getLogger("library")

# The database may be replaced while an index is built from it; it is built again, so often.
_ATTEMPTS = 3
# An index of up to so many entries is built while a call waits, in about a tenth of a second.
WAITED_FOR = 10_000


class AppIndex:
    """The index of one app. Any thread may call any method; one at a time changes the index.

    stale_mark: number of the last thing that is known to be missing in the index. Whoever reads a
        state of the app reads this first: the state then has what was marked up to there.
    building: whether so many entries are being put into the index that nobody waits for it.
    """

    def __init__(self, name: str, changes: ChangeLog, storage: IndexStorage) -> None:
        self.name = name
        self.stale_mark = 1
        self.building = False
        self._stale_marks = itertools.count(2)
        self._cleared_mark = 0
        self._changes = changes
        self._storage = storage
        self._index: VectorIndex | None = None
        # Of an app without faces; the index has its own.
        self._at = -1
        self._reason = f"The index of app {name} is being filled."
        # How many entries the index was opened for.
        self._opened_for = 0
        self._saved = -1
        self._saved_at = float("-inf")
        self._changing = threading.Lock()
        self._saving = threading.Lock()

    @property
    def stale(self) -> bool:
        """Whether the index is known to lack something."""
        return self.stale_mark > self._cleared_mark

    def mark_stale(self) -> None:
        """Note that the index lacks something that has been committed by now."""
        self.stale_mark = next(self._stale_marks)

    def get(self) -> VectorIndex | None:
        """The index as it is, None for an app without faces.

        Raises IndexUnavailableError where it is being filled, or cannot be opened.
        """
        index = self._index
        if index is None and self._at < 0:
            raise IndexUnavailableError("index_unavailable", self._reason)
        return index

    def is_current(self, state: AppState) -> bool:
        """Whether searches see a state of the app."""
        index = self._index
        version = self._at if index is None else index.version
        return not self.stale and version >= state.version and _of(index) == collection_of(state)

    def reached(self, state: AppState) -> int:
        """The version of the app that searches see, one before a state's where they lack it."""
        if self.is_current(state):
            return state.version
        index = self._index
        version = self._at if index is None else index.version
        return max(min(version, state.version - 1), 0)

    def needs_changes_only(self, state: AppState) -> bool:
        """Whether reaching a state takes only the changes, not all of the app's entries."""
        index = self._index
        wanted = collection_of(state)
        return wanted is None or (
            index is not None and index.collection == wanted and can_apply_changes(index, state)
        )

    def is_outgrown(self, state: AppState) -> bool:
        """Whether the app has too many faces by now for the kind of index that it has."""
        return self._index is not None and self._storage.is_outgrown(
            self._opened_for, state.entries
        )

    def update_to(self, state: AppState, stale_mark: int, progress: Progress = no_progress) -> None:
        """Bring the index to a state of the app, or to a later one.

        stale_mark: as it was before the state was read. Raises IndexUnavailableError and
        DatabaseError; the index is `stale` then.
        """
        with self._changing:
            try:
                self._update_to(state, progress)
            except LibraryError as error:
                self.mark_stale()
                if isinstance(error, IndexUnavailableError):
                    self._reason = error.detail
                raise
            self._cleared_mark = max(self._cleared_mark, stale_mark)

    def reopen(self, state: AppState) -> None:
        """Open an index that suits the number of faces, and search that from then on."""
        collection = collection_of(state)
        if collection is None:
            return
        index = self._storage.open(collection, state.entries)
        with self._changing:
            old = self._index
            if old is None or old.collection != collection:
                index.close()
                return
            self._index, self._opened_for = index, state.entries
            old.close()
            self.mark_stale()

    def invalidate(self, index: VectorIndex) -> None:
        """Close an index that has turned out to be of no use; `update_to` opens another one."""
        with self._changing:
            if self._index is index:
                self._close()
                self.mark_stale()

    def drop(self) -> None:
        """Close the index of an app that is gone, and delete everything that was kept of it."""
        with self._changing, self._saving:
            index, self._index = self._index, None
            self._at = -1
            if index is not None:
                self._storage.drop(index)

    def close(self) -> None:
        """Close the index."""
        with self._changing:
            self._close()

    def wants_saving(self, interval_s: float) -> bool:
        """Whether the index has changed, and its last snapshot is older than that."""
        index = self._index
        changed = index is not None and index.version != self._saved
        return changed and time.monotonic() - self._saved_at >= interval_s

    def save(self) -> None:
        """Write a snapshot where the index has changed since the last one. Raises OSError."""
        with self._saving:
            index = self._index
            if index is None or index.version == self._saved:
                return
            self._saved_at = time.monotonic()
            version = index.version
            self._storage.save(index)
            self._saved = version

    def _update_to(self, state: AppState, progress: Progress) -> None:
        for _ in range(_ATTEMPTS):
            try:
                if self._try_update(state, progress):
                    return
            except (SnapshotError, IndexLostError) as error:
                LOG.warning("app %s: %s", self.name, error.message)
                self._close()
            now = self._changes.versions(self.name).get(self.name)
            if now is None:
                self._close()
                return
            state = now
        raise IndexUnavailableError("index_unavailable", "The database keeps changing.")

    def _try_update(self, state: AppState, progress: Progress) -> bool:
        """Whether it went well; False where the state is no longer the database's."""
        index = self._index
        collection = collection_of(state)
        if index is not None and (index.version > state.version or index.collection != collection):
            # Another thread may have been faster than this one, which has an old state then.
            state = self._changes.versions(self.name).get(self.name, state)
            collection = collection_of(state)
            if index.version > state.version or index.collection != collection:
                self._drop(index)
                index = None
        if collection is None:
            self._at = state.version
            return True
        if index is None:
            return self._open(collection, state, progress)
        if index.version < state.version:
            self._apply(index, state, progress)
        return True

    def _open(self, collection: Collection, state: AppState, progress: Progress) -> bool:
        """Open an index, fill it and put it in place."""
        self.building = state.entries > WAITED_FOR
        try:
            index = self._storage.open(collection, state.entries)
            self._saved = index.version if len(index) else -1
            if index.version > state.version:
                state = self._changes.versions(self.name).get(self.name, state)
            if index.version > state.version or index.collection != collection_of(state):
                self._drop(index)
                return False
            try:
                self._apply(index, state, progress)
            except BaseException:
                index.close()
                raise
        finally:
            self.building = False
        self._index, self._opened_for = index, state.entries
        return True

    def _apply(self, index: VectorIndex, state: AppState, progress: Progress) -> None:
        self._storage.refresh(index)
        if index.version >= state.version and len(index):
            return
        if can_apply_changes(index, state):
            apply_changes(index, state, self._changes, progress)
        else:
            rebuild(index, state, self._changes, progress)

    def _drop(self, index: VectorIndex) -> None:
        """Delete an index whose rows the database no longer has: nobody may search it."""
        LOG.warning("app %s: the index is of another state of the database", self.name)
        self._index = None
        self._storage.drop(index)

    def _close(self) -> None:
        index, self._index = self._index, None
        self._at = -1
        if index is not None:
            index.close()


def _of(index: VectorIndex | None) -> Collection | None:
    return None if index is None else index.collection
