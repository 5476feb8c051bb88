"""Where an app's index is kept: what every kind of storage does."""

from __future__ import annotations

import abc
from collections.abc import Set as AbstractSet
from pathlib import Path

from library.errors import IndexUnavailableError
from library.index.vector_index import Collection, VectorIndex
from library.records import AppState


class IndexStorage(abc.ABC):
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

    def discard_of(self, state: AppState, name: str) -> None:
        """Delete what is kept of the index of an app that is going; name: of the app.

        Raises IndexUnavailableError where that cannot be done now.
        """
        collection = collection_of(state)
        if collection is None:
            return
        try:
            self.discard(collection)
        except OSError as error:
            detail = f"The snapshot of app {name} is not deleted: {error.strerror}."
            raise IndexUnavailableError("index_unavailable", detail) from error

    def sweep(self, apps: AbstractSet[int]) -> None:  # noqa: B027 - only those in memory need it
        """Delete what is kept of other apps than these: they were deleted meanwhile."""

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


def collection_of(state: AppState) -> Collection | None:
    """Whose faces an app's index holds, None before its first face."""
    if state.model is None or state.dim is None:
        return None
    return Collection(state.id, state.model, state.dim, state.origin)
