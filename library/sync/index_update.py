"""Updating an index to a version of its app: by the changes since its own, or rebuilt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from library.index.vector_index import VectorIndex
from library.records import AppState
from library.store.change_log import ChangeLog

# Called with how many entries are in, and how many there will be.
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """For those who do not want to know."""


def can_apply_changes(index: VectorIndex, state: AppState) -> bool:
    """Whether the change log still has all changes since the index's version."""
    return bool(index.version or len(index)) and index.version >= state.floor


def apply_changes(
    index: VectorIndex, state: AppState, changes: ChangeLog, progress: Progress = no_progress
) -> None:
    """Apply the changes between the index's version and the state's.

    Raises SnapshotError where the log no longer has them, IndexUnavailableError, DatabaseError.
    """
    start = index.version
    _add(index, state, start, changes, progress)
    gone, _ = changes.removals_after(state.id, start)
    index.remove(gone, state.version)


def rebuild(
    index: VectorIndex, state: AppState, changes: ChangeLog, progress: Progress = no_progress
) -> None:
    """Put all of the app's entries in, and out what it has not. Raises as `apply_changes`."""
    was_empty = not len(index)
    _add(index, state, 0, changes, progress)
    if was_empty:
        gone, _ = changes.removals_after(state.id, state.version)
    else:
        # The index first: what another process puts in now is in the database already.
        there = index.ids()
        gone = np.setdiff1d(there, changes.entry_ids(state.id))
    index.remove(gone, state.version)


def _add(
    index: VectorIndex, state: AppState, start: int, changes: ChangeLog, progress: Progress
) -> None:
    done = 0
    for batch in changes.entries_after(state.id, start, upto=state.version):
        # The index is at the state's version once all are in and what was removed is out.
        index.add(batch.ids, batch.persons, batch.groups, batch.vectors, index.version)
        done += len(batch)
        progress(done, max(done, state.entries))
