"""Which user of a group a folder's faces go to. Nobody gets the faces of another name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from client.rest.user_ids import info_of, plain_name
from library.commands.person_folders import PersonFolder
from library.commands.selection import RefusedError
from library.errors import NotFoundError
from library.records import FaceSummary
from library.store.store import Store

# Earlier versions made ids so, and many names one id.
_NOT_IN_EARLIER_IDS = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True)
class Account:
    """A user to be enrolled. faces: that the user has, none where there is no such user yet.

    info: that the user has or is going to have; None where it does not matter and stays.
    """

    faces: tuple[FaceSummary, ...]
    info: str | None


class Accounts:
    """The users of a group.

    by_id: the folders are named by the users' ids, so that the users' names do not matter.
    """

    def __init__(
        self, store: Store, app: str, group: str, info_bytes: int, by_id: bool = False
    ) -> None:
        self._store = store
        self._app = app
        self._group = group
        self._info_bytes = info_bytes
        self._by_id = by_id

    def of(self, folder: PersonFolder) -> Account:
        """The user of a folder.

        Raises RefusedError: other_name where there is a user of that id with another name,
        earlier_id where an earlier version has imported the folder under another id.
        """
        there = self._info(folder.user)
        if self._by_id:
            return Account(self._faces(folder.user, there), None)
        name = info_of(folder.name, self._info_bytes)
        # A name that is its id needs no other place to be kept in.
        info = "" if folder.user == plain_name(folder.name) else name
        if there is None:
            self._refuse_earlier(folder)
            return Account((), info)
        if info_of(there, self._info_bytes) not in (name, info):
            raise RefusedError("other_name", f"user {folder.user} is there with other user_info")
        return Account(self._faces(folder.user, there), there)

    def _refuse_earlier(self, folder: PersonFolder) -> None:
        earlier = _NOT_IN_EARLIER_IDS.sub("_", folder.name)
        if earlier == folder.user:
            return
        info = self._info(earlier)
        if info is None:
            return
        faces = self._faces(earlier, info)
        if info == folder.name or any(_folder_of(face) == folder.name for face in faces):
            raise RefusedError("earlier_id", f"it was imported as user {earlier}")

    def _info(self, user: str) -> str | None:
        try:
            (found,) = self._store.user(self._app, user, self._group)
        except NotFoundError:
            return None
        return found.info

    def _faces(self, user: str, info: str | None) -> tuple[FaceSummary, ...]:
        if info is None:
            return ()
        try:
            return tuple(self._store.faces(self._app, self._group, user))
        except NotFoundError:
            return ()  # deleted since


def digest_of(face: FaceSummary) -> str:
    """The SHA-256 of the picture that a face was imported from; empty for other faces."""
    digest = _about(face).get("sha256")
    return digest if isinstance(digest, str) else ""


def _folder_of(face: FaceSummary) -> str:
    """The folder that a face was imported from; empty for other faces."""
    picture = _about(face).get("picture")
    return picture.partition("/")[0] if isinstance(picture, str) else ""


def _about(face: FaceSummary) -> dict[str, Any]:
    """What an import notes with a face; empty for other faces."""
    try:
        about = json.loads(face.metadata or "")
    except (ValueError, RecursionError):  # an application's own text may be anything
        return {}
    return about if isinstance(about, dict) else {}
