"""The index of an app for a command: from the snapshot or Milvus, brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from library.commands.session import Advance, OpenIndex
from library.errors import IndexUnavailableError, SnapshotError
from library.filling import can_follow, fill, follow
from library.index.base import VectorIndex
from library.records import AppState
from library.shelf import Shelf, collection_of
from library.store import Store


@contextmanager
def open_index(
    shelf: Shelf, store: Store, app: str, advance: Advance
) -> Iterator[OpenIndex | None]:
    """The index of an app at the database's present state, None for an app without faces."""
    state = store.versions(app)[app]
    collection = collection_of(state)
    if collection is None:
        yield None
        return
    index = shelf.open(collection, state.entries)
    try:
        yield OpenIndex(index, bring(index, shelf, store, state, app, advance))
    finally:
        index.close()


def bring(
    index: VectorIndex, shelf: Shelf, store: Store, state: AppState, app: str, advance: Advance
) -> AppState:
    """Bring an index to the database's present state; which that is."""
    shelf.refresh(index)
    try:
        if can_follow(index, state):
            if index.version < state.version:
                follow(index, state, store, advance)
        else:
            fill(index, state, store, advance)
    except SnapshotError as error:
        raise IndexUnavailableError("index_unavailable", error.detail) from error
    return state
