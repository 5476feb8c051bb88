"""The table of keys. What it means stands in `gateway.auth.key_store`; this stays as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; one that an interrupted attempt on MySQL has left is kept."""
    op.create_table(
        "access_key",
        sa.Column("id", _name(32), nullable=False),
        sa.Column("secret_hash", _name(64), nullable=False),
        sa.Column("app", _name(255)),
        sa.Column("role", _name(16), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("rate", sa.Double()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger()),
        sa.Column("revoked", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_access_key"),
        # Without a transaction around it, as on MySQL, an attempt may have ended half way.
        if_not_exists=op.get_bind().dialect.name in ("mysql", "mariadb"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
    )


def _name(length: int) -> sa.String:
    binary = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")
