"""Entries: a face as one user's of one group."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from library.errors import ExistsError
from library.sql.rows import LockedApp, chunks
from library.sql.tables import entry


def check_groups(connection: Connection, rows: Sequence[tuple[int, int, int]]) -> None:
    """No two users of a group get the same face. rows: entries that are to be made.

    Raises ExistsError face_exists. The app's row is locked, so that nobody else adds one meanwhile.
    """
    taken: set[tuple[int, int]] = set()
    for some in chunks(sorted({face_id for _, _, face_id in rows})):
        query = select(entry.c.group_id, entry.c.face_id).where(entry.c.face_id.in_(some))
        taken.update((group_id, face_id) for group_id, face_id in connection.execute(query))
    for group_id, _, face_id in rows:
        if (group_id, face_id) in taken:
            raise ExistsError("face_exists", "A user of the group has the face already.")
        taken.add((group_id, face_id))


def add_entries(
    connection: Connection, locked: LockedApp, rows: Sequence[tuple[int, int, int]]
) -> None:
    """Entries of (group's, person's, face's id) at the transaction's version."""
    connection.execute(
        insert(entry),
        [
            {
                "app_id": locked.id,
                "group_id": group_id,
                "person_id": person_id,
                "face_id": face_id,
                "version": locked.version,
            }
            for group_id, person_id, face_id in rows
        ],
    )
