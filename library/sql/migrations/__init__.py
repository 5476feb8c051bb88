"""Alembic's migrations of the library's tables; `library.sql.schema` runs them."""
