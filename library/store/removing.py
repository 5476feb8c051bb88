"""Taking entries, faces, users, groups and apps out of the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from library.errors import NotFoundError
from library.sql.rows import (
    LockedApp,
    chunks,
    count_changes,
    entries_of,
    group_id_of,
    lock_app,
    not_found,
    now_ms,
    person_id_of,
)
from library.sql.tables import app, entry, face, face_group, person, removal


def clear_app(connection: Connection, app_name: str) -> None:
    """Delete all that an app has. Its row stays: indexes follow, and others can be dropped by it.

    Raises NotFoundError app_not_found.
    """
    _clear_app(connection, lock_app(connection, app_name))


def delete_app(connection: Connection, app_name: str) -> None:
    """Delete an app with what it has. Raises NotFoundError app_not_found."""
    locked = lock_app(connection, app_name)
    _clear_app(connection, locked)
    connection.execute(delete(app).where(app.c.id == locked.id))


def _clear_app(connection: Connection, locked: LockedApp) -> None:
    # Nobody is told of each entry: the floor says that an index is to look at all of them.
    connection.execute(delete(entry).where(entry.c.app_id == locked.id))
    # Pictures and new embeddings go with their faces.
    connection.execute(delete(face).where(face.c.app_id == locked.id))
    groups = select(face_group.c.id).where(face_group.c.app_id == locked.id)
    connection.execute(delete(person).where(person.c.group_id.in_(groups)))
    connection.execute(delete(face_group).where(face_group.c.app_id == locked.id))
    connection.execute(delete(removal).where(removal.c.app_id == locked.id))
    empty = {"faces": 0, "entries": 0, "removals_floor": locked.version}
    connection.execute(update(app).where(app.c.id == locked.id).values(empty))


def delete_group(connection: Connection, app_name: str, group: str) -> None:
    """Delete a group, its users, and the faces that nobody has any more."""
    locked = lock_app(connection, app_name, "group_not_found", group)
    group_id = group_id_of(connection, app_name, group)
    persons = connection.scalars(select(person.c.id).where(person.c.group_id == group_id)).all()
    remove_persons(connection, locked, persons)
    connection.execute(delete(face_group).where(face_group.c.id == group_id))


def delete_user(connection: Connection, app_name: str, user: str, group: str | None) -> None:
    """Delete a user from one group, or from all where group is None."""
    if group is not None:
        locked = lock_app(connection, app_name, "group_not_found", group)
        group_id = group_id_of(connection, app_name, group)
        persons: Sequence[int] = [person_id_of(connection, group_id, group, user)]
    else:
        locked = lock_app(connection, app_name, "user_not_found", user)
        query = (
            select(person.c.id)
            .join_from(person, face_group, person.c.group_id == face_group.c.id)
            .where(face_group.c.app_id == locked.id, person.c.name == user)
        )
        persons = connection.scalars(query).all()
        if not persons:
            raise not_found("user_not_found", app_name, user)
    remove_persons(connection, locked, persons)


def delete_face(connection: Connection, app_name: str, group: str, user: str, token: str) -> None:
    """Take one face from a user; the user goes with the last one."""
    locked = lock_app(connection, app_name, "group_not_found", group)
    group_id = group_id_of(connection, app_name, group)
    person_id = person_id_of(connection, group_id, group, user)
    query = (
        select(entry.c.id, face.c.token)
        .join_from(entry, face, entry.c.face_id == face.c.id)
        .where(entry.c.person_id == person_id)
    )
    tokens = {found: id_ for id_, found in connection.execute(query)}
    if token not in tokens:
        raise NotFoundError("face_not_found", f"User {user} of group {group} has no such face.")
    remove_entries(connection, locked, [tokens[token]])
    if len(tokens) == 1:
        connection.execute(delete(person).where(person.c.id == person_id))


def remove_persons(connection: Connection, locked: LockedApp, persons: Sequence[int]) -> None:
    """Remove persons with their entries and the faces that nobody has any more."""
    for some in chunks(persons):
        remove_entries(connection, locked, [row.id for row in entries_of(connection, some)])
        connection.execute(delete(person).where(person.c.id.in_(some)))


def remove_entries(connection: Connection, locked: LockedApp, entries: Sequence[int]) -> None:
    """Remove entries, and the faces that nobody has any more with their crops."""
    created = now_ms()
    faces_gone = 0
    for some in chunks(entries):
        faces = connection.scalars(select(entry.c.face_id).where(entry.c.id.in_(some))).all()
        connection.execute(
            insert(removal),
            [
                {
                    "app_id": locked.id,
                    "version": locked.version,
                    "entry_id": entry_id,
                    "created": created,
                }
                for entry_id in some
            ],
        )
        connection.execute(delete(entry).where(entry.c.id.in_(some)))
        faces_gone += remove_unused_faces(connection, faces)
    count_changes(connection, locked.id, -faces_gone, -len(entries))


def remove_unused_faces(connection: Connection, faces: Sequence[int]) -> int:
    """Delete those of the faces that have no entry; their crops go with them."""
    used = exists(select(entry.c.id).where(entry.c.face_id == face.c.id))
    return connection.execute(delete(face).where(face.c.id.in_(faces), ~used)).rowcount


def prune_removals(connection: Connection, app_id: int, before_ms: int) -> int:
    """Drop an app's removals from before a time, and raise its floor; how many were dropped.

    All versions up to a visible one are visible, so that none is added below the floor later.
    """
    newest = connection.scalar(
        select(func.max(removal.c.version)).where(
            removal.c.app_id == app_id, removal.c.created < before_ms
        )
    )
    if newest is None:
        return 0
    raised = update(app).where(app.c.id == app_id, app.c.removals_floor < newest)
    connection.execute(raised.values(removals_floor=newest))
    dropped = delete(removal).where(removal.c.app_id == app_id, removal.c.version <= newest)
    return connection.execute(dropped).rowcount
