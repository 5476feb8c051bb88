"""What an operator does with the store: export, check, repair, move, back up, compact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from library.backup import backup
from library.backup.backup import BackupRecord, Progress
from library.records import ExportedFace, Problem
from library.sql.database import Database
from library.store import exporting, inspection, reembedding
from library.validation import Validator, model_name
from settings.library import LibraryConfig


class Maintenance:
    """The store's side towards `python -m library`."""

    _config: LibraryConfig
    _database: Database
    _check: Validator

    def export(self, app: str, crops: bool = False) -> Iterator[ExportedFace]:
        """Every user's faces, group by group and user by user, in one consistent look.

        crops: with the stored pictures. Raises NotFoundError app_not_found at once.
        """
        self._check.app(app)
        with self._database.reading(consistent=True) as connection:
            yield from exporting.exported_faces(connection, app, crops)

    def check(self, app: str | None = None) -> Iterator[Problem]:
        """What should not be in the database, of one app or of all, by `inspection`."""
        yield from inspection.check(self._database, app)

    def repair(self, app: str | None = None) -> list[Problem]:
        """Put right what `check` finds; what it was."""
        return inspection.repair(self._database, app)

    def crops(self, app: str, model: str) -> Iterator[tuple[str, bytes]]:
        """Tokens and PNG pictures of the faces that have no embedding of `model` yet."""
        self._check.app(app)
        yield from reembedding.crops(self._database, app, model_name(model))

    def replace_embeddings(
        self, app: str, model: str, embeddings: Iterable[tuple[str, np.ndarray]]
    ) -> int:
        """Move an app to another recogniser in one step; how many faces it has.

        embeddings: (token, (dim,) vector), gathered in the database as they come. An interrupted
            call can be continued: `crops` leaves out what has been gathered. Tokens of faces
            that were deleted meanwhile are ignored.
        Raises ModelMismatchError reembed_incomplete where faces are left; the app is unchanged.
        """
        self._check.app(app)
        return reembedding.replace_embeddings(self._database, app, model_name(model), embeddings)

    def backup(self, path: Path, progress: Progress | None = None) -> None:
        """Write a consistent copy while the library is used; one format for all databases.

        The file appears complete or not at all, beside it PATH.sha256 as `sha256sum` writes it.
        Raises BackupError backup_failed.
        """
        backup.write(self._database, path, progress)

    def restore(self, path: Path, replace: bool = False, progress: Progress | None = None) -> None:
        """Put a backup back in one step; replace: in place of all that is there.

        Every row is looked at first, as `enrol` looks at what it is given: a backup with one that
        could not have been enrolled changes nothing. Indexes and snapshots of what was there are
        built again. Raises BackupError.
        """
        backup.restore(self._database, path, replace, self._check, progress)

    def backups(self) -> list[BackupRecord]:
        """Files that backups were written to, also those that are no longer there."""
        return backup.records(self._database)

    def reader(self) -> AbstractContextManager[Connection]:
        """A connection for reading, all of whose statements see the same moment."""
        return self._database.reading(consistent=True)

    def forget_backup(self, path: Path) -> None:
        """No longer list a backup whose file is gone for good."""
        backup.forget(self._database, path)

    def compact(self) -> None:
        """Give deleted rows' space back to the file system.

        Takes as long as copying the database, and keeps writers out meanwhile. Nothing of a
        deleted face needs it on SQLite, which overwrites what it deletes and empties its log.
        PostgreSQL and MySQL keep deleted rows in their files until their space is used again:
        there it is what removes them, except from the logs that the server itself keeps.
        """
        self._database.compact()
