"""Putting faces and users into the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, bindparam, insert, select, update

from library.errors import ExistsError, LimitError, ModelMismatchError, NotFoundError
from library.likeness import same
from library.sql.rows import (
    LockedApp,
    chunks,
    count_changes,
    entries_of,
    group_id_of,
    group_ids,
    lock_app,
    now_ms,
    person_id_of,
)
from library.sql.tables import app, crop, entry, face, person
from library.store.entries import add_entries, check_groups
from library.store.groups import create_app, create_missing
from library.store.removing import remove_entries
from library.validation import PreparedBatch, PreparedFace

_PERSONS = select(person.c.name, person.c.id).where(
    person.c.group_id == bindparam("group"),
    person.c.name.in_(bindparam("names", expanding=True)),
)


def copy_user(connection: Connection, app_name: str, user: str, source: str, target: str) -> None:
    """Make a user of another group with the same faces."""
    locked = lock_app(connection, app_name, "group_not_found", source)
    groups = group_ids(connection, app_name, [source, target])
    copied = person_id_of(connection, groups[source], source, user)
    taken = (person.c.group_id == groups[target], person.c.name == user)
    if connection.scalar(select(person.c.id).where(*taken)) is not None:
        raise ExistsError("user_exists", f"Group {target} has a user {user}.")
    info = connection.scalar(select(person.c.info).where(person.c.id == copied)) or ""
    made = {"group_id": groups[target], "name": user, "info": info, "created": now_ms()}
    connection.execute(insert(person).values(made))
    copy = person_id_of(connection, groups[target], target, user)
    faces = [row.face_id for row in entries_of(connection, [copied])]
    rows = [(groups[target], copy, face_id) for face_id in faces]
    check_groups(connection, rows)
    add_entries(connection, locked, rows)
    count_changes(connection, locked.id, 0, len(faces))


def update_user(connection: Connection, app_name: str, group: str, user: str, info: str) -> None:
    """Change a user's info."""
    group_id = group_id_of(connection, app_name, group)
    person_id = person_id_of(connection, group_id, group, user)
    connection.execute(update(person).where(person.c.id == person_id).values(info=info))


@dataclass(frozen=True, kw_only=True)
class Enroller:
    """One enrolment of a batch, in one transaction.

    store_crops: whether crops are kept. faces_per_user: the limit for one user in one group.
    replace: the users' old faces go. create_users: users that are not there are made.
    same_info: users that are there must have the info that is given for them.
    create_groups: groups that are not there are made, and the app.
    """

    store_crops: bool
    faces_per_user: int
    replace: bool
    create_users: bool
    same_info: bool
    create_groups: bool

    def enrol(self, connection: Connection, app_name: str, batch: PreparedBatch) -> list[str]:
        """Enrol all or raise; tokens in the order of the batch."""
        names = [group for group, _ in batch.users]
        if self.create_groups:
            create_app(connection, app_name)
        locked = lock_app(connection, app_name, "group_not_found", names[0])
        if self.create_groups:
            create_missing(connection, locked.id, names)
        groups = group_ids(connection, app_name, names)
        keys = [(groups[group], user) for group, user in batch.users]
        persons, known = self._persons(connection, batch, keys)
        if self.replace and known:
            removed = [row.id for row in entries_of(connection, sorted(known))]
            remove_entries(connection, locked, removed)
        self._bind_model(connection, locked, batch)
        faces, added = self._faces(connection, locked, batch.faces, batch.model, batch.dim)
        rows = [(key[0], persons[key], faces[one.token]) for key, one in zip(keys, batch.faces)]
        self._check_entries(connection, rows, batch, known)
        if added < len(rows):
            check_groups(connection, rows)
        add_entries(connection, locked, rows)
        count_changes(connection, locked.id, added, len(rows))
        return [one.token for one in batch.faces]

    def _persons(
        self, connection: Connection, batch: PreparedBatch, keys: list[tuple[int, str]]
    ) -> tuple[dict[tuple[int, str], int], set[int]]:
        """Ids of the users, and those of them that were there before."""
        wanted = dict.fromkeys(keys)
        found = _find_persons(connection, list(wanted))
        known = set(found.values())
        missing = [key for key in wanted if key not in found]
        if missing and not self.create_users:
            group, user = batch.users[keys.index(missing[0])]
            raise NotFoundError("user_not_found", f"Group {group} has no user {user}.")
        infos = {key: info for key, info in zip(keys, batch.infos) if info is not None}
        created = now_ms()
        if missing:
            rows = [
                {"group_id": key[0], "name": key[1], "info": infos.get(key, ""), "created": created}
                for key in missing
            ]
            made = _insert(connection, person, rows)
            found.update({missing[0]: made} if made else _find_persons(connection, missing))
        given = {found[key]: info for key, info in infos.items() if found[key] in known}
        if self.same_info:
            _check_infos(connection, given)
        else:
            for id_, info in given.items():
                connection.execute(update(person).where(person.c.id == id_).values(info=info))
        return found, known

    def _bind_model(self, connection: Connection, locked: LockedApp, batch: PreparedBatch) -> None:
        """One recogniser an app; an app without faces takes any."""
        if (locked.model, locked.dim) == (batch.model, batch.dim):
            return
        bound = connection.execute(
            update(app)
            .where(app.c.id == locked.id, app.c.faces == 0)
            .values(model=batch.model, dim=batch.dim)
        )
        if bound.rowcount == 0:
            raise ModelMismatchError(
                "model_mismatch",
                f"The app's faces are of {locked.model} with {locked.dim} numbers, "
                f"not of {batch.model} with {batch.dim}.",
            )

    def _faces(
        self,
        connection: Connection,
        locked: LockedApp,
        faces: Sequence[PreparedFace],
        model: str,
        dim: int,
    ) -> tuple[dict[str, int], int]:
        """Ids of faces by their tokens, and how many of them are new."""
        wanted: dict[str, PreparedFace] = {}
        for one in faces:
            if not _is_same(wanted.setdefault(one.token, one).embedding, one.embedding):
                raise ExistsError("face_exists", f"Token {one.token} stands for two faces.")
        given = [token for token, one in wanted.items() if not one.drawn]
        there = _find_faces(connection, locked.id, given, embeddings=True)
        for token, (_, embedding) in there.items():
            if not _is_same(embedding, wanted[token].embedding):
                raise ExistsError("face_exists", f"Token {token} stands for another face.")
        new = [one for token, one in wanted.items() if token not in there]
        if not new:
            return {token: id_ for token, (id_, _) in there.items()}, 0
        created = now_ms()
        rows = [
            {
                "app_id": locked.id,
                "token": one.token,
                "model": model,
                "dim": dim,
                "embedding": one.embedding,
                "quality": one.quality,
                "metadata": one.metadata,
                "created": created,
            }
            for one in new
        ]
        made = _insert(connection, face, rows)
        found = (
            {new[0].token: (made, b"")}
            if made
            else _find_faces(connection, locked.id, [one.token for one in new])
        )
        ids = {token: id_ for token, (id_, _) in {**there, **found}.items()}
        if self.store_crops:
            crops = [{"face_id": ids[o.token], "png": o.crop} for o in new if o.crop is not None]
            if crops:
                connection.execute(insert(crop), crops)
        return ids, len(new)

    def _check_entries(
        self,
        connection: Connection,
        rows: list[tuple[int, int, int]],
        batch: PreparedBatch,
        known: set[int],
    ) -> None:
        """Nobody gets a face twice, nor more faces than are allowed."""
        had: dict[int, set[int]] = {}
        for some in chunks(sorted(known)):
            query = select(entry.c.person_id, entry.c.face_id).where(entry.c.person_id.in_(some))
            for person_id, face_id in connection.execute(query):
                had.setdefault(person_id, set()).add(face_id)
        for (_, person_id, face_id), one, (group, user) in zip(rows, batch.faces, batch.users):
            faces = had.setdefault(person_id, set())
            if face_id in faces:
                raise ExistsError(
                    "face_exists", f"User {user} of group {group} has face {one.token}."
                )
            faces.add(face_id)
            if len(faces) > self.faces_per_user:
                raise LimitError(
                    "too_many_faces",
                    f"User {user} of group {group} would have more than {self.faces_per_user}.",
                )


