"""Vector indexes: derived from the database, and made again from it at any time."""
