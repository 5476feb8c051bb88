"""An app's index for a command: opened and brought up to date, or deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from library.commands.session import Advance, OpenIndex, Session
from library.errors import IndexUnavailableError, SnapshotError
from library.index.vector_index import VectorIndex
from library.records import AppState
from library.store.store import Store
from library.sync.index_storage import IndexStorage, collection_of
from library.sync.index_update import apply_changes, can_apply_changes, rebuild
from library.sync.open_storage import open_storage


@contextmanager
def open_index(
    storage: IndexStorage, store: Store, app: str, advance: Advance
) -> Iterator[OpenIndex | None]:
    """The index of an app at the database's present state, None for an app without faces."""
    state = store.versions(app)[app]
    collection = collection_of(state)
    if collection is None:
        yield None
        return
    index = storage.open(collection, state.entries)
    if index.version > state.version:
        state = store.versions(app)[app]
    if index.version > state.version:
        # The database is an older one, which was put back: it does not have these entries.
        storage.drop(index)
        index = storage.open(collection, state.entries)
    try:
        yield OpenIndex(index, update(index, storage, store, state, advance))
    finally:
        index.close()


def update(
    index: VectorIndex,
    storage: IndexStorage,
    store: Store,
    state: AppState,
    advance: Advance,
) -> AppState:
    """Update an index to the database's present state; which that is."""
    storage.refresh(index)
    try:
        if can_apply_changes(index, state):
            if index.version < state.version:
                apply_changes(index, state, store, advance)
        else:
            rebuild(index, state, store, advance)
    except SnapshotError as error:
        raise IndexUnavailableError("index_unavailable", error.detail) from error
    return state


def discard_index(session: Session, app: str, before: AppState) -> None:
    """Delete what is kept of an app's index as it was before the app's rows became others.

    A running service does so too, for the index that it has open; who comes second finds nothing.
    """
    collection = collection_of(before)
    if collection is None:
        return
    try:
        open_storage(session.library).discard(collection)
    except IndexUnavailableError as error:
        session.notes.print(f"app {app}: its old index is not deleted: {error.detail}")
    except OSError as error:
        session.notes.print(f"app {app}: its old snapshot is not deleted: {error}")
