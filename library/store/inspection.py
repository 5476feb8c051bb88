"""Looks for what should not be in the database, and puts it right.

None of it can come from the store's own transactions: it comes from other programs, from faults
of disks, and from faults in this software.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from library.records import Problem
from library.sql.database import Database
from library.sql.rows import app_id_of, chunks, entries_of, lock_app, not_found
from library.sql.tables import app, crop, entry, face, face_group, person
from library.store.removing import remove_entries, remove_persons, remove_unused_faces
from library.validation import is_unit, unit_vectors

# What a problem is found at, and what `repair` does with it.
KINDS: dict[str, str] = {
    "damaged": "the database's own check fails; restore a backup",
    "entry_without_face": "an entry's face is missing; the entry is removed",
    "entry_without_user": "an entry's user is not in its group; the entry is removed",
    "face_without_entry": "nobody has a face; it is deleted",
    "face_of_other_model": "a face is of another recogniser than its app; it is deleted",
    "face_of_wrong_size": "an embedding has the wrong number of bytes; the face is deleted",
    "face_not_finite": "an embedding has no direction; the face is deleted",
    "face_not_unit": "an embedding is not of unit length; it is scaled",
    "user_without_face": "a user has no face; the user is deleted",
    "user_without_group": "a user's group is missing; the user is deleted",
    "crop_without_face": "a picture's face is missing; the picture is deleted",
    "wrong_count": "an app's numbers of faces and entries are wrong; they are counted again",
}
# Faces whose embeddings are looked at together.
FACES_AT_ONCE = 5000


def check(database: Database, app_name: str | None) -> Iterator[Problem]:
    """Problems of one app or of all. Raises NotFoundError app_not_found."""
    with database.reading() as connection:
        names = dict(connection.execute(select(app.c.id, app.c.name)).all())
        if app_name is not None:
            app_id = app_id_of(connection, app_name)
            if app_id is None:
                raise not_found("app_not_found", app_name)
            names = {app_id: app_name}
    yield from _damages(database)
    for app_id, name in names.items():
        yield from _answers(database, _questions(app_id), name)
        yield from _bad_faces(database, app_id, name)
        with database.reading() as connection:
            if _counts_differ(connection, app_id):
                yield Problem("wrong_count", name, app_id, KINDS["wrong_count"])
    if app_name is None:
        yield from _answers(database, _appless_questions(), "")


def repair(database: Database, app_name: str | None) -> list[Problem]:
    """Put right what `check` finds, except a damaged file; what was found."""
    found = list(check(database, app_name))
    by_app: dict[str, list[Problem]] = {}
    for problem in found:
        if problem.kind != "damaged":
            by_app.setdefault(problem.app, []).append(problem)
    if by_app.pop("", []):
        database.erase(_repair_appless)
    for name, problems in by_app.items():
        database.erase(partial(_repair, app_name=name, problems=problems))
    return found


def _questions(app_id: int) -> dict[str, Select[int]]:
    """Queries for the ids of rows that should not be."""
    of_entry, of_face = entry.c.app_id == app_id, face.c.app_id == app_id
    no_face = ~exists().where(face.c.id == entry.c.face_id, face.c.app_id == entry.c.app_id)
    user = (
        select(person.c.id)
        .join_from(person, face_group, person.c.group_id == face_group.c.id)
        .where(
            person.c.id == entry.c.person_id,
            face_group.c.id == entry.c.group_id,
            face_group.c.app_id == entry.c.app_id,
        )
    )
    return {
        "entry_without_face": select(entry.c.id).where(of_entry, no_face),
        "entry_without_user": select(entry.c.id).where(of_entry, ~exists(user)),
        "face_without_entry": select(face.c.id).where(
            of_face, ~exists().where(entry.c.face_id == face.c.id)
        ),
        "face_of_other_model": select(face.c.id)
        .join_from(face, app, face.c.app_id == app.c.id)
        .where(of_face, or_(face.c.model != app.c.model, face.c.dim != app.c.dim)),
        "user_without_face": select(person.c.id)
        .join_from(person, face_group, person.c.group_id == face_group.c.id)
        .where(face_group.c.app_id == app_id, ~exists().where(entry.c.person_id == person.c.id)),
    }


def _appless_questions() -> dict[str, Select[int]]:
    """The same for rows that have lost their way to an app."""
    return {
        "crop_without_face": select(crop.c.face_id).where(
            ~exists().where(face.c.id == crop.c.face_id)
        ),
        "user_without_group": select(person.c.id).where(
            ~exists().where(face_group.c.id == person.c.group_id)
        ),
    }


def _answers(database: Database, questions: dict[str, Select[int]], name: str) -> Iterator[Problem]:
    for kind, query in questions.items():
        with database.reading() as connection:
            found = connection.scalars(query).all()
        yield from (Problem(kind, name, id_, KINDS[kind]) for id_ in found)


def _damages(database: Database) -> Iterator[Problem]:
    """What SQLite's own check says; servers look after their files themselves."""
    if database.backend == "sqlite":
        with database.reading() as connection:
            for (line,) in connection.exec_driver_sql("PRAGMA integrity_check(10)"):
                if line != "ok":
                    yield Problem("damaged", "", 0, str(line))


