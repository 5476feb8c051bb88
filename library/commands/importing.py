"""``python -m library import``: a folder of pictures per person becomes users with faces."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from client.pipeline.answer import FaceAnswer
from library.commands.accounts import Account, Accounts, digest_of
from library.commands.person_folders import FolderScan, PersonFolder, shown
from library.commands.safe_files import NotReadableError, read_regular
from library.commands.selection import RefusedError, Selection
from library.commands.service_client import Asker, PictureError
from library.commands.session import Advance
from library.errors import ExistsError
from library.records import Enrolment, NewFace
from library.store.store import Store

# Pictures that are read ahead for each request under way, so that none waits for the disk.
_AHEAD = 3


@dataclass(frozen=True)
class Refused:
    """A picture that was not enrolled. reason: see `library.commands.selection.REASONS`."""

    picture: str
    user: str
    reason: str
    detail: str


@dataclass
class Person:
    """What became of a folder. left_out: how many pictures, by the reason."""

    name: str
    user: str
    enrolled: int = 0
    present: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass
class Report:
    """What an import did.

    present: pictures that had been enrolled before. people: one a folder. ignored: files that are
    no pictures by their names, and hidden folders.
    """

    app: str
    group: str
    pictures: int = 0
    enrolled: int = 0
    present: int = 0
    users: int = 0
    recogniser: str = ""
    finished: bool = False
    refused: list[Refused] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    people: dict[str, Person] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "people": [asdict(person) for person in self.people.values()]}


@dataclass(frozen=True)
class Target:
    """Where to. replace: users lose the faces that they had. limit: faces that one may have.

    info_bytes: of a user_info, at most. by_id: the folders are named by ids of users.
    """

    app: str
    group: str
    replace: bool
    limit: int
    info_bytes: int
    by_id: bool = False


@dataclass(frozen=True)
class Source:
    """Where from. picture_bytes: of a picture, at most."""

    root: Path
    picture_bytes: int

    def name(self, path: Path) -> str:
        """A picture's name below the root."""
        return shown(path.relative_to(self.root).as_posix())

    def read(self, path: Path) -> bytes:
        """A picture. Raises RefusedError."""
        try:
            return read_regular(path, self.picture_bytes)
        except NotReadableError as error:
            raise RefusedError(error.reason, str(error)) from None


@dataclass
class _User:
    """A folder under way. known: how many faces the user keeps."""

    folder: PersonFolder
    account: Account
    known: int
    waiting: list[tuple[str, str, Future[NewFace]]] = field(default_factory=list)


