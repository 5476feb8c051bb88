"""Settings of the face library: the section ``library`` of ``config.yml``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from settings.secrets import filled_in, filled_in_parts
from settings.section import Section

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

# The database systems, and the driver that each is spoken to with.
DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
# A file without options, for which no process has to import SQLAlchemy: it takes longer than all
# other settings together, and the pipeline has no use for it.
_PLAIN_FILE = re.compile(r"sqlite:///(?P<path>[\w./-]*[\w-])", re.ASCII)


class LibraryLimits(Section):
    """Limits of the library; over one of them a call is refused at once.

    faces_per_user: of one user in one group. *_bytes: of the text as UTF-8; crop_bytes: of one
    stored picture. groups_per_search: groups in one search. users_per_search: users that one
    search returns. queries_per_search: faces searched in one pass. batch: faces in one
    enrolment. listing: entries of one listing.
    """

    faces_per_user: int = Field(20, ge=1, le=10_000)
    user_id_bytes: int = Field(128, ge=1, le=255)
    group_id_bytes: int = Field(48, ge=1, le=255)
    user_info_bytes: int = Field(256, ge=0, le=16_384)
    metadata_bytes: int = Field(4096, ge=0, le=16_384)
    crop_bytes: int = Field(1_048_576, ge=1024, le=16_777_215)
    groups_per_search: int = Field(10, ge=1, le=1000)
    users_per_search: int = Field(50, ge=1, le=1000)
    queries_per_search: int = Field(1000, ge=1, le=100_000)
    batch: int = Field(10_000, ge=1, le=100_000)
    listing: int = Field(1000, ge=1, le=100_000)


class IndexConfig(Section):
    """How faces are searched.

    kind: exact compares with every face; approximate does so up to `approximate_from` faces of
    an app and looks at the likely ones from there; milvus leaves it to a Milvus server.
    storage: of a vector's components in memory; auto takes what was measured to be fastest.
    probes: cells that an approximate search visits. threads: of one search; 0: one a core.
    snapshot_dir: empty for none. snapshot_interval_s: between two snapshots of a changed index.
    poll_ms: between two looks for other processes' changes.
    milvus_uri: a file's name (Milvus Lite) or http://HOST:PORT. milvus_token: as Milvus takes
    it, USER:PASSWORD for instance; `settings.secrets` says what may stand for it, in both.
    """

    kind: str = Field("exact", pattern="^(exact|approximate|milvus)$")
    storage: str = Field("auto", pattern="^(auto|float32|fp16|sq8)$")
    approximate_from: int = Field(100_000, ge=1, le=1_000_000_000)
    probes: int = Field(32, ge=1, le=65_536)
    threads: int = Field(0, ge=0, le=1024)
    snapshot_dir: str = "data/snapshots"
    snapshot_interval_s: int = Field(600, ge=1, le=604_800)
    poll_ms: int = Field(200, ge=10, le=60_000)
    milvus_uri: str = ""
    milvus_token: str = ""

    @field_validator("milvus_uri", "milvus_token")
    @classmethod
    def _expanded(cls, value: str) -> str:
        return filled_in(value)


class BackupConfig(Section):
    """Backups that are made by themselves, see `deploy.backups`.

    dir: where they go. keep: so many of them. bytes: of all of them together, 0 for any number;
    the oldest go first, the newest never.
    """

    dir: str = Field("data/backups", min_length=1)
    keep: int = Field(14, ge=1, le=10_000)
    bytes: int = Field(0, ge=0)


class LibraryConfig(Section):
    """Settings of the library. Relative paths start at `folder`, that of the settings' file.

    database: URL of the database; `settings.secrets` says what may stand for parts of it.
    database_timeout_s: how long a call waits for a connection or for others' locks.
    database_check_s: between two looks at SQLite's pages while a service runs; 0 for none.
    store_crops: keep the aligned pictures, which moving to another recogniser needs.
    keep_removals_days: how long an index may have been away and still catch up, instead of
    being built again.
    """

    folder: Path = Path()
    database: str = "sqlite:///data/faces.db"
    database_timeout_s: float = Field(10.0, ge=0.1, le=3600.0, strict=False)
    database_check_s: float = Field(30.0, ge=0.0, le=86_400.0, strict=False)
    store_crops: bool = False
    keep_removals_days: float = Field(7.0, ge=0.01, le=3650.0, strict=False)
    limits: LibraryLimits = LibraryLimits()
    index: IndexConfig = IndexConfig()
    backups: BackupConfig = BackupConfig()

    @field_validator("database")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if _PLAIN_FILE.fullmatch(value) is None:
            _database_url(value)
        return value

    def url(self) -> URL:
        """The database's URL with its driver, variables filled in, a file's path absolute."""
        url = _database_url(self.database)
        if url.get_backend_name() == "sqlite":
            path = (self.folder / str(url.database)).resolve()
            return url.set(drivername=DRIVERS["sqlite"], database=str(path))
        return url

    def database_file(self) -> Path | None:
        """SQLite's file, or None where the database is a server."""
        if plain := _PLAIN_FILE.fullmatch(self.database):
            return (self.folder / plain["path"]).resolve()
        url = self.url()
        if url.get_backend_name() != "sqlite" or url.database is None:
            return None
        return Path(url.database)

    def snapshot_dir(self) -> Path | None:
        """Where indexes keep their snapshots, or None."""
        name = self.index.snapshot_dir
        return (self.folder / name).resolve() if name else None

    def backup_dir(self) -> Path:
        """Where backups that are made by themselves go."""
        return (self.folder / self.backups.dir).resolve()


def _database_url(text: str) -> URL:
    """The URL with the project's driver; ValueError where it is none."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    written, filled = filled_in_parts(text)
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):
        raise ValueError("a database URL is expected, such as sqlite:///data/faces.db") from None
    url = url.set(
        username=filled(url.username) if url.username else None,
        password=filled(str(url.password)) if url.password else None,
        host=filled(url.host) if url.host else None,
        database=filled(url.database) if url.database else None,
    )
    backend = url.get_backend_name()
    if backend not in DRIVERS:
        raise ValueError(f"one of {', '.join(DRIVERS)} is expected in front of ://")
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("a file is expected: a database in memory would lose the faces")
    if backend != "sqlite" and not url.database:
        raise ValueError("the name of a database is expected at the end")
    return url.set(drivername=DRIVERS[backend])
