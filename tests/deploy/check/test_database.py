"""What the check says of databases: real ones, and such as nobody can use. It changes nothing."""

from __future__ import annotations

import socket
import sqlite3

import pytest
from sqlalchemy import create_engine, inspect

from deploy.check.probes import database
from deploy.check.probes.database_rights import _covers
from deploy.check.requirements import load
from gateway.auth.key_store import GATEWAY
from library.sql.database import Database
from runtime.ports import unused_ports
from settings.library import LibraryConfig
from tests.support.processes.cable import Cable

ITEMS = load().items
SECRET = "open-sesame-1234"


def looked(url: str, folder, **options) -> dict[str, tuple[str, str]]:
    """Each item's outcome and what was found."""
    config = LibraryConfig.model_validate({"folder": folder, "database": url})
    return {
        one.item.removeprefix("service."): (ITEMS[one.item].outcome(one).value, one.found)
        for one in database.probe(config, **options)
    }


def outcomes(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {item: outcome for item, (outcome, _) in found.items()}


def made(url: str, folder) -> None:
    """Make the tables as a service does."""
    opened = Database(LibraryConfig.model_validate({"folder": folder, "database": url}))
    opened.bring_up(GATEWAY)
    opened.close()


def test_a_file_that_is_not_there_yet_passes_and_is_not_made(tmp_path):
    found = looked("sqlite:///data/faces.db", tmp_path)
    assert set(outcomes(found).values()) == {"pass", "not applicable"}
    assert "made at the first start" in found["database"][1]
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_its_tables_passes(tmp_path):
    made("sqlite:///faces.db", tmp_path)
    found = looked("sqlite:///faces.db", tmp_path)
    assert found["database"][0] == "pass"
    assert found["database_version"] == ("pass", f"SQLite {sqlite3.sqlite_version}")
    assert found["database_rights"][0] == "pass"
    assert found["database_tables"] == ("pass", "as this release has them")


def test_a_file_in_use_is_looked_at_beside_it(tmp_path):
    url = "sqlite:///faces.db"
    opened = Database(LibraryConfig.model_validate({"folder": tmp_path, "database": url}))
    assert looked(url, tmp_path)["database"][0] == "pass"
    opened.close()


def test_a_file_of_another_kind_is_a_failure(tmp_path):
    (tmp_path / "faces.db").write_bytes(b"no database at all" * 1000)
    found = looked("sqlite:///faces.db", tmp_path)
    assert found["database"][0] == "fail"
    assert "database_damaged" in found["database"][1]
    assert found["database_rights"][0] == "not applicable"


def test_a_database_of_a_newer_release_is_a_failure(tmp_path):
    made("sqlite:///faces.db", tmp_path)
    with sqlite3.connect(tmp_path / "faces.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    outcome, text = looked("sqlite:///faces.db", tmp_path)["database_tables"]
    assert (outcome, "9999" in text) == ("fail", True)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request):
    return request.getfixturevalue(request.param)


def test_a_server_is_told_with_version_rights_and_latency_and_nothing_is_made(server, tmp_path):
    url = server.new_database()
    found = looked(url, tmp_path)
    kind = url.partition(":")[0]
    name = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}[kind]
    assert found["database"] == ("pass", f"{name} at 127.0.0.1:{server.port}/{url.split('/')[-1]}")
    told = server.ask("SHOW server_version" if kind == "postgresql" else "SELECT version()")[0][0]
    number = found[f"{kind}_version"][1].split()[1]
    assert told.startswith(number)
    assert number.count(".") >= 1
    assert found["database_rights"] == ("pass", "may make its tables, read and write them")
    assert found["database_tables"][1] == "are made, or brought up, at the next start"
    assert found["database_latency"][1].endswith(" ms for a statement")
    assert found["database_link"] == ("pass", "within this machine")
    engine = create_engine(LibraryConfig(database=url).url())
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_a_server_with_the_tables_of_this_release_is_told_so(server, tmp_path):
    url = server.new_database()
    made(url, tmp_path)
    found = looked(url, tmp_path)
    assert found["database_tables"] == ("pass", "as this release has them")
    assert found["database_rights"][0] == "pass"


