"""Alembic runs this for every migration; the transaction is that of `library.sql.schema`."""

from alembic import context

from library.sql.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=context.config.attributes["version_table"],
    transaction_per_migration=False,
)
context.run_migrations()