class Import:
    """One import. Each user is enrolled in one step, in the order of the folders."""

    def __init__(
        self, store: Store, asker: Asker, selection: Selection, target: Target, source: Source
    ) -> None:
        self._store = store
        self._asker = asker
        self._selection = selection
        self._target = target
        self._source = source
        self._accounts = Accounts(store, target.app, target.group, target.info_bytes, target.by_id)
        self.report = Report(target.app, target.group)

    def run(self, found: FolderScan, concurrency: int, advance: Advance) -> Report:
        """Import what was found; what is committed stays when this is interrupted.

        concurrency: requests under way. Raises CommandError and LibraryError.
        """
        total = found.pictures
        self._leave_out(found)
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="import")
        under_way: deque[_User] = deque()
        try:
            for user in self._users(found.folders, pool):
                under_way.append(user)
                while sum(len(one.waiting) for one in under_way) > _AHEAD * concurrency:
                    self._enrol(under_way.popleft())
                    advance(self._done(), total)
            while under_way:
                self._enrol(under_way.popleft())
                advance(self._done(), total)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        self.report.finished = True
        return self.report

    def _leave_out(self, found: FolderScan) -> None:
        self.report.pictures += len(found.left_out)
        self.report.people = {user: Person(name, user) for user, name in found.names.items()}
        for one in found.left_out:
            self._refuse(self._source.name(one.path), one.user, one.reason, one.detail)
        self.report.ignored = [self._source.name(path) for path in found.ignored]

    def _users(self, folders: Sequence[PersonFolder], pool: ThreadPoolExecutor) -> Iterator[_User]:
        for folder in folders:
            self.report.pictures += len(folder.pictures)
            try:
                account = self._accounts.of(folder)
            except RefusedError as refused:
                for path in folder.pictures:
                    name = self._source.name(path)
                    self._refuse(name, folder.user, refused.reason, refused.detail)
                continue
            read = self._read(folder)
            faces = account.faces
            had = {digest for face in faces if (digest := digest_of(face))}
            if self._target.replace and had != read.keys():
                # The user's faces are exchanged in one step, so all pictures are needed for it.
                had, faces = set(), ()
            user = _User(folder, account, len(faces))
            for digest, path in read.items():
                if digest in had:
                    self.report.present += 1
                    self.report.people[folder.user].present += 1
                else:
                    name = self._source.name(path)
                    waiting = pool.submit(self._look, path, digest, name)
                    user.waiting.append((name, digest, waiting))
            yield user

    def _read(self, folder: PersonFolder) -> dict[str, Path]:
        """The folder's files by their contents' SHA-256."""
        found: dict[str, Path] = {}
        for path in folder.pictures:
            name = self._source.name(path)
            try:
                digest = hashlib.sha256(self._source.read(path)).hexdigest()
            except RefusedError as refused:
                self._refuse(name, folder.user, refused.reason, refused.detail)
                continue
            if digest in found:
                self._refuse(name, folder.user, "repeated", f"as {found[digest].name}")
            else:
                found[digest] = path
        return found

    def _look(self, path: Path, digest: str, name: str) -> NewFace:
        """The face of a picture; runs in several threads. Raises RefusedError, CommandError."""
        try:
            seen = self._asker.faces(self._source.read(path))
        except PictureError as error:
            raise RefusedError("unreadable", str(error)) from None
        face = self._selection.choose(seen.faces)
        return _new_face(face, seen.recogniser, digest, name, self._selection.crops)

    def _enrol(self, user: _User) -> None:
        """Wait for the user's pictures and enrol their faces."""
        names: list[str] = []
        faces: list[NewFace] = []
        for name, _, waiting in user.waiting:
            try:
                face = waiting.result()
            except RefusedError as refused:
                self._refuse(name, user.folder.user, refused.reason, refused.detail)
                continue
            if user.known + len(faces) >= self._target.limit:
                detail = f"at most {self._target.limit} are allowed"
                self._refuse(name, user.folder.user, "too_many_faces", detail)
                continue
            names.append(name)
            faces.append(face)
        if not faces:
            return
        try:
            self._store_faces(user, faces)
        except ExistsError as error:
            # Somebody has made a user of this id since it was looked at.
            if error.code != "user_exists":
                raise
            for name in names:
                self._refuse(name, user.folder.user, "other_name", error.detail)

    def _store_faces(self, user: _User, faces: list[NewFace]) -> None:
        id_, info = user.folder.user, user.account.info
        enrolments = [Enrolment(self._target.group, id_, face, info) for face in faces]
        self._store.enrol(
            self._target.app, enrolments, replace=self._target.replace, same_info=info is not None
        )
        self.report.enrolled += len(faces)
        self.report.people[id_].enrolled += len(faces)
        self.report.users += 1
        self.report.recogniser = faces[0].model

    def _refuse(self, name: str, user: str, reason: str, detail: str) -> None:
        self.report.refused.append(Refused(name, user, reason, detail))
        if user in self.report.people:
            left_out = self.report.people[user].left_out
            left_out[reason] = left_out.get(reason, 0) + 1

    def _done(self) -> int:
        return self.report.enrolled + self.report.present + len(self.report.refused)


def _new_face(face: FaceAnswer, recogniser: str, digest: str, name: str, crops: bool) -> NewFace:
    if face.embedding is None:
        raise RefusedError("no_face", "the service made no embedding of it")
    return NewFace(
        face.embedding,
        recogniser,
        quality=face.score,
        metadata=json.dumps({"picture": name, "sha256": digest}, ensure_ascii=False),
        crop=face.aligned if crops else None,
    )
