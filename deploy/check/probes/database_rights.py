"""What the service's user of a database server may do, asked without doing it."""

from __future__ import annotations

import re

from sqlalchemy import Connection, text

from gateway.auth.key_store import METADATA as GATEWAY_TABLES
from library.sql.tables import METADATA as LIBRARY_TABLES

_ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Of MySQL and MariaDB: rows, and what migrations do with tables.
_MYSQL = (*_ROWS, "CREATE", "ALTER", "DROP", "INDEX", "REFERENCES")
_GRANT = re.compile(r"GRANT (.+?) ON (\S+) TO ", re.IGNORECASE)


def missing_rights(connection: Connection, kind: str, database: str) -> list[str]:
    """What the user would need and has not, in words. kind: postgresql, mysql or mariadb."""
    if kind == "postgresql":
        return _of_postgresql(connection)
    return _of_mysql(connection, database)


def _of_postgresql(connection: Connection) -> list[str]:
    if connection.execute(text("SHOW transaction_read_only")).scalar() == "on":
        return ["writing: the server is read-only"]
    schema = connection.execute(text("SELECT current_schema()")).scalar()
    if schema is None:
        return ["a schema that the user may use"]
    missing = [
        f"{right} on the schema {schema}"
        for right in ("USAGE", "CREATE")
        if not connection.execute(
            text("SELECT has_schema_privilege(:schema, :right)"), {"schema": schema, "right": right}
        ).scalar()
    ]
    statement = text(
        "SELECT tablename, wanted FROM pg_tables CROSS JOIN unnest(CAST(:rights AS text[])) wanted"
        " WHERE schemaname = :schema AND tablename = ANY(:names) AND NOT has_table_privilege("
        "quote_ident(schemaname) || '.' || quote_ident(tablename), wanted)"
        " ORDER BY tablename, wanted"
    )
    names = [name for tables in (LIBRARY_TABLES, GATEWAY_TABLES) for name in tables.tables]
    values = {"rights": list(_ROWS), "schema": schema, "names": names}
    closed = connection.execute(statement, values).all()
    return missing + [f"{right} on {table}" for table, right in closed[:4]]


def _of_mysql(connection: Connection, database: str) -> list[str]:
    had: set[str] = set()
    for (line,) in connection.execute(text("SHOW GRANTS")).all():
        grant = _GRANT.match(str(line))
        if grant and _covers(grant[2], database):
            had |= {right.strip().upper() for right in re.sub(r"\(.*?\)", "", grant[1]).split(",")}
    if "ALL PRIVILEGES" in had or "ALL" in had:
        missing: list[str] = []
    else:
        missing = [right for right in _MYSQL if right not in had]
    if connection.execute(text("SELECT @@global.read_only")).scalar() not in (0, "0", "OFF"):
        missing.append("writing: the server is read-only")
    return missing


def _covers(scope: str, database: str) -> bool:
    r"""Whether a grant's scope, such as `faces\_1`.*, is of the whole of a database."""
    if scope == "*.*":
        return True
    pattern, _, table = scope.rpartition(".")
    if table != "*":
        return False
    # % and _ stand for any text and any character, unless a backslash is in front of them.
    name = pattern.strip("`'\"")
    expression = "".join(
        ".*" if part == "%" else "." if part == "_" else re.escape(part.lstrip("\\"))
        for part in re.findall(r"\\.|.", name)
    )
    return re.fullmatch(expression, database) is not None
