"""The store: apps, groups, users and faces in the database, which is the truth.

A call that returns has been committed to disk; a call that raises has written nothing, but for one
case: where the connection to a server breaks while it commits, nobody can tell. Enrolling with
tokens of one's own makes it safe to call again: what is there already is face_exists.

Every call takes the app's name and sees nothing of other apps. Any number of threads and processes
may call at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import numpy as np

from library.records import (
    AppRecord,
    AppState,
    Enrolment,
    Face,
    FaceSummary,
    Person,
    Statistics,
    User,
)
from library.sql import token_keys
from library.sql.database import Database
from library.sql.page_check import PageCheck
from library.sql.rows import group_id_of, group_ids, not_found
from library.sql.write_probe import WriteProbe
from library.store import enrolling, listing, removing
from library.store.change_log import ChangeLog
from library.store.groups import create_group
from library.store.maintenance import Maintenance
from library.validation import Validator
from settings.library import LibraryConfig


class Store(ChangeLog, Maintenance):
    """The database of the library. All methods may raise DatabaseError.

    Names that do not fit raise InvalidError invalid_id, others NotFoundError with the code of
    what is missing; a group of an unknown app is a group that is missing.
    """

    def __init__(self, config: LibraryConfig) -> None:
        """Open the database; make its tables, or bring them up to date."""
        self._config = config
        self._check = Validator(config.limits)
        self._database = Database(config)
        self._writes = WriteProbe(self._database)
        self._pages = PageCheck(self._database, config.database_check_s)

    def close(self) -> None:
        """Close all connections."""
        self._pages.close()
        self._writes.close()
        self._database.close()

    def watch(self) -> None:
        """Look at the database's pages in the background, until it is closed."""
        self._pages.start()

    def check_health(self) -> None:
        """Raise DatabaseError unless the database answers, takes writes, and is not damaged."""
        if self._database.damage is not None:
            raise self._database.damage
        self.versions()
        self._writes.check()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Apps and groups.

    def apps(self) -> list[str]:
        """Names of all apps in the order of their making; an app is made with its first group."""
        with self._database.reading() as connection:
            return listing.apps(connection)

    def app_records(self) -> list[AppRecord]:
        """The same apps, and when they were made."""
        with self._database.reading() as connection:
            return listing.app_records(connection)

    def clear_app(self, app: str) -> AppState:
        """Delete all groups, users and faces of an app; what an index of it is to be dropped by.

        The app itself is left for `delete_app`. Raises NotFoundError app_not_found.
        """
        self._check.app(app)
        self._database.erase(lambda c: removing.clear_app(c, app))
        state = self.versions(app).get(app)
        if state is None:
            raise not_found("app_not_found", app)
        return state

    def delete_app(self, app: str) -> None:
        """Delete an app with all that it has. Nobody can tell of its index any more then.

        Raises NotFoundError app_not_found.
        """
        self._check.app(app)
        self._database.erase(lambda c: removing.delete_app(c, app))

    def groups(self, app: str, start: int = 0, length: int | None = None) -> list[str]:
        """Names of an app's groups in the order of their making; none for an unknown app.

        length: None for as many as a listing may have. Raises LimitError where it has more.
        """
        self._check.app(app)
        start, length = self._check.page(start, length)
        with self._database.reading() as connection:
            return listing.groups(connection, app, start, length)

    def create_group(self, app: str, group: str) -> None:
        """Make a group, and the app where it is new. Raises ExistsError group_exists."""
        self._check.app(app)
        self._check.group(group)
        self._database.write(lambda c: create_group(c, app, group))

    def delete_group(self, app: str, group: str) -> None:
        """Delete a group with its users; faces shared with other groups stay there."""
        self._check.app(app)
        self._check.group(group)
        self._database.erase(lambda c: removing.delete_group(c, app, group))

    def token_key(self) -> bytes:
        """32 bytes that face tokens are made with, the same for all who use this database.

        They are drawn when this is first asked, and are part of backups.
        """
        with self._database.reading() as connection:
            secret = token_keys.find_token_key(connection)
        if secret is None:
            secret = self._database.write(token_keys.draw_token_key)
        return bytes.fromhex(secret)

    # Users and faces.

    def enrol(
        self,
        app: str,
        enrolments: Sequence[Enrolment],
        replace: bool = False,
        create_users: bool = True,
        same_info: bool = False,
        create_groups: bool = False,
    ) -> list[str]:
        """Enrol faces, all or none; their tokens in the same order.

        replace: the users named lose the faces they had in those groups.
        create_users: False raises user_not_found for a user that is not there.
        same_info: raises ExistsError user_exists for a user that is there with another info than
            is given, instead of changing it.
        create_groups: groups that are not there are made, and the app.

        A token that the app has already may be given again, with the same embedding but for
        rounding, for a user of another group, who then shares the face. Raises ExistsError
        face_exists for any other use of it, InvalidError, LimitError too_many_faces or
        limit_exceeded, ModelMismatchError.
        """
        self._check.app(app)
        batch = self._check.enrolments(enrolments)
        enroller = enrolling.Enroller(
            store_crops=self._config.store_crops,
            faces_per_user=self._config.limits.faces_per_user,
            replace=replace,
            create_users=create_users,
            same_info=same_info,
            create_groups=create_groups,
        )
        write = self._database.erase if replace else self._database.write
        return write(lambda c: enroller.enrol(c, app, batch))

    def users(self, app: str, group: str, start: int = 0, length: int | None = None) -> list[str]:
        """Names of a group's users in the order of their making; `length` as in `groups`."""
        self._check.app(app)
        self._check.group(group)
        start, length = self._check.page(start, length)
        with self._database.reading() as connection:
            return listing.users(connection, group_id_of(connection, app, group), start, length)

    def user(self, app: str, user: str, group: str | None = None) -> list[User]:
        """A user in one group, or in all that have it, at least one."""
        self._check_user(app, user, group)
        with self._database.reading() as connection:
            return listing.user(connection, app, user, group)

    def update_user(self, app: str, group: str, user: str, info: str) -> None:
        """Change a user's info."""
        self._check_user(app, user, group)
        self._check.info(info)
        self._database.write(lambda c: enrolling.update_user(c, app, group, user, info))

    def copy_user(self, app: str, user: str, source: str, target: str) -> None:
        """Copy a user into another group; both share the faces.

        Raises ExistsError user_exists, or face_exists where another user there has one of them.
        """
        self._check_user(app, user, source)
        self._check.group(target)
        self._database.write(lambda c: enrolling.copy_user(c, app, user, source, target))

    def delete_user(self, app: str, user: str, group: str | None = None) -> None:
        """Delete a user from one group or from all, with the faces nobody else has."""
        self._check_user(app, user, group)
        self._database.erase(lambda c: removing.delete_user(c, app, user, group))

    def faces(self, app: str, group: str, user: str) -> list[FaceSummary]:
        """A user's faces, oldest first."""
        self._check_user(app, user, group)
        with self._database.reading() as connection:
            return listing.faces(connection, app, group, user)

    def face(self, app: str, token: str) -> Face:
        """A face by its token. Raises NotFoundError face_not_found."""
        self._check.app(app)
        self._check.token(token)
        with self._database.reading() as connection:
            return listing.one_face(connection, app, token)

    def embeddings(
        self, app: str, group: str | None = None, user: str | None = None, most: int = 1000
    ) -> list[np.ndarray]:
        """Embeddings of the faces of a group's users, of a user's, or of one in one group.

        group, user: None for all. At most `most`; none where there is no such group or user.
        """
        self._check.app(app)
        if group is not None:
            self._check.group(group)
        if user is not None:
            self._check.user(user)
        with self._database.reading() as connection:
            return listing.embeddings(connection, app, group, user, most)

    def delete_face(self, app: str, group: str, user: str, token: str) -> None:
        """Take a face from a user; the user goes with its last face."""
        self._check_user(app, user, group)
        self._check.token(token)
        self._database.erase(lambda c: removing.delete_face(c, app, group, user, token))

    def statistics(self, app: str) -> Statistics:
        """An app in numbers. Raises NotFoundError app_not_found."""
        self._check.app(app)
        with self._database.reading(consistent=True) as connection:
            return listing.statistics(connection, app)

    # For searches.

    def resolve_groups(self, app: str, groups: Sequence[str]) -> list[int]:
        """Ids of groups, in their order; group_not_found names the first that is missing."""
        self._check.app(app)
        for group in groups:
            self._check.group(group)
        with self._database.reading() as connection:
            found = group_ids(connection, app, groups)
        return [found[group] for group in groups]

    def describe_persons(
        self, app: str, ids: Sequence[int], origin: str | None = None
    ) -> dict[int, Person]:
        """Whom ids of persons stand for; those that are gone, or another app's, are left out.

        origin: of the app, as `versions` told it when the ids were read; where the app's rows are
            others by now, all are left out.
        """
        self._check.app(app)
        with self._database.reading() as connection:
            return listing.describe_persons(connection, app, ids, origin)

    def describe_entries(self, app: str, ids: Sequence[int]) -> dict[int, str]:
        """Tokens of entries' faces; those that are gone, or another app's, are left out."""
        self._check.app(app)
        with self._database.reading() as connection:
            return listing.describe_entries(connection, app, ids)

    def _check_user(self, app: str, user: str, group: str | None) -> None:
        self._check.app(app)
        self._check.user(user)
        if group is not None:
            self._check.group(group)
