"""The drill: a backup is restored beside the live library, and both are compared.

What is restored has to be what the backup holds, row for row; what the live library has that the
backup has not, or no longer has, is told with its number, as people are enrolled after a backup.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, func, select

from deploy.life.beside import place_beside
from library.backup.file import checksum_file, opened, sha256
from library.errors import LibraryError
from library.sql.tables import app, entry, face, face_group, person
from library.store.exporting import exported_faces
from library.store.store import Store
from settings.library import LibraryConfig

# Faces looked at one by one in the live library.
SAMPLE = 200
_FIGURES = ("groups", "users", "faces", "entries")


@dataclass(frozen=True)
class Row:
    """A thing that was compared. problem: what is wrong, or ""; note: what is to be known."""

    item: str
    backup: str = ""
    restored: str = ""
    live: str = ""
    problem: str = ""
    note: str = ""


@dataclass
class Report:
    """What a drill has found. seconds: what putting the backup back took."""

    backup: Path
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def problems(self) -> list[Row]:
        """The rows that say that something is wrong."""
        return [row for row in self.rows if row.problem]


def run(live: LibraryConfig, path: Path, sample: int = SAMPLE) -> Report:
    """Restore a backup and compare. Raises DeployError where there is no place for it.

    A backup that cannot be restored is a row of the report.
    """
    report = Report(path)
    report.rows.append(_checksum(path))
    with place_beside(live) as config:
        try:
            with Store(config) as restored:
                restored.restore(path)
                _compare(report, path, restored, live, sample)
        except LibraryError as error:
            report.rows.append(Row("restore", problem=f"{error.code}: {error.message}"))
    return report


def _checksum(path: Path) -> Row:
    """The file against the digest that was written beside it."""
    beside = checksum_file(path)
    try:
        expected = beside.read_text(encoding="utf-8").split()[:1]
        found = sha256(path)
    except (OSError, UnicodeDecodeError, LibraryError) as error:
        return Row("checksum", problem=f"cannot be read: {error}")
    problem = "" if expected == [found] else f"{path.name} differs from {beside.name}"
    return Row("checksum", backup=found[:16], problem=problem)


def _compare(report: Report, path: Path, restored: Store, live: LibraryConfig, most: int) -> None:
    with opened(path) as backup, Store(live) as store:
        back, running = restored.reader(), store.reader()
        with back as here, running as there:
            names, in_restored = _apps(backup), set(_apps(here))
            missing = [name for name in names if name not in in_restored]
            for name in missing:
                report.rows.append(Row(f"app {name}", problem="not in what was restored"))
            for name in names:
                if name not in missing:
                    report.rows += _counts(name, backup, here, there)
                    report.rows.append(_digests(name, backup, here))
                    report.rows.append(_sampled(name, here, there, most))
    problems = [f"{one.kind} in app {one.app}" for one in restored.check()]
    found = f"{len(problems)} problems, {problems[0]} for one" if problems else ""
    report.rows.append(Row("verify", restored=found or "good", problem=found))


def _apps(connection: Connection) -> list[str]:
    return list(connection.scalars(select(app.c.name).order_by(app.c.id)))


def _counts(name: str, *places: Connection) -> Iterator[Row]:
    figures = [_figures(name, place) for place in places]
    for figure in _FIGURES:
        in_backup, in_restored, in_live = (one[figure] for one in figures)
        problem = "" if in_backup == in_restored else "not as many as in the backup"
        more = in_live - in_backup
        note = f"{more:+d} since the backup" if more else ""
        yield Row(
            f"app {name}: {figure}", str(in_backup), str(in_restored), str(in_live), problem, note
        )


def _figures(name: str, connection: Connection) -> dict[str, int]:
    """How many rows an app has, counted."""
    of_app = select(app.c.id).where(app.c.name == name).scalar_subquery()
    groups = select(func.count()).select_from(face_group).where(face_group.c.app_id == of_app)
    users = (
        select(func.count())
        .select_from(person)
        .join(face_group, person.c.group_id == face_group.c.id)
        .where(face_group.c.app_id == of_app)
    )
    faces = select(func.count()).select_from(face).where(face.c.app_id == of_app)
    entries = select(func.count()).select_from(entry).where(entry.c.app_id == of_app)
    queries = zip(_FIGURES, (groups, users, faces, entries))
    return {figure: int(connection.scalar(query) or 0) for figure, query in queries}


def _digests(name: str, *places: Connection) -> Row:
    """All users and faces of an app in one digest each."""
    backup, restored = (_digest(name, place) for place in places)
    problem = "" if backup == restored else "other users or faces than in the backup"
    return Row(f"app {name}: digest", backup[:16], restored[:16], problem=problem)


def _digest(name: str, connection: Connection) -> str:
    digest = hashlib.sha256()
    for one in exported_faces(connection, name, crops=True):
        parts = (one.group, one.user, one.info, one.face.token, one.face.model, one.face.metadata)
        for part in (*(str(part).encode() for part in parts), one.face.embedding.tobytes()):
            digest.update(len(part).to_bytes(8, "big") + part)
        digest.update(hashlib.sha256(one.crop or b"").digest())
    return digest.hexdigest()


def _sampled(name: str, restored: Connection, live: Connection, most: int) -> Row:
    """Faces taken at random, compared with the live library's of the same token."""
    tokens = list(
        restored.scalars(
            select(face.c.token).join(app, face.c.app_id == app.c.id).where(app.c.name == name)
        )
    )
    chosen = sorted(random.sample(tokens, min(most, len(tokens))))
    here, there = (_embeddings(name, place, chosen) for place in (restored, live))
    gone = [token for token in chosen if token not in there]
    other = [token for token in chosen if token in there and there[token] != here[token]]
    note = f"{len(gone)} of them deleted since the backup" if gone else ""
    problem = ""
    if other:
        problem = f"{len(other)} of them differ from the live library's, {other[0]} for one"
    count = str(len(chosen))
    return Row(f"app {name}: sampled faces", count, count, str(len(there)), problem, note)


def _embeddings(
    name: str, connection: Connection, tokens: list[str]
) -> dict[str, tuple[str, bytes]]:
    """Recogniser and embedding by token."""
    found: dict[str, tuple[str, bytes]] = {}
    for start in range(0, len(tokens), 100):
        query = (
            select(face.c.token, face.c.model, face.c.embedding)
            .join(app, face.c.app_id == app.c.id)
            .where(app.c.name == name, face.c.token.in_(tokens[start : start + 100]))
        )
        found |= {
            token: (model, bytes(embedding))
            for token, model, embedding in connection.execute(query)
        }
    return found
