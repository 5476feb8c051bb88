"""What every vector index offers: the faces of one app, searched for persons.

An index is derived from the database and can be thrown away at any time. It holds *entries* (one
face of one person in one group, see :mod:`library.store.store`) and answers with *persons*, because
that is what a search is for: a person with twenty faces is one hit, with its best face's score.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What `Hits` holds where fewer than k persons were found.
NO_SCORE = -np.inf
NO_ID = -1


@dataclass(frozen=True)
class Collection:
    """Whose faces an index holds. Nothing of another collection may ever enter it.

    app_id: the app's id in the database.
    model: the recogniser's name. dim: length of its embeddings.
    origin: tells the app from another one that has the same id (in another database, or in this
        one after the first was deleted); a snapshot of another origin is refused.
    """

    app_id: int
    model: str
    dim: int
    origin: str = ""


@dataclass(frozen=True)
class Hits:
    """The best persons of each of q queries, best first, k to a row.

    scores: (q, k) float32, cosine of the query and the person's best face, descending; -inf
        where there is none. Persons of equal score stand in the order of their ids.
    persons: (q, k) int64, ids of persons; -1 where there is none.
    entries: (q, k) int64, id of the entry that reached the score (the lowest id of equal ones);
        -1 where there is none.
    """

    scores: np.ndarray
    persons: np.ndarray
    entries: np.ndarray

    @classmethod
    def none(cls, queries: int, k: int) -> Hits:
        """No hits: what an empty index answers."""
        shape = (queries, k)
        return cls(
            np.full(shape, NO_SCORE, np.float32),
            np.full(shape, NO_ID, np.int64),
            np.full(shape, NO_ID, np.int64),
        )

    def put(self, queries: np.ndarray, others: Hits) -> None:
        """Exchange the rows of some queries, (n,) integers, for those of `others`, in order."""
        self.scores[queries] = others.scores
        self.persons[queries] = others.persons
        self.entries[queries] = others.entries


class VectorIndex(abc.ABC):
    """The entries of one collection, searchable by cosine.

    Thread safe: any number of threads search while one at a time applies changes. A search sees
    every change that had returned when it began; of a change under way it sees whole entries only.

    collection: whose faces these are.
    version: the database's version of the app that the index is at. It never falls.
    """

    collection: Collection
    version: int

    @abc.abstractmethod
    def add(
        self,
        ids: np.ndarray,
        persons: np.ndarray,
        groups: np.ndarray,
        vectors: np.ndarray,
        version: int,
    ) -> None:
        """Add n entries; one whose id is there already is replaced.

        ids, persons, groups: (n,) int64, not negative; of an id that occurs twice the last counts.
        vectors: (n, dim) float32 of unit length.
        version: what the index is at once they are in (a batch that ends amid the rows of a
            version passes the one before).

        Raises:
            ValueError: the shapes do not fit, or a vector is not finite or not of unit length.
            IndexUnavailableError: the index's server does not answer (in-memory ones have none).
        """

    @abc.abstractmethod
    def remove(self, ids: np.ndarray, version: int) -> None:
        """Remove entries; ids that are not there are ignored.

        ids: (n,) int64. version: what the index is at once they are out.

        Raises:
            IndexUnavailableError: the index's server does not answer.
        """

    @abc.abstractmethod
    def search(self, queries: np.ndarray, k: int, groups: Sequence[int] | None = None) -> Hits:
        """The k best persons for each query.

        queries: (q, dim) float32 of unit length; q may be 0.
        k: persons a query, at least 1.
        groups: ids of the groups to look in; None means all, an empty sequence none.

        Raises:
            ValueError: the shapes do not fit, a query is not finite, or k is less than 1.
            IndexUnavailableError: the index's server does not answer.
        """

    @abc.abstractmethod
    def ids(self) -> np.ndarray:
        """Ids of all entries: (n,) int64, ascending."""

    @abc.abstractmethod
    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors as the index holds them: (n, dim) float32, a row of NaN for an unknown id.

        They differ from what was added by what the storage rounds, see `memory/codec.py`.
        """

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of entries."""

    def close(self) -> None:  # noqa: B027 - an index in memory has nothing to close
        """Let go of files and connections. The index is of no use afterwards."""
