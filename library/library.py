"""The library: faces that are stored, searched by likeness, and named."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import numpy as np

from inference.scores import Recogniser
from library.errors import (
    IndexLostError,
    IndexUnavailableError,
    InvalidError,
    LibraryError,
    LimitError,
    ModelMismatchError,
    NotFoundError,
)
from library.index.vector_index import Hits, VectorIndex
from library.records import Enrolment, IndexPlace, Person
from library.store.store import Store
from library.sync.app_indexes import AppIndexes, AppProgress
from library.sync.index_update import no_progress
from library.validation import unit_vectors
from settings.library import LibraryConfig

LOG = logging.getLogger("library")

T = TypeVar("T")

# A search that met people who are gone, or an index that is, is made again so often.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Hit:
    """A user that a search found. score: 0 to 100. cosine: of the user's best face, -1 to 1."""

    group: str
    user: str
    info: str
    score: float
    cosine: float


class Library:
    """The store and an index per app. Thread safe; several processes may have one library.

    A search sees what a call of this process has written once that call has returned, and what
    other processes have committed after `poll_ms` at the latest. Everything that only reads the
    database is in `store`; writing goes through this class.

    All methods raise LibraryError: what the store raises, and IndexUnavailableError while an
    app's index is filled or its server is away. Searches need the database as well, for the names
    of whom they find.
    """

    def __init__(
        self,
        config: LibraryConfig,
        recogniser: Recogniser,
        apps: Collection[str] | None = None,
        progress: AppProgress = lambda _: no_progress,
    ) -> None:
        """Open the database and the index of every app, from a snapshot where there is one.

        recogniser: makes the embeddings that are enrolled and searched. apps: whose faces are
        going to be searched; None for all. progress: told how the indexes are filled.
        Raises DatabaseError.
        """
        self.recogniser = recogniser
        self._limits = config.limits
        self.store = Store(config)
        self._indexes = AppIndexes(config, self.store, apps)
        try:
            self._indexes.start(progress)
            self.store.watch()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Write snapshots and let go of everything."""
        self._indexes.close()
        self.store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Writing: as the store's methods, and the index follows before they return.

    def create_group(self, app: str, group: str) -> None:
        """See Store.create_group."""
        self._write(app, lambda: self.store.create_group(app, group))

    def delete_app(self, app: str) -> None:
        """Delete an app and its index; what was cut off is done by calling again.

        The app's row goes last: it tells where an index is that is still to be deleted.
        """
        self._indexes.discard(app, self.store.clear_app(app))
        self._write(app, lambda: self.store.delete_app(app))

    def delete_group(self, app: str, group: str) -> None:
        """See Store.delete_group."""
        self._write(app, lambda: self.store.delete_group(app, group))

    def enrol(
        self,
        app: str,
        enrolments: Sequence[Enrolment],
        replace: bool = False,
        create_users: bool = True,
        create_groups: bool = False,
    ) -> list[str]:
        """See Store.enrol; embeddings of another recogniser raise ModelMismatchError."""
        for one in enrolments:
            if one.face.model != self.recogniser.name:
                raise self._mismatch(f"An embedding of {one.face.model}")
        return self._write(
            app,
            lambda: self.store.enrol(
                app,
                enrolments,
                replace,
                create_users=create_users,
                create_groups=create_groups,
            ),
        )

    def update_user(self, app: str, group: str, user: str, info: str) -> None:
        """See Store.update_user."""
        self.store.update_user(app, group, user, info)

    def copy_user(self, app: str, user: str, source: str, target: str) -> None:
        """See Store.copy_user."""
        self._write(app, lambda: self.store.copy_user(app, user, source, target))

    def delete_user(self, app: str, user: str, group: str | None = None) -> None:
        """See Store.delete_user."""
        self._write(app, lambda: self.store.delete_user(app, user, group))

    def delete_face(self, app: str, group: str, user: str, token: str) -> None:
        """See Store.delete_face."""
        self._write(app, lambda: self.store.delete_face(app, group, user, token))

    # Searching.

    def search(
        self,
        app: str,
        queries: Sequence[np.ndarray] | np.ndarray,
        groups: Sequence[str] | None = None,
        users: int = 5,
        threshold: float = 0.0,
    ) -> list[list[Hit]]:
        """The users most like each query, best first; of equal ones the longest enrolled first.

        queries: (q, dim) real numbers, or q rows; all are compared in one pass.
        groups: where to look; None is everywhere in the app. A user who is in several of them is
            found in each.
        users: how many at most for a query. threshold: score from which on they count, 0 to 100.

        A user's score is that of the best of the user's faces. Raises NotFoundError app_not_found
        or group_not_found, ModelMismatchError, InvalidError, LimitError, IndexUnavailableError,
        DatabaseError.
        """
        vectors = self._queries(queries)
        self._check_limits(len(vectors), groups, users, threshold)
        error: IndexUnavailableError | None = None
        for _ in range(_ATTEMPTS):
            wanted = None if groups is None else self.store.resolve_groups(app, groups)
            index = self._index(app, known=groups is not None)
            if index is None or not len(vectors):
                return [[] for _ in vectors]
            try:
                hits = index.search(vectors, users, wanted)
            except IndexUnavailableError as raised:
                error = raised
                self._renew(app, index, lost=isinstance(raised, IndexLostError))
                continue
            found = hits.persons[hits.persons >= 0]
            persons = self.store.describe_persons(
                app, np.unique(found).tolist(), index.collection.origin
            )
            if len(persons) == len(np.unique(found)):
                return self._hits(hits, persons, threshold)
            # Somebody has been deleted, by another process, and others may be next in the order.
            self._indexes.catch_up(app)
        if error is not None:
            raise error
        return self._hits(hits, persons, threshold)

    def score_user(self, app: str, group: str, user: str, query: np.ndarray) -> Hit:
        """How like a query is to one user; by the user's stored faces, not by the index.

        Raises NotFoundError group_not_found or user_not_found, and as `search`.
        """
        (vector,) = self._queries([query])
        (person,) = self.store.user(app, user, group)
        best = -1.0
        for summary in self.store.faces(app, group, user):
            face = self.store.face(app, summary.token)
            self._check_model(app, face.model, len(face.embedding))
            best = max(best, float(face.embedding @ vector))
        return Hit(group, user, person.info, self._score(best), best)

    def check(self) -> None:
        """Raise DatabaseError or IndexUnavailableError unless all calls can be answered now."""
        self.store.check_health()
        self._indexes.check()

    def index_places(self) -> dict[str, IndexPlace]:
        """How far each app's index is, by the app's name."""
        return self._indexes.places()

    def save_snapshot(self, app: str) -> None:
        """Write the app's snapshot now, where its index has changed. Raises OSError."""
        self._indexes.save(app)

    def _write(self, app: str, work: Callable[[], T]) -> T:
        done = work()
        try:
            self._indexes.catch_up(app)
        except LibraryError as error:
            # It has been committed. The index is marked as stale, and follows before the next
            # search, or that says why it cannot.
            LOG.warning("app %s: the index follows later: %s", app, error.message)
        return done

    def _index(self, app: str, known: bool) -> VectorIndex | None:
        """The index to search, of the right recogniser; None for an app without faces."""
        if not known and app not in self.store.versions(app):
            raise NotFoundError("app_not_found", f"There is no app {app}.")
        index = self._indexes.app(app).get()
        if index is not None:
            self._check_model(app, index.collection.model, index.collection.dim)
        return index

    def _renew(self, app: str, index: VectorIndex, lost: bool) -> None:
        """Open another index in place of one that was lost, or exchanged while it was searched."""
        if lost:
            self._indexes.app(app).invalidate(index)
        self._indexes.catch_up(app)

    def _queries(self, queries: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        if not len(queries):
            return np.empty((0, self.recogniser.dim), np.float32)
        vectors = unit_vectors(list(queries))
        if vectors.shape[1] != self.recogniser.dim:
            raise self._mismatch(f"A query of {vectors.shape[1]} numbers")
        return vectors

    def _check_limits(
        self, queries: int, groups: Sequence[str] | None, users: int, threshold: float
    ) -> None:
        if groups is not None and (isinstance(groups, str) or not len(groups)):
            raise InvalidError("invalid_value", "The groups are to be a list of at least one.")
        if users < 1:
            raise InvalidError("invalid_value", f"users is {users!r}, not a number from 1.")
        if not 0 <= threshold <= 100:
            raise InvalidError("invalid_value", f"threshold is {threshold!r}, not 0 to 100.")
        limits = self._limits
        for what, count, most in (
            ("queries", queries, limits.queries_per_search),
            ("groups", 0 if groups is None else len(groups), limits.groups_per_search),
            ("users", users, limits.users_per_search),
        ):
            if count > most:
                raise LimitError("limit_exceeded", f"{count} {what}, at most {most} are allowed.")

    def _check_model(self, app: str, model: str, dim: int) -> None:
        if (model, dim) != (self.recogniser.name, self.recogniser.dim):
            raise self._mismatch(f"App {app} has faces of {model}, {dim} numbers each")

    def _mismatch(self, what: str) -> ModelMismatchError:
        ours = self.recogniser
        return ModelMismatchError(
            "model_mismatch", f"{what}; this library's recogniser is {ours.name} with {ours.dim}."
        )

    def _hits(self, hits: Hits, persons: dict[int, Person], threshold: float) -> list[list[Hit]]:
        scores = self.recogniser.scores.of_cosine(hits.scores)
        found: list[list[Hit]] = []
        for ids, row, cosines in zip(hits.persons.tolist(), scores.tolist(), hits.scores.tolist()):
            found.append(
                [
                    Hit(
                        persons[id_].group, persons[id_].user, persons[id_].info, score,
                        min(cosine, 1.0),
                    )
                    for id_, score, cosine in zip(ids, row, cosines)
                    if id_ in persons and score >= threshold
                ]
            )  # fmt: skip
        return found

    def _score(self, cosine: float) -> float:
        return float(self.recogniser.scores.of_cosine(cosine))
