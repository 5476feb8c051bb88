"""The change log that indexes are updated from: versions, entries and removals of the apps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, select

from library.errors import SnapshotError
from library.records import AppState, Batch
from library.sql.database import Database
from library.sql.tables import app, entry, face, removal
from library.store.removing import prune_removals
from settings.library import LibraryConfig

MS_PER_DAY = 86_400_000
# Stands for all entries of a version being behind, and for the last version of all: no row has
# this number.
_LAST = 2**63 - 1


def _page(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Entries of an app, with their embeddings; `app` and `limit` are to be given."""
    # Limited before the join: a planner without statistics might otherwise read all faces.
    page = (
        select(entry.c.id, entry.c.person_id, entry.c.group_id, entry.c.version, entry.c.face_id)
        .where(entry.c.app_id == bindparam("app"), *conditions)
        .order_by(entry.c.version, entry.c.id)
        .limit(bindparam("limit", type_=Integer))
        .subquery()
    )
    return (
        select(page.c.id, page.c.person_id, page.c.group_id, page.c.version, face.c.embedding)
        .join_from(page, face, page.c.face_id == face.c.id)
        .order_by(page.c.version, page.c.id)
    )


# Made once: asked after every commit, where putting statements together takes as long as
# running them.
_STATES = select(
    app.c.name,
    app.c.id,
    app.c.version,
    app.c.removals_floor,
    app.c.origin,
    app.c.faces,
    app.c.entries,
    app.c.model,
    app.c.dim,
)
_STATE = _STATES.where(app.c.name == bindparam("name"))
_REST_OF_VERSION = _page(entry.c.version == bindparam("version"), entry.c.id > bindparam("last"))
_LATER_VERSIONS = _page(entry.c.version > bindparam("after"), entry.c.version <= bindparam("upto"))
_REMOVALS = (
    select(removal.c.entry_id, removal.c.version)
    .where(removal.c.app_id == bindparam("app"), removal.c.version > bindparam("after"))
    .order_by(removal.c.version, removal.c.entry_id)
)
_FLOOR = select(app.c.removals_floor).where(app.c.id == bindparam("app"))


class ChangeLog:
    """The part of the store that indexes read: what came and what went, and since when."""

    _config: LibraryConfig
    _database: Database

    def versions(self, only: str | None = None) -> dict[str, AppState]:
        """The state of every app by its name, in one consistent look. Cheap enough for polling.

        only: the name of the one app that is wanted, which is left out where it is not there.
        """
        query, values = (_STATES, {}) if only is None else (_STATE, {"name": only})
        with self._database.reading() as connection:
            return {name: AppState(*state) for name, *state in connection.execute(query, values)}

    def entries_after(
        self, app_id: int, version: int, limit: int = 10_000, upto: int | None = None
    ) -> Iterator[Batch]:
        """Entries with versions in (version, upto], at most `limit` a batch, oldest first.

        An index takes `upto` from `versions`, applies these, then `removals_after`, and is at
        `upto` then. Batches end anywhere, also amid the entries of a version. No transaction is
        held between two batches. Faces whose embedding has another length than the others'
        are left out; `check` names them.
        """
        last = (version, _LAST)
        while True:
            with self._database.reading() as connection:
                rows = _entries_page(connection, app_id, last, upto, limit)
            if rows:
                yield _batch_of(rows)
                last = (rows[-1][3], rows[-1][0])
            if len(rows) < limit:
                return

    def removals_after(self, app_id: int, version: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of entries removed after a version, and the versions: both (n,) int64.

        Raises SnapshotError snapshot_mismatch where removals that old have been dropped.
        """
        with self._database.reading() as connection:
            rows = connection.execute(_REMOVALS, {"app": app_id, "after": version}).all()
            # Read last: what was dropped before or meanwhile is seen here.
            floor = connection.scalar(_FLOOR, {"app": app_id})
        if floor is None or floor > version:
            raise SnapshotError("snapshot_mismatch", f"Version {version} of app {app_id} is old.")
        numbers = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
        return numbers[:, 0], numbers[:, 1]

    def entry_ids(self, app_id: int) -> np.ndarray:
        """Ids of an app's entries: (n,) int64, ascending; what an index has to hold."""
        with self._database.reading() as connection:
            query = select(entry.c.id).where(entry.c.app_id == app_id)
            ids = np.fromiter(
                connection.scalars(query.execution_options(yield_per=10_000)), np.int64
            )
        ids.sort()
        return ids

    def prune_removals(self) -> int:
        """Drop removals older than `keep_removals_days`; how many."""
        before = int(time.time() * 1000 - self._config.keep_removals_days * MS_PER_DAY)
        old = select(removal.c.app_id).where(removal.c.created < before).distinct()
        with self._database.reading() as connection:
            apps = connection.scalars(old).all()
        prune = [partial(prune_removals, app_id=one, before_ms=before) for one in apps]
        return sum(self._database.write(one) for one in prune)


def _entries_page(
    connection: Connection, app_id: int, after: tuple[int, int], upto: int | None, limit: int
) -> list[Any]:
    """Up to `limit` rows of (id, person, group, version, embedding) behind (version, id).

    The rest of the version that the page before ended in comes first: two simple conditions that
    every database answers from its index, where MySQL does not for a comparison of pairs.
    """
    version, last = after
    rows: list[Any] = []
    if last != _LAST:
        values = {"app": app_id, "version": version, "last": last, "limit": limit}
        rows = list(connection.execute(_REST_OF_VERSION, values).all())
    if len(rows) < limit:
        until = _LAST if upto is None else upto
        values = {"app": app_id, "after": version, "upto": until, "limit": limit - len(rows)}
        rows += connection.execute(_LATER_VERSIONS, values).all()
    return rows


def _batch_of(rows: list[Any]) -> Batch:
    """Arrays of at least one row."""
    lengths = Counter(len(row[4]) for row in rows)
    if len(lengths) > 1:
        usual = lengths.most_common(1)[0][0]
        rows = [row for row in rows if len(row[4]) == usual]
    ids, persons, groups, versions, embeddings = zip(*rows)
    return Batch(
        np.array(ids, np.int64),
        np.array(persons, np.int64),
        np.array(groups, np.int64),
        np.array(versions, np.int64),
        np.frombuffer(b"".join(embeddings), "<f4").reshape(len(rows), -1),
    )
