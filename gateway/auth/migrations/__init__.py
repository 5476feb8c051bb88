"""Migrations of the gateway's tables, beside those of the library in the same database."""
