"""Errors of the library: a short hierarchy and one table of stable codes.

A code never changes its meaning; messages may. The class says of what kind an error is, the
code which one it is. What a caller can do about it stands in the message.
"""

from __future__ import annotations

# Each code with the sentence that tells what to do; docs/errors.md shows the same table.
CODES: dict[str, str] = {
    "invalid_id": "Use letters, digits and underscores, within the length that is configured.",
    "invalid_value": "Send text in valid Unicode without NUL, and numbers that are finite.",
    "invalid_embedding": "Send one row of finite numbers, not all of them zero.",
    "limit_exceeded": "Send less at once, or raise the limit in the configuration.",
    "too_many_faces": "Delete faces of this user first, or replace them.",
    "model_mismatch": "Use the recogniser of the app's faces, or move the app with reembed.",
    "app_not_found": "Create a group in the app first.",
    "group_not_found": "Create the group first, or correct its name.",
    "user_not_found": "Enrol the user first, or correct the name.",
    "face_not_found": "Use a token that an enrolment has returned.",
    "group_exists": "Use the group as it is, or another name.",
    "user_exists": "Delete the user in the target group first, or leave it as it is.",
    "face_exists": "The face is enrolled; use another token for another face.",
    "reembed_incomplete": "Give a new embedding for every face of the app, then try again.",
    "database_unavailable": "Check that the database runs and can be reached, then try again.",
    "database_locked": "Others write for long; try again, or raise database_timeout_s.",
    "database_full": "Make room where the database is stored, then try again.",
    "database_read_only": "Make the database writable for this user, then try again.",
    "database_damaged": "Restore the database from a backup.",
    "database_version": "Use the version of this software that the database was made with.",
    "backup_failed": "Check that the folder can be written and has room, then try again.",
    "backup_unreadable": "Use a whole file that `backup` of this software has written.",
    "backup_is_database": "Name another file: this one is the database that is in use.",
    "restore_not_empty": "Restore into an empty database, or ask to replace what is there.",
    "index_unavailable": "Wait until the index is ready, or check that its server runs.",
    "index_lost": "Nothing: the index is filled again from the database.",
    "snapshot_damaged": "Nothing: the index is built again from the database.",
    "snapshot_mismatch": "Nothing: the index is built again from the database.",
}


class LibraryError(Exception):
    """An error with a stable code; the message says what was wrong and what to do.

    code: a key of ``CODES``. detail: what was wrong in this very call, one short sentence. It
        must hold nothing of a picture or an embedding, and no password.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        self.message = f"{detail} {CODES[code]}" if detail else CODES[code]
        super().__init__(self.message)

    def __reduce__(self) -> tuple[type[LibraryError], tuple[str, str]]:
        return type(self), (self.code, self.detail)


class InvalidError(LibraryError):
    """An argument that cannot be used: invalid_id, invalid_value, invalid_embedding."""


class LimitError(LibraryError):
    """More than is allowed: limit_exceeded, too_many_faces."""


class NotFoundError(LibraryError):
    """Something that is not there: app_, group_, user_, face_not_found."""


class ExistsError(LibraryError):
    """Something that is there already: group_exists, user_exists, face_exists."""


class ModelMismatchError(LibraryError):
    """Embeddings of another recogniser or dimension than the app's, or not all of them."""


class DatabaseError(LibraryError):
    """The database cannot do it now; nothing of the call was written. database_*."""


class BackupError(LibraryError):
    """A backup cannot be made or put back.

    backup_failed, backup_unreadable, backup_is_database, restore_not_empty.
    """


class IndexUnavailableError(LibraryError):
    """The vector index cannot answer now: index_unavailable."""


class IndexLostError(IndexUnavailableError):
    """What the index held was taken away under it: index_lost. Open it again, and fill it."""


class SnapshotError(LibraryError):
    """A snapshot of an index that cannot be used: snapshot_damaged, snapshot_mismatch."""


def error_table() -> str:
    """The table as Markdown, as it stands in docs/errors.md."""
    rows = ["| code | what to do |", "|---|---|"]
    rows += [f"| {code} | {advice} |" for code, advice in CODES.items()]
    return "\n".join(rows)
