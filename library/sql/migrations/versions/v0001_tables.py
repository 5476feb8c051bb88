"""The first tables. What they mean stands in `library.sql.tables`; this stays as it is for ever."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
BLOB = sa.LargeBinary()


def upgrade() -> None:
    """Make the tables; those that an interrupted attempt on MySQL has left are kept."""
    _app_group_person()
    _face()
    _entry_and_removal()
    _table(
        "new_embedding",
        sa.Column("face_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("model", _name(255), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("embedding", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("face_id", name="pk_new_embedding"),
        sa.ForeignKeyConstraint(
            ["face_id"], ["face.id"], name="fk_new_embedding_face_id", ondelete="CASCADE"
        ),
    )
    _table(
        "backup",
        _id(),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
    )


def _app_group_person() -> None:
    _table(
        "app",
        _id(),
        sa.Column("name", _name(255), nullable=False),
        sa.Column("origin", _name(32), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("removals_floor", sa.BigInteger(), nullable=False),
        sa.Column("model", _name(255)),
        sa.Column("dim", sa.Integer()),
        sa.Column("faces", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("name", name="uq_app_name"),
    )
    _table(
        "face_group",
        _id(),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("name", _name(255), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("app_id", "name", name="uq_face_group_app_id_name"),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name="fk_face_group_app_id"),
    )
    _table(
        "person",
        _id(),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("name", _name(255), nullable=False),
        sa.Column("info", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("group_id", "name", name="uq_person_group_id_name"),
        sa.ForeignKeyConstraint(["group_id"], ["face_group.id"], name="fk_person_group_id"),
    )


def _face() -> None:
    _table(
        "face",
        _id(),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("token", _name(64), nullable=False),
        sa.Column("model", _name(255), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("embedding", BLOB, nullable=False),
        sa.Column("quality", sa.Double()),
        sa.Column("metadata", sa.Text()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("app_id", "token", name="uq_face_app_id_token"),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name="fk_face_app_id"),
    )
    _table(
        "crop",
        sa.Column("face_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("png", sa.LargeBinary(16_777_215), nullable=False),
        sa.PrimaryKeyConstraint("face_id", name="pk_crop"),
        sa.ForeignKeyConstraint(
            ["face_id"], ["face.id"], name="fk_crop_face_id", ondelete="CASCADE"
        ),
    )


def _entry_and_removal() -> None:
    _table(
        "entry",
        _id(),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("app_id", "version", "id", name="uq_entry_app_id_version_id"),
        sa.UniqueConstraint("person_id", "face_id", name="uq_entry_person_id_face_id"),
        sa.UniqueConstraint("face_id", "person_id", name="uq_entry_face_id_person_id"),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name="fk_entry_app_id"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_entry_person_id"),
        sa.ForeignKeyConstraint(["face_id"], ["face.id"], name="fk_entry_face_id"),
    )
    _table(
        "removal",
        _id(),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint(
            "app_id", "version", "entry_id", name="uq_removal_app_id_version_entry_id"
        ),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name="fk_removal_app_id"),
    )


def _id() -> sa.Column[int]:
    return sa.Column("id", ID, primary_key=True)


def _name(length: int) -> sa.String:
    binary = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def _table(name: str, *items: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        *items,
        # Without a transaction around it, as on MySQL, an attempt may have ended half way.
        if_not_exists=op.get_bind().dialect.name in ("mysql", "mariadb"),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
    )
