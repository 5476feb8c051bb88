"""Alembic's migrations of the library's tables; `library.schema` runs them."""
