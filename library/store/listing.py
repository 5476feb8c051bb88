"""Reading apps, groups, users and faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, bindparam, func, select

from library.errors import NotFoundError
from library.records import AppRecord, Face, FaceSummary, GroupStatistics, Person, Statistics, User
from library.sql.rows import chunks, group_id_of, moment, not_found, person_id_of, plain
from library.sql.tables import app, entry, face, face_group, person

# Asked with every search: making a statement costs as much as running it.
_PERSONS = (
    select(person.c.id, face_group.c.name, person.c.name, person.c.info)
    .select_from(person)
    .join(face_group, person.c.group_id == face_group.c.id)
    .join(app, face_group.c.app_id == app.c.id)
    .where(app.c.name == bindparam("app"), person.c.id.in_(bindparam("ids", expanding=True)))
)
_PERSONS_OF_ORIGIN = _PERSONS.where(app.c.origin == bindparam("origin"))


def apps(connection: Connection) -> list[str]:
    """Names of all apps."""
    return list(connection.scalars(select(app.c.name).order_by(app.c.id)))


def app_records(connection: Connection) -> list[AppRecord]:
    """All apps, and when they were made."""
    rows = connection.execute(select(app.c.name, app.c.created).order_by(app.c.id))
    return [AppRecord(name, moment(created)) for name, created in rows]


def groups(connection: Connection, app_name: str, start: int, length: int) -> list[str]:
    """Names of an app's groups."""
    query = (
        select(face_group.c.name)
        .join_from(face_group, app, face_group.c.app_id == app.c.id)
        .where(app.c.name == app_name)
        .order_by(face_group.c.id)
    )
    return list(connection.scalars(query.offset(start).limit(length)))


def users(connection: Connection, group_id: int, start: int, length: int) -> list[str]:
    """Names of a group's users."""
    query = select(person.c.name).where(person.c.group_id == group_id).order_by(person.c.id)
    return list(connection.scalars(query.offset(start).limit(length)))


def user(connection: Connection, app_name: str, name: str, group: str | None) -> list[User]:
    """A user in one group or in all that have it."""
    faces = select(func.count(entry.c.id)).where(entry.c.person_id == person.c.id)
    query = (
        select(face_group.c.name, person.c.info, person.c.created, faces.scalar_subquery())
        .select_from(app)
        .join(face_group, face_group.c.app_id == app.c.id)
        .join(person, person.c.group_id == face_group.c.id)
        .where(app.c.name == app_name, person.c.name == name)
        .order_by(face_group.c.id)
    )
    if group is not None:
        query = query.where(face_group.c.id == group_id_of(connection, app_name, group))
    rows = connection.execute(query).all()
    if not rows:
        if group is None:
            raise not_found("user_not_found", app_name, name)
        raise NotFoundError("user_not_found", f"Group {group} has no user {name}.")
    return [User(where, name, info, moment(created), n) for where, info, created, n in rows]


def faces(connection: Connection, app_name: str, group: str, name: str) -> list[FaceSummary]:
    """A user's faces, oldest first."""
    person_id = person_id_of(connection, group_id_of(connection, app_name, group), group, name)
    query = (
        select(face.c.token, face.c.model, face.c.quality, face.c.metadata, face.c.created)
        .join_from(entry, face, entry.c.face_id == face.c.id)
        .where(entry.c.person_id == person_id)
        .order_by(face.c.id)
    )
    return [
        FaceSummary(token, model, quality, metadata, moment(created))
        for token, model, quality, metadata, created in connection.execute(query)
    ]