def _is_same(embedding: bytes, other: bytes) -> bool:
    """Whether two embeddings are of one picture: see `likeness`."""
    if embedding == other:
        return True
    one, another = np.frombuffer(embedding, "<f4"), np.frombuffer(other, "<f4")
    return one.size == another.size and bool(same(one[None], another[None])[0])


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> int | None:
    """Insert rows; the id where it is one, which every database tells without being asked."""
    if len(rows) > 1:
        connection.execute(insert(table), rows)
        return None
    key = connection.execute(insert(table), rows[0]).inserted_primary_key
    return None if key is None else int(key[0])


def _check_infos(connection: Connection, infos: Mapping[int, str]) -> None:
    """Users by their ids have these infos. Raises ExistsError user_exists."""
    for some in chunks(list(infos)):
        query = select(person.c.id, person.c.name, person.c.info).where(person.c.id.in_(some))
        for id_, name, info in connection.execute(query):
            if info != infos[id_]:
                raise ExistsError("user_exists", f"User {name} has another info.")


def _find_persons(
    connection: Connection, keys: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], int]:
    """Ids of users by (group's id, name); those that are not there are left out."""
    names: dict[int, list[str]] = {}
    for group_id, name in keys:
        names.setdefault(group_id, []).append(name)
    found: dict[tuple[int, str], int] = {}
    for group_id, wanted in names.items():
        for some in chunks(wanted):
            rows = connection.execute(_PERSONS, {"group": group_id, "names": some})
            found.update(((group_id, name), id_) for name, id_ in rows)
    return found


def _find_faces(
    connection: Connection, app_id: int, tokens: Sequence[str], embeddings: bool = False
) -> dict[str, tuple[int, bytes]]:
    """(id, embedding) of an app's faces by their tokens; without `embeddings`, b"" for those."""
    columns = [face.c.token, face.c.id] + ([face.c.embedding] if embeddings else [])
    found: dict[str, tuple[int, bytes]] = {}
    for some in chunks(tokens):
        query = select(*columns).where(face.c.app_id == app_id, face.c.token.in_(some))
        for token, id_, *embedding in connection.execute(query):
            found[token] = (id_, bytes(embedding[0]) if embeddings else b"")
    return found
