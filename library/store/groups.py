"""Making apps and groups."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from library.errors import ExistsError
from library.sql.rows import app_id_of, now_ms
from library.sql.tables import app, face_group


def create_group(connection: Connection, app_name: str, group: str) -> None:
    """Make a group, and its app where that is new."""
    app_id = create_app(connection, app_name)
    taken = (face_group.c.app_id == app_id, face_group.c.name == group)
    if connection.scalar(select(face_group.c.id).where(*taken)) is not None:
        raise ExistsError("group_exists", f"App {app_name} has a group {group}.")
    connection.execute(insert(face_group).values(app_id=app_id, name=group, created=now_ms()))


def create_app(connection: Connection, name: str) -> int:
    """Make an app, unless it is there; its id."""
    app_id = app_id_of(connection, name)
    if app_id is not None:
        return app_id
    made: Any = connection.execute(
        insert(app).values(
            name=name,
            origin=uuid.uuid4().hex,
            created=now_ms(),
            version=0,
            removals_floor=0,
            faces=0,
            entries=0,
        )
    )
    return int(made.inserted_primary_key[0])


def create_missing(connection: Connection, app_id: int, names: Sequence[str]) -> None:
    """Make those of the groups that are not there. The app's row is to be locked."""
    wanted = dict.fromkeys(names)
    query = select(face_group.c.name).where(
        face_group.c.app_id == app_id, face_group.c.name.in_(list(wanted))
    )
    there = set(connection.scalars(query))
    rows = [
        {"app_id": app_id, "name": name, "created": now_ms()}
        for name in wanted
        if name not in there
    ]
    if rows:
        connection.execute(insert(face_group), rows)
