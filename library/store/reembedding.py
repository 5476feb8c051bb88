"""Moving an app to another recogniser.

New embeddings are gathered beside the old ones, in as many sittings as it takes, while the app is
searched and changed. The move itself is one transaction at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

import numpy as np
from sqlalchemy import Connection, delete, exists, func, insert, select, update

from library.errors import ModelMismatchError
from library.sql.database import Database
from library.sql.rows import app_id_of, chunks, lock_app, not_found
from library.sql.tables import app, crop, entry, face, new_embedding
from library.validation import unit_vectors

# Crops read, and embeddings written, in one transaction.
CROPS_AT_ONCE = 100
EMBEDDINGS_AT_ONCE = 500


def crops(database: Database, app_name: str, model: str) -> Iterator[tuple[str, bytes]]:
    """Tokens and pictures of the faces that have no embedding of a recogniser yet."""
    gathered = exists().where(new_embedding.c.face_id == face.c.id, new_embedding.c.model == model)
    last = 0
    while True:
        with database.reading() as connection:
            app_id = app_id_of(connection, app_name)
            if app_id is None:
                raise not_found("app_not_found", app_name)
            query = (
                select(face.c.id, face.c.token, crop.c.png)
                .join_from(face, crop, crop.c.face_id == face.c.id)
                .where(face.c.app_id == app_id, face.c.id > last, face.c.model != model, ~gathered)
                .order_by(face.c.id)
                .limit(CROPS_AT_ONCE)
            )
            rows = connection.execute(query).all()
        if not rows:
            return
        yield from ((row.token, bytes(row.png)) for row in rows)
        last = rows[-1].id


def replace_embeddings(
    database: Database, app_name: str, model: str, embeddings: Iterable[tuple[str, np.ndarray]]
) -> int:
    """Gather embeddings, then move the app to them in one transaction; how many faces it has."""
    source = iter(embeddings)
    while True:
        some = list(islice(source, EMBEDDINGS_AT_ONCE))
        if not some:
            return database.write(partial(_move, app_name=app_name, model=model))
        vectors = unit_vectors([vector for _, vector in some])
        rows = {token: vector.tobytes() for (token, _), vector in zip(some, vectors)}
        gather = partial(_gather, app_name=app_name, model=model, dim=vectors.shape[1], rows=rows)
        database.write(gather)


def _gather(
    connection: Connection, app_name: str, model: str, dim: int, rows: dict[str, bytes]
) -> None:
    app_id = app_id_of(connection, app_name)
    if app_id is None:
        raise not_found("app_not_found", app_name)
    found: dict[int, bytes] = {}
    for some in chunks(list(rows)):
        query = select(face.c.id, face.c.token).where(
            face.c.app_id == app_id, face.c.token.in_(some)
        )
        found.update((id_, rows[token]) for id_, token in connection.execute(query))
    for ids in chunks(list(found)):
        connection.execute(delete(new_embedding).where(new_embedding.c.face_id.in_(ids)))
    if found:
        connection.execute(
            insert(new_embedding),
            [
                {"face_id": face_id, "model": model, "dim": dim, "embedding": embedding}
                for face_id, embedding in found.items()
            ],
        )


def _move(connection: Connection, app_name: str, model: str) -> int:
    locked = lock_app(connection, app_name)
    gathered = (
        select(face.c.id, new_embedding.c.dim)
        .join_from(face, new_embedding, new_embedding.c.face_id == face.c.id)
        .where(face.c.app_id == locked.id, new_embedding.c.model == model)
    )
    rows = connection.execute(gathered).all()
    faces = connection.scalar(select(func.count(face.c.id)).where(face.c.app_id == locked.id)) or 0
    if not rows and (faces == 0 or locked.model == model):
        return faces
    if len(rows) < faces:
        raise ModelMismatchError(
            "reembed_incomplete", f"{faces - len(rows)} of {faces} faces have none of {model}."
        )
    dims = sorted({row.dim for row in rows})
    if len(dims) > 1:
        raise ModelMismatchError("model_mismatch", f"Embeddings of {dims} numbers.")
    for ids in chunks([row.id for row in rows]):
        new = select(new_embedding.c.embedding).where(new_embedding.c.face_id == face.c.id)
        connection.execute(
            update(face)
            .where(face.c.id.in_(ids))
            .values(model=model, dim=dims[0], embedding=new.scalar_subquery())
        )
        connection.execute(delete(new_embedding).where(new_embedding.c.face_id.in_(ids)))
    # Entries of a new version: an index replaces what it has of them.
    connection.execute(
        update(entry).where(entry.c.app_id == locked.id).values(version=locked.version)
    )
    connection.execute(update(app).where(app.c.id == locked.id).values(model=model, dim=dims[0]))
    return faces