def one_face(connection: Connection, app_name: str, token: str) -> Face:
    """A face by its token."""
    query = (
        select(
            face.c.token,
            face.c.model,
            face.c.embedding,
            face.c.quality,
            face.c.metadata,
            face.c.created,
        )
        .join_from(face, app, face.c.app_id == app.c.id)
        .where(app.c.name == app_name, face.c.token == token)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("face_not_found", f"App {app_name} has no face {token}.")
    return Face(
        row.token,
        row.model,
        np.frombuffer(row.embedding, "<f4"),
        row.quality,
        row.metadata,
        moment(row.created),
    )


def statistics(connection: Connection, app_name: str) -> Statistics:
    """An app in numbers."""
    row = connection.execute(select(app).where(app.c.name == app_name)).one_or_none()
    if row is None:
        raise not_found("app_not_found", app_name)
    of_app = face_group.c.app_id == row.id
    people = (
        select(
            face_group.c.name,
            func.count(person.c.id),
            face_group.c.created,
            func.coalesce(func.max(person.c.created), 0),
        )
        .outerjoin_from(face_group, person, person.c.group_id == face_group.c.id)
        .where(of_app)
        .group_by(face_group.c.id, face_group.c.name, face_group.c.created)
        .order_by(face_group.c.id)
    )
    in_groups = (
        select(face_group.c.name, func.count(entry.c.face_id.distinct()), func.max(entry.c.id))
        .join_from(face_group, person, person.c.group_id == face_group.c.id)
        .join(entry, entry.c.person_id == person.c.id)
        .where(of_app)
        .group_by(face_group.c.name)
    )
    of_group = {group: (faces, newest) for group, faces, newest in connection.execute(in_groups)}
    made = _made(connection, [newest for _, newest in of_group.values()])
    numbers = []
    for name, count, created, joined in connection.execute(people):
        faces, newest = of_group.get(name, (0, 0))
        updated = max(created, joined, made.get(newest, 0))
        numbers.append(GroupStatistics(name, count, faces, moment(created), moment(updated)))
    return Statistics(app_name, row.model, row.dim, row.faces, row.entries, tuple(numbers))


def _made(connection: Connection, entries: Sequence[int]) -> dict[int, int]:
    """When the faces of entries were made."""
    found: dict[int, int] = {}
    for some in chunks(entries):
        query = select(entry.c.id, face.c.created).join(face, face.c.id == entry.c.face_id)
        rows = connection.execute(query.where(entry.c.id.in_(some)))
        found.update((id_, created) for id_, created in rows)
    return found


def describe_persons(
    connection: Connection, app_name: str, ids: Sequence[int], origin: str | None = None
) -> dict[int, Person]:
    """Whom ids of an app's persons stand for."""
    statement, values = _PERSONS, {"app": app_name}
    if origin is not None:
        statement, values = _PERSONS_OF_ORIGIN, {**values, "origin": origin}
    found: dict[int, Person] = {}
    for some in chunks(plain(ids)):
        rows = connection.execute(statement, {**values, "ids": some})
        found.update((id_, Person(group, name, info)) for id_, group, name, info in rows)
    return found


def describe_entries(connection: Connection, app_name: str, ids: Sequence[int]) -> dict[int, str]:
    """Tokens of the faces of an app's entries."""
    found: dict[int, str] = {}
    for some in chunks(plain(ids)):
        query = (
            select(entry.c.id, face.c.token)
            .select_from(entry)
            .join(face, entry.c.face_id == face.c.id)
            .join(app, entry.c.app_id == app.c.id)
            .where(app.c.name == app_name, entry.c.id.in_(some))
        )
        found.update((id_, token) for id_, token in connection.execute(query))
    return found


def embeddings(
    connection: Connection, app_name: str, group: str | None, user: str | None, most: int
) -> list[np.ndarray]:
    """See Store.embeddings."""
    theirs = (
        select(entry.c.face_id)
        .join_from(entry, person, entry.c.person_id == person.c.id)
        .join(face_group, person.c.group_id == face_group.c.id)
        .join(app, face_group.c.app_id == app.c.id)
        .where(app.c.name == app_name)
    )
    if group is not None:
        theirs = theirs.where(face_group.c.name == group)
    if user is not None:
        theirs = theirs.where(person.c.name == user)
    # A face that several of them share is one.
    query = select(face.c.embedding).where(face.c.id.in_(theirs)).limit(most)
    return [np.frombuffer(blob, "<f4") for blob in connection.scalars(query)]
