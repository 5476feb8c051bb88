"""Everything of an app, for use elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, select

from library.records import ExportedFace, Face
from library.sql.rows import app_id_of, moment, not_found
from library.sql.tables import crop, entry, face, face_group, person

# Users whose faces are read at once.
USERS_AT_ONCE = 100


def exported_faces(connection: Connection, app_name: str, crops: bool) -> Iterator[ExportedFace]:
    """Every user's faces; groups in the order of their making, users by name."""
    app_id = app_id_of(connection, app_name)
    if app_id is None:
        raise not_found("app_not_found", app_name)
    groups = select(face_group.c.id, face_group.c.name).where(face_group.c.app_id == app_id)
    for group_id, group in connection.execute(groups.order_by(face_group.c.id)).all():
        last = ""
        while True:
            users = (
                select(person.c.id, person.c.name, person.c.info)
                .where(person.c.group_id == group_id, person.c.name > last)
                .order_by(person.c.name)
                .limit(USERS_AT_ONCE)
            )
            found = connection.execute(users).all()
            if not found:
                break
            yield from _faces_of(connection, group, found, crops)
            last = found[-1].name


def _faces_of(
    connection: Connection, group: str, users: Sequence[Row[Any, Any, Any]], crops: bool
) -> Iterator[ExportedFace]:
    query = (
        select(
            entry.c.person_id,
            face.c.token,
            face.c.model,
            face.c.embedding,
            face.c.quality,
            face.c.metadata,
            face.c.created,
            *((crop.c.png,) if crops else ()),
        )
        .join_from(entry, face, entry.c.face_id == face.c.id)
        .where(entry.c.person_id.in_([row.id for row in users]))
        .order_by(face.c.id)
    )
    if crops:
        query = query.outerjoin(crop, crop.c.face_id == face.c.id)
    faces: dict[int, list[tuple[Face, Any]]] = {}
    for person_id, token, model, embedding, quality, metadata, created, *png in connection.execute(
        query
    ):
        vector = np.frombuffer(embedding, "<f4")
        one = Face(token, model, vector, quality, metadata, moment(created))
        faces.setdefault(person_id, []).append((one, png[0] if png else None))
    for person_id, name, info in users:
        for one, picture in faces.get(person_id, []):
            yield ExportedFace(group, name, info, one, picture)