def _bad_faces(database: Database, app_id: int, name: str) -> Iterator[Problem]:
    """Faces whose embeddings cannot be searched; read in blocks of one query each."""
    last = 0
    while True:
        query = (
            select(face.c.id, face.c.dim, face.c.embedding)
            .where(face.c.app_id == app_id, face.c.id > last)
            .order_by(face.c.id)
            .limit(FACES_AT_ONCE)
        )
        with database.reading() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return
        for id_, kind in _kinds_of(rows):
            yield Problem(kind, name, id_, KINDS[kind])
        last = rows[-1].id


def _kinds_of(rows: Sequence[Row[Any, Any, Any]]) -> Iterator[tuple[int, str]]:
    """(id, kind) of the bad ones among rows of (id, dim, embedding)."""
    by_dim: dict[int, list[Row[Any, Any, Any]]] = {}
    for row in rows:
        if len(row.embedding) != 4 * row.dim or row.dim < 1:
            yield row.id, "face_of_wrong_size"
        else:
            by_dim.setdefault(row.dim, []).append(row)
    for dim, some in by_dim.items():
        joined = b"".join(row.embedding for row in some)
        vectors = np.frombuffer(joined, "<f4").reshape(-1, dim)
        for number in np.flatnonzero(~is_unit(vectors)):
            usable = np.isfinite(vectors[number]).all() and vectors[number].any()
            yield some[number].id, "face_not_unit" if usable else "face_not_finite"


def _counts(app_id: int) -> tuple[ColumnElement[int], ColumnElement[int]]:
    faces = select(func.count(face.c.id)).where(face.c.app_id == app_id)
    entries = select(func.count(entry.c.id)).where(entry.c.app_id == app_id)
    return faces.scalar_subquery(), entries.scalar_subquery()


def _counts_differ(connection: Connection, app_id: int) -> bool:
    faces, entries = _counts(app_id)
    differs = or_(app.c.faces != faces, app.c.entries != entries)
    return bool(connection.scalar(select(func.count()).where(app.c.id == app_id, differs)))


def _repair_appless(connection: Connection) -> None:
    questions = _appless_questions()
    for some in chunks(connection.scalars(questions["crop_without_face"]).all()):
        connection.execute(delete(crop).where(crop.c.face_id.in_(some)))
    for some in chunks(connection.scalars(questions["user_without_group"]).all()):
        # The entries first: an app whose index still has them learns of it.
        rows = entries_of(connection, some)
        names = select(app.c.name).distinct().join_from(app, entry, entry.c.app_id == app.c.id)
        for name in connection.scalars(names.where(entry.c.person_id.in_(some))).all():
            locked = lock_app(connection, name)
            of_app = select(entry.c.id).where(
                entry.c.app_id == locked.id, entry.c.id.in_([row.id for row in rows])
            )
            remove_entries(connection, locked, connection.scalars(of_app).all())
        connection.execute(delete(person).where(person.c.id.in_(some)))


def _repair(connection: Connection, app_name: str, problems: list[Problem]) -> None:
    """One app, in one transaction. Orphans' orphans go too."""
    locked = lock_app(connection, app_name)
    ids: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for problem in problems:
        ids[problem.kind].append(problem.id)
    _scale(connection, locked.version, ids["face_not_unit"])
    bad = ids["face_of_other_model"] + ids["face_of_wrong_size"] + ids["face_not_finite"]
    doomed = set(ids["entry_without_face"] + ids["entry_without_user"])
    for some in chunks(bad):
        doomed.update(connection.scalars(select(entry.c.id).where(entry.c.face_id.in_(some))))
    remove_entries(connection, locked, sorted(doomed))
    for some in chunks(ids["face_without_entry"]):
        remove_unused_faces(connection, some)
    empty = _questions(locked.id)["user_without_face"]
    remove_persons(connection, locked, connection.scalars(empty).all())
    faces, entries = _counts(locked.id)
    connection.execute(
        update(app).where(app.c.id == locked.id).values(faces=faces, entries=entries)
    )


def _scale(connection: Connection, version: int, faces: list[int]) -> None:
    """Embeddings to unit length, their entries to a new version so that indexes follow."""
    for some in chunks(faces):
        rows = connection.execute(select(face.c.id, face.c.embedding).where(face.c.id.in_(some)))
        for id_, embedding in rows.all():
            vector = unit_vectors([np.frombuffer(embedding, "<f4")])[0]
            connection.execute(
                update(face).where(face.c.id == id_).values(embedding=vector.tobytes())
            )
        connection.execute(update(entry).where(entry.c.face_id.in_(some)).values(version=version))
