"""The key that the gateway makes face tokens with: drawn once for a database."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, insert, select

from library.sql.tables import token_key


def find_token_key(connection: Connection) -> str | None:
    """64 hexadecimal digits; None before it is drawn."""
    return connection.scalar(select(token_key.c.secret))


def draw_token_key(connection: Connection) -> str:
    """The key that face tokens are made with, drawn where there is none."""
    secret = find_token_key(connection)
    if secret is None:
        secret = secrets.token_hex(32)
        connection.execute(insert(token_key).values(id=1, secret=secret))
    return secret
