"""The key that face tokens are made with. See `library.sql.tables`; this stays as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, whose row is made when it is first needed."""
    ascii_text = mysql.VARCHAR(64, charset="ascii", collation="ascii_bin")
    secret = sa.String(64).with_variant(ascii_text, "mysql", "mariadb")
    op.create_table(
        "token_key",
        sa.Column("id", sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite"), primary_key=True),
        sa.Column("secret", secret, nullable=False),
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


def downgrade() -> None:
    """Drop it: faces keep their tokens, and new ones are made with another key."""
    op.drop_table("token_key")
