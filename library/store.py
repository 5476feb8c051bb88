"""The store: apps, groups, users and faces in the database, which is the truth.

A call that returns has been committed to disk; a call that raises has written nothing. Every call
takes the app's name and sees nothing of other apps. Any number of threads and processes may call
at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Optional

import numpy as np

from library.config import LibraryConfig
from library.records import (
    AppState,
    Batch,
    Enrolment,
    ExportedFace,
    Face,
    FaceSummary,
    Person,
    Problem,
    Statistics,
    User,
)


class Store:
    """The database of the library. All methods may raise DatabaseError."""

    def __init__(self, config: LibraryConfig) -> None:
        """Open the database; make its tables, or bring them up to date."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all connections."""
        raise NotImplementedError

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    # Apps and groups.

    def apps(self) -> list[str]:
        """Names of all apps, in the order of their making. An app is made with its first group."""
        raise NotImplementedError

    def groups(self, app: str, start: int = 0, length: Optional[int] = None) -> list[str]:
        """Names of an app's groups in the order of their making; none for an unknown app."""
        raise NotImplementedError

    def create_group(self, app: str, group: str) -> None:
        """Make a group, and the app where it is new. Raises ExistsError group_exists."""
        raise NotImplementedError

    def delete_group(self, app: str, group: str) -> None:
        """Delete a group with its users; faces shared with other groups stay there."""
        raise NotImplementedError

    # Users and faces.

    def enrol(
        self,
        app: str,
        enrolments: Sequence[Enrolment],
        replace: bool = False,
        create_users: bool = True,
    ) -> list[str]:
        """Enrol faces, all or none; returns their tokens in the same order.

        replace: the users named lose the faces they had in those groups.
        create_users: False raises user_not_found for a user that is not there.
        A token that the app has already may be given again with the same embedding for another
        user, who then shares the face; anything else is face_exists.
        """
        raise NotImplementedError

    def users(
        self, app: str, group: str, start: int = 0, length: Optional[int] = None
    ) -> list[str]:
        """Names of a group's users in the order of their making."""
        raise NotImplementedError

    def user(self, app: str, user: str, group: Optional[str] = None) -> list[User]:
        """A user in one group, or in all that have it; user_not_found where there is none."""
        raise NotImplementedError

    def update_user(self, app: str, group: str, user: str, info: str) -> None:
        """Change a user's info."""
        raise NotImplementedError

    def copy_user(self, app: str, user: str, source: str, target: str) -> None:
        """Copy a user into another group; both share the faces. Raises user_exists."""
        raise NotImplementedError

    def delete_user(self, app: str, user: str, group: Optional[str] = None) -> None:
        """Delete a user from one group or from all, with the faces nobody else has."""
        raise NotImplementedError

    def faces(self, app: str, group: str, user: str) -> list[FaceSummary]:
        """A user's faces, oldest first."""
        raise NotImplementedError

    def face(self, app: str, token: str) -> Face:
        """A face by its token."""
        raise NotImplementedError

    def delete_face(self, app: str, group: str, user: str, token: str) -> None:
        """Take a face from a user; the user goes with its last face."""
        raise NotImplementedError

    def statistics(self, app: str) -> Statistics:
        """An app in numbers. Raises app_not_found."""
        raise NotImplementedError

    # For searches and indexes.

    def resolve_groups(self, app: str, groups: Sequence[str]) -> list[int]:
        """Ids of groups, in their order; group_not_found names the first that is missing."""
        raise NotImplementedError

    def describe_persons(self, app: str, ids: Sequence[int]) -> dict[int, Person]:
        """Whom ids of persons stand for; those that are gone, or another app's, are left out."""
        raise NotImplementedError

    def describe_entries(self, app: str, ids: Sequence[int]) -> dict[int, str]:
        """Tokens of entries' faces; those that are gone, or another app's, are left out."""
        raise NotImplementedError

    def versions(self) -> dict[str, AppState]:
        """The state of every app by its name, in one consistent look. Cheap enough for polling."""
        raise NotImplementedError

    def entries_after(
        self, app_id: int, version: int, limit: int = 10_000, upto: Optional[int] = None
    ) -> Iterator[Batch]:
        """Entries with versions in (version, upto], at most `limit` a batch.

        An index gets `upto` from `versions`, applies these and then `removals_after`, and is at
        `upto` then. Batches end anywhere, also amid the entries of a version.
        """
        raise NotImplementedError

    def removals_after(self, app_id: int, version: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of entries removed after a version, and the versions: both (n,) int64."""
        raise NotImplementedError

    def entry_ids(self, app_id: int) -> np.ndarray:
        """Ids of an app's entries: (n,) int64, ascending; what an index has to hold."""
        raise NotImplementedError

    def prune_removals(self) -> int:
        """Drop removals older than `keep_removals_days`; how many."""
        raise NotImplementedError

    # For operation.

    def export(self, app: str, crops: bool = False) -> Iterator[ExportedFace]:
        """Every user's faces, group by group and user by user, in one consistent look."""
        raise NotImplementedError

    def check(self, app: Optional[str] = None) -> Iterator[Problem]:
        """What should not be in the database; of one app or of all."""
        raise NotImplementedError

    def repair(self, app: Optional[str] = None) -> list[Problem]:
        """Check and put right; what was found."""
        raise NotImplementedError

    def crops(self, app: str, model: str) -> Iterator[tuple[str, bytes]]:
        """Tokens and PNG pictures of the faces that have no embedding of `model` yet."""
        raise NotImplementedError

    def replace_embeddings(
        self, app: str, model: str, embeddings: Iterable[tuple[str, np.ndarray]]
    ) -> int:
        """Move an app to another recogniser in one step; how many faces moved.

        embeddings: (token, (dim,) vector), gathered in the database as they come. An interrupted
            call can be continued: `crops` leaves out what has been gathered.
        Raises ModelMismatchError reembed_incomplete where faces are left; the app is unchanged.
        """
        raise NotImplementedError

    def backup(self, path: Path) -> None:
        """Write a consistent copy while the library is used; one file for all databases."""
        raise NotImplementedError

    def restore(self, path: Path, replace: bool = False) -> None:
        """Put a backup back in one step; replace: in place of what is there."""
        raise NotImplementedError

    def backups(self) -> list[Path]:
        """Files that backups were written to."""
        raise NotImplementedError

    def compact(self) -> None:
        """Give deleted rows' space back and leave nothing of them in the database's files."""
        raise NotImplementedError
