"""The tables of the library. The database is the truth; indexes are derived from it.

What holds the library together:

- An *entry* makes one face findable as one person in one group. A person that is copied into
  another group has entries there onto the same faces. A face whose last entry goes is deleted.
- Every transaction that adds or removes entries raises ``app.version`` by one, which locks the
  app's row until the commit, and stamps the new version on its entries and removals. So versions
  become visible in their order, and a reader that saw version v has seen all up to v.
- A *removal* says that an entry is gone, for indexes to catch up. It holds numbers only. Removals
  up to ``app.removals_floor`` have been dropped: an index older than that is built again.
- ``app.origin`` is drawn when an app's rows are made, by enrolment or by a restore: an index or a
  snapshot of another origin belongs to other rows that happen to have the same numbers.

Ids are never used twice, also not after their rows are gone: indexes rely on it. Times are
milliseconds since 1970 in UTC. Constraints are made with their tables in one statement, because
MySQL commits after each.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import SchemaItem

NAMING = {
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = MetaData(naming_convention=NAMING)

# SQLite numbers rows by itself only where the key's type is INTEGER.
Id = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def name_type(length: int) -> String:
    """Names of ASCII characters that differ in case differ, on MySQL too."""
    binary = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(binary, "mysql", "mariadb")


def _table(name: str, *items: SchemaItem) -> Table:
    return Table(
        name,
        METADATA,
        *items,
        # Without AUTOINCREMENT SQLite gives the id of a deleted last row again.
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
    )


# model, dim: the recogniser of the app's faces, NULL before the first. faces, entries: how many.
app = _table(
    "app",
    Column("id", Id, primary_key=True),
    Column("name", name_type(255), nullable=False, unique=True),
    Column("origin", name_type(32), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("removals_floor", BigInteger, nullable=False),
    Column("model", name_type(255)),
    Column("dim", Integer),
    Column("faces", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
)

# `group` is a word of SQL.
face_group = _table(
    "face_group",
    Column("id", Id, primary_key=True),
    Column("app_id", BigInteger, ForeignKey("app.id"), nullable=False),
    Column("name", name_type(255), nullable=False),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("app_id", "name"),
)

# name: the user's id as applications say it.
person = _table(
    "person",
    Column("id", Id, primary_key=True),
    Column("group_id", BigInteger, ForeignKey("face_group.id"), nullable=False),
    Column("name", name_type(255), nullable=False),
    Column("info", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("group_id", "name"),
)

# embedding: dim little-endian float32 of unit length. metadata: the application's own text.
face = _table(
    "face",
    Column("id", Id, primary_key=True),
    Column("app_id", BigInteger, ForeignKey("app.id"), nullable=False),
    Column("token", name_type(64), nullable=False),
    Column("model", name_type(255), nullable=False),
    Column("dim", Integer, nullable=False),
    Column("embedding", LargeBinary, nullable=False),
    Column("quality", Double),
    Column("metadata", Text),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("app_id", "token"),
)

# The aligned picture as PNG, where `store_crops` is on.
crop = _table(
    "crop",
    Column(
        "face_id",
        BigInteger,
        ForeignKey("face.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("png", LargeBinary(16_777_215), nullable=False),
)

entry = _table(
    "entry",
    Column("id", Id, primary_key=True),
    Column("app_id", BigInteger, ForeignKey("app.id"), nullable=False),
    # That of the person. No foreign key: deleting a group would look through all entries for it.
    Column("group_id", BigInteger, nullable=False),
    Column("person_id", BigInteger, ForeignKey("person.id"), nullable=False),
    Column("face_id", BigInteger, ForeignKey("face.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    # The three ways in: an index that catches up, a person's faces, a face's persons.
    UniqueConstraint("app_id", "version", "id"),
    UniqueConstraint("person_id", "face_id"),
    UniqueConstraint("face_id", "person_id"),
)

removal = _table(
    "removal",
    Column("id", Id, primary_key=True),
    Column("app_id", BigInteger, ForeignKey("app.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("entry_id", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("app_id", "version", "entry_id"),
)

# Embeddings of another recogniser, gathered until an app can move to it in one step.
new_embedding = _table(
    "new_embedding",
    Column(
        "face_id",
        BigInteger,
        ForeignKey("face.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("model", name_type(255), nullable=False),
    Column("dim", Integer, nullable=False),
    Column("embedding", LargeBinary, nullable=False),
)

# What the gateway makes face tokens with: one row, whose id is 1. secret: 64 hexadecimal digits.
token_key = _table(
    "token_key",
    Column("id", Id, primary_key=True),
    Column("secret", name_type(64), nullable=False),
)

# Where backups were written to, so that a deleted user can be looked for in them.
backup = _table(
    "backup",
    Column("id", Id, primary_key=True),
    Column("path", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)