def test_a_user_of_postgresql_without_rights_is_told_what_is_missing(postgresql, tmp_path):
    url = postgresql.new_database()
    made(url, tmp_path)
    name = f"reader_{postgresql.port}"
    postgresql.ask(f"CREATE ROLE {name} LOGIN")
    found = looked(url.replace("faces@", f"{name}@"), tmp_path)
    outcome, text = found["database_rights"]
    assert outcome == "fail"
    assert "CREATE on the schema public" in text
    assert "SELECT on access_key" in text
    assert found["database_tables"][0] == "warning"
    assert "permission denied" in found["database_tables"][1]


def test_a_user_of_mariadb_without_rights_is_told_what_is_missing(mariadb, tmp_path):
    url = mariadb.new_database()
    made(url, tmp_path)
    name, base = f"reader_{mariadb.port}", url.rpartition("/")[2]
    mariadb.ask(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{SECRET}'")
    mariadb.ask(f"GRANT SELECT, INSERT ON `{base}`.* TO {name}@'127.0.0.1'")
    known = url.replace("root@", f"{name}:{SECRET}@")
    outcome, text = looked(known, tmp_path)["database_rights"]
    assert outcome == "fail"
    assert text == "missing: UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES"
    mariadb.ask(f"GRANT ALL ON `{base}`.* TO {name}@'127.0.0.1'")
    assert looked(known, tmp_path)["database_rights"][0] == "pass"


def test_a_wrong_password_is_a_failure_that_does_not_show_it(mariadb, tmp_path):
    url = mariadb.new_database()
    name = f"guarded_{mariadb.port}"
    mariadb.ask(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'another'")
    found = looked(url.replace("root@", f"{name}:{SECRET}@"), tmp_path)
    assert found["database"][0] == "fail"
    assert SECRET not in str(found)


def test_a_database_that_is_not_there_is_a_failure(server, tmp_path):
    url = f"{server.new_database()}_of_nobody"
    found = looked(url, tmp_path)
    assert found["database"][0] == "fail"
    assert found["database_latency"] == ("not applicable", "the database cannot be reached")


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_is_not_there_is_a_failure_without_the_password(kind, tmp_path):
    (port,) = unused_ports(1)
    found = looked(f"{kind}://faces:{SECRET}@127.0.0.1:{port}/faces", tmp_path)
    assert found["database"][0] == "fail"
    assert SECRET not in str(found)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_takes_the_connection_and_says_nothing_hangs_nothing(kind, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"{kind}://faces:{SECRET}@127.0.0.1:{port}/faces"
        found = looked(url, tmp_path, patience_s=0.5)
    assert found["database"][0] == "fail"
    assert "gave no answer within 0.5 s" in found["database"][1]
    assert SECRET not in str(found)


def test_a_server_that_can_be_reached_again_passes_again(postgresql, tmp_path):
    cable = Cable(postgresql.port)
    url = postgresql.new_database().replace(f":{postgresql.port}/", f":{cable.port}/")
    assert looked(url, tmp_path)["database"][0] == "pass"
    cable.cut()
    assert looked(url, tmp_path)["database"][0] == "fail"
    cable.mend()
    assert looked(url, tmp_path)["database"][0] == "pass"
    cable.cut()


@pytest.mark.parametrize(
    ("scope", "covers"),
    [("*.*", True), ("`faces`.*", True), ("`fac%`.*", True), ("`face_`.*", True),
     (r"`face\_`.*", False), ("`faces`.`user`", False), ("`other`.*", False), ("`%`.*", True)],
)  # fmt: skip
def test_the_scope_of_a_grant_is_read_as_mariadb_means_it(scope, covers):
    assert _covers(scope, "faces") == covers
