"""One app's index, kept at the database's version of the app."""

from __future__ import annotations

import itertools
import logging
import threading
import time

from library.errors import IndexLostError, IndexUnavailableError, LibraryError, SnapshotError
from library.index.base import Collection, VectorIndex
from library.records import AppState
from library.store.changes import IndexChanges
from library.sync.catch_up import Progress, can_follow, fill, follow, no_progress
from library.sync.index_storage import IndexStorage, collection_of

LOG = logging.getLogger("library")

# What an index was filled from may be exchanged meanwhile; it is filled anew, so often.
_ATTEMPTS = 3
# An index of up to so many entries is filled while a call waits, in about a tenth of a second.
WAITED_FOR = 10_000


class AppIndex:
    """The index of one app. Any thread may call any method; one at a time changes the index.

    marked: number of the last thing that is known to be missing in the index. Whoever reads a
        state of the app reads this first: the state then has what was marked up to there.
    building: whether the index is being filled with so many entries that nobody waits for it.
    """

    def __init__(self, name: str, changes: IndexChanges, storage: IndexStorage) -> None:
        self.name = name
        self.marked = 1
        self.building = False
        self._marks = itertools.count(2)
        self._cleared = 0
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
    def behind(self) -> bool:
        """Whether the index is known to lack something."""
        return self.marked > self._cleared

    def mark(self) -> None:
        """Note that the index lacks something that has been committed by now."""
        self.marked = next(self._marks)

    def get(self) -> VectorIndex | None:
        """The index as it is, None for an app without faces.

        Raises IndexUnavailableError where it is being filled, or cannot be opened.
        """
        index = self._index
        if index is None and self._at < 0:
            raise IndexUnavailableError("index_unavailable", self._reason)
        return index

    def shows(self, state: AppState) -> bool:
        """Whether searches see a state of the app."""
        index = self._index
        version = self._at if index is None else index.version
        return not self.behind and version >= state.version and _of(index) == collection_of(state)

    def is_near(self, state: AppState) -> bool:
        """Whether reaching a state takes only the changes, not all of the app's entries."""
        index = self._index
        wanted = collection_of(state)
        return wanted is None or (
            index is not None and index.collection == wanted and can_follow(index, state)
        )

    def is_outgrown(self, state: AppState) -> bool:
        """Whether the app has too many faces by now for the kind of index that it has."""
        return self._index is not None and self._storage.is_outgrown(
            self._opened_for, state.entries
        )

    def reach(self, state: AppState, marked: int, progress: Progress = no_progress) -> None:
        """Bring the index to a state of the app, or to a later one.

        marked: what `marked` was before the state was read. Raises IndexUnavailableError and
        DatabaseError; the index is `behind` then.
        """
        with self._changing:
            try:
                self._reach(state, progress)
            except LibraryError as error:
                self.mark()
                if isinstance(error, IndexUnavailableError):
                    self._reason = error.detail
                raise
            self._cleared = max(self._cleared, marked)

    def exchange(self, state: AppState) -> None:
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
            self.mark()

    def lose(self, index: VectorIndex) -> None:
        """Let go of an index that has turned out to be of no use; `reach` opens another one."""
        with self._changing:
            if self._index is index:
                self._let_go()
                self.mark()

    def forget(self) -> None:
        """Let go of the index of an app that is gone, with everything that was kept of it."""
        with self._changing, self._saving:
            index, self._index = self._index, None
            self._at = -1
            if index is not None:
                self._storage.drop(index)

    def close(self) -> None:
        """Let go of the index."""
        with self._changing:
            self._let_go()

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

    def _reach(self, state: AppState, progress: Progress) -> None:
        for _ in range(_ATTEMPTS):
            try:
                if self._reached(state, progress):
                    return
            except (SnapshotError, IndexLostError) as error:
                LOG.warning("app %s: %s", self.name, error.message)
                self._let_go()
            now = self._changes.versions(self.name).get(self.name)
            if now is None:
                self._let_go()
                return
            state = now
        raise IndexUnavailableError("index_unavailable", "The database keeps changing.")

    def _reached(self, state: AppState, progress: Progress) -> bool:
        """Whether it went well; False where the state is no longer the database's."""
        index = self._index
        collection = collection_of(state)
        if index is not None and (index.version > state.version or index.collection != collection):
            # Another thread may have been faster than this one, which has an old state then.
            state = self._changes.versions(self.name).get(self.name, state)
            collection = collection_of(state)
            if index.version > state.version or index.collection != collection:
                self._give_up(index)
                index = None
        if collection is None:
            self._at = state.version
            return True
        if index is None:
            return self._open(collection, state, progress)
        if index.version < state.version:
            self._bring(index, state, progress)
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
                self._give_up(index)
                return False
            try:
                self._bring(index, state, progress)
            except BaseException:
                index.close()
                raise
        finally:
            self.building = False
        self._index, self._opened_for = index, state.entries
        return True

    def _bring(self, index: VectorIndex, state: AppState, progress: Progress) -> None:
        self._storage.refresh(index)
        if index.version >= state.version and len(index):
            return
        if can_follow(index, state):
            follow(index, state, self._changes, progress)
        else:
            fill(index, state, self._changes, progress)

    def _give_up(self, index: VectorIndex) -> None:
        """Let go of an index whose rows the database no longer has: nobody may search it."""
        LOG.warning("app %s: the index is of another state of the database", self.name)
        self._index = None
        self._storage.drop(index)

    def _let_go(self) -> None:
        index, self._index = self._index, None
        self._at = -1
        if index is not None:
            index.close()


def _of(index: VectorIndex | None) -> Collection | None:
    return None if index is None else index.collection
