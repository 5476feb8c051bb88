"""Finding and locking the rows that the store's transactions work on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, bindparam, select, update

from library.errors import NotFoundError
from library.sql.tables import app, entry, face_group, person

T = TypeVar("T")

# Values in one IN (...): enough to be fast, and below what every database takes.
CHUNK = 500


# Made once: in a call of one face, putting statements together takes as long as running them.
_LOCK = update(app).where(app.c.name == bindparam("app")).values(version=app.c.version + 1)
_LOCKED = select(app.c.id, app.c.version, app.c.model, app.c.dim, app.c.faces).where(
    app.c.name == bindparam("app")
)
_COUNT = (
    update(app)
    .where(app.c.id == bindparam("app"))
    .values(faces=app.c.faces + bindparam("more"), entries=app.c.entries + bindparam("found"))
)
_GROUPS = (
    select(face_group.c.name, face_group.c.id)
    .join_from(face_group, app, face_group.c.app_id == app.c.id)
    .where(
        app.c.name == bindparam("app"), face_group.c.name.in_(bindparam("names", expanding=True))
    )
)
_ENTRIES = select(entry.c.id, entry.c.face_id).where(
    entry.c.person_id.in_(bindparam("persons", expanding=True))
)


@dataclass(frozen=True)
class LockedApp:
    """An app whose row is locked until the commit. version: of this very transaction."""

    id: int
    version: int
    model: str | None
    dim: int | None
    faces: int


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def moment(milliseconds: int) -> datetime:
    """The time that a row holds."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """The values in pieces of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def not_found(code: str, app_name: str, name: str = "") -> NotFoundError:
    """The error for something that an app does not have, or for an app that is not there."""
    kind = code.partition("_")[0]
    if kind == "app":
        return NotFoundError(code, f"There is no app {app_name}.")
    return NotFoundError(code, f"App {app_name} has no {kind} {name}.")


def plain(ids: Iterable[int]) -> list[int]:
    """Ids as Python's integers: the drivers do not take numpy's."""
    return [int(id_) for id_ in ids]


def lock_app(
    connection: Connection, name: str, missing: str = "app_not_found", wanted: str = ""
) -> LockedApp:
    """Lock an app and raise its version; the first thing that a changing transaction does.

    The lock orders the transactions of an app. It comes first because the rows that are written
    later refer to the app's: on MySQL that takes a shared lock on it, and two transactions that
    both wanted more after that would stop each other.

    missing, wanted: the code and name to raise NotFoundError with where there is no such app.
    """
    if connection.execute(_LOCK, {"app": name}).rowcount == 0:
        raise not_found(missing, name, wanted)
    return LockedApp(*connection.execute(_LOCKED, {"app": name}).one())


def count_changes(connection: Connection, app_id: int, faces: int, entries: int) -> None:
    """Note how many faces and entries an app has more or, negative, less."""
    connection.execute(_COUNT, {"app": app_id, "more": faces, "found": entries})


def app_id_of(connection: Connection, name: str) -> int | None:
    """An app's id, None for an unknown one."""
    return connection.scalar(select(app.c.id).where(app.c.name == name))


def group_id_of(connection: Connection, app_name: str, name: str) -> int:
    """A group's id. Raises NotFoundError group_not_found, also for an unknown app."""
    return group_ids(connection, app_name, [name])[name]


def group_ids(connection: Connection, app_name: str, names: Sequence[str]) -> dict[str, int]:
    """Ids of groups by their names. Raises NotFoundError group_not_found for the first missing."""
    found: dict[str, int] = {}
    for some in chunks(list(dict.fromkeys(names))):
        rows = connection.execute(_GROUPS, {"app": app_name, "names": some})
        found.update((name, id_) for name, id_ in rows)
    for name in names:
        if name not in found:
            raise not_found("group_not_found", app_name, name)
    return found


def person_id_of(connection: Connection, group_id: int, group: str, user: str) -> int:
    """A user's id in a group. Raises NotFoundError user_not_found."""
    query = select(person.c.id).where(person.c.group_id == group_id, person.c.name == user)
    found = connection.scalar(query)
    if found is None:
        raise NotFoundError("user_not_found", f"Group {group} has no user {user}.")
    return found


def entries_of(connection: Connection, persons: Sequence[int]) -> list[Row[Any]]:
    """Rows of (entry's id, face's id) of persons."""
    rows: list[Row[Any]] = []
    for some in chunks(persons):
        rows.extend(connection.execute(_ENTRIES, {"persons": some}))
    return rows
