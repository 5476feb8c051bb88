"""A library that the first release wrote: up to this one, and back, on each database system."""

from __future__ import annotations

import json
import uuid

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, text

from deploy.__main__ import main
from library.backup.file import expected
from library.sql import schema
from library.sql.database import Database
from library.store.store import Store
from runtime.data_lock import DataLock, data_files
from settings.config import load_config
from tests.support.libraries.faces import DIM, MODEL, enrolment, vectors

FIRST = "0001"
# The tables of the first release, each with its columns as that release filled them.
TABLES = ("app", "face_group", "person", "face", "crop", "entry", "removal", "backup")
CREATED = 1_763_700_000_000


def written_by_the_first_release(config) -> None:
    """Its migrations, and rows as its store wrote them."""
    library = load_config(config).library_config()
    database = Database(library, bring_up=False)
    with database.engine.execution_options(writes=True).begin() as connection:
        settings = schema.LIBRARY.config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, FIRST)
        for statement, rows in _rows():
            connection.execute(text(statement), rows)
        if connection.dialect.name == "postgresql":
            # That release left these numbers to the database.
            for table in ("app", "face_group", "person", "face", "entry", "removal", "backup"):
                last = f"SELECT MAX(id) FROM {table}"
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), ({last}))")
                )
    database.close()


def _rows():
    common = {"app_id": 1, "created": CREATED}
    app = {"id": 1, "name": "default", "origin": uuid.UUID(int=7).hex, "created": CREATED}
    app |= {"version": 4, "removals_floor": 0, "model": MODEL, "dim": DIM}
    app |= {"faces": 20, "entries": 20}
    yield _insert("app", app), [app]
    group = {"id": 1, "name": "staff", **common}
    yield _insert("face_group", group), [group]
    numbers = range(1, 21)
    people = [
        {"id": n, "group_id": 1, "name": f"user{n}", "info": f"名 {n}", "created": CREATED + n}
        for n in numbers
    ]
    yield _insert("person", people[0]), people
    embeddings = [one.astype("<f4").tobytes() for one in vectors(21, seed=3)]
    faces = [
        {"id": n, "token": f"token{n}", "model": MODEL, "dim": DIM, "embedding": embeddings[n],
         "quality": 0.5 + n / 100, "metadata": f'{{"n": {n}}}', **common}
        for n in numbers
    ]  # fmt: skip
    yield _insert("face", faces[0]), faces
    crops = [{"face_id": n, "png": b"\x89PNG" + bytes([n])} for n in range(1, 11)]
    yield _insert("crop", crops[0]), crops
    entries = [
        {"id": n, "app_id": 1, "group_id": 1, "person_id": n, "face_id": n, "version": 3}
        for n in numbers
    ]
    yield _insert("entry", entries[0]), entries
    removal = {"id": 1, "version": 4, "entry_id": 21, **common}
    yield _insert("removal", removal), [removal]
    backup = {"id": 1, "path": "/backups/first.db", "created": CREATED}
    yield _insert("backup", backup), [backup]


def _insert(table: str, row: dict) -> str:
    names = ", ".join(row)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})"


def contents(config) -> dict[str, list[tuple]]:
    """All rows of the first release's tables."""
    engine = create_engine(load_config(config).library_config().url())
    with engine.connect() as connection:
        found = {
            table: sorted(
                (tuple(bytes(v) if isinstance(v, (bytes, memoryview)) else v for v in row)
                 for row in connection.execute(text(f"SELECT * FROM {table}"))), key=repr,
            )
            for table in TABLES
        }  # fmt: skip
    engine.dispose()
    return found


def tables(config) -> set[str]:
    engine = create_engine(load_config(config).library_config().url())
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found


def migrate(config, capsys, *options: str) -> dict:
    capsys.readouterr()
    assert main(["migrate", "--config", str(config), *options]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def config(settings_of, new_database):
    return settings_of(new_database)


def test_a_library_of_the_first_release_comes_up_whole_and_goes_back_whole(config, capsys):
    written_by_the_first_release(config)
    first = contents(config)
    assert migrate(config, capsys, "--show") == {"library": FIRST, "keys": None}
    assert migrate(config, capsys) == {"library": "0002", "keys": "0001"}
    assert contents(config) == first
    library = load_config(config).library_config()
    with Store(library) as store:
        assert store.statistics("default").faces == 20
        assert store.face("default", "token7").metadata == '{"n": 7}'
        key = store.token_key()
        assert list(store.check()) == []
        # What this release enrols, the first one can hold.
        store.enrol("default", [enrolment("staff", "later", 99)])
        store.delete_user("default", "user2")
    now = contents(config)
    assert now != first
    assert migrate(config, capsys, "--to", "0001,0001") == {"library": FIRST, "keys": "0001"}
    assert contents(config) == now
    assert "token_key" not in tables(config)
    # And up once more, as an upgrade that is tried again.
    assert migrate(config, capsys)["library"] == "0002"
    assert contents(config) == now
    with Store(library) as store:
        assert store.token_key() != key
        assert store.users("default", "staff")[-1] == "later"


def test_what_goes_back_has_the_tables_that_the_first_release_made(settings_of, tmp_path, capsys):
    config = settings_of(f"sqlite:///{tmp_path}/data/faces.db")
    migrate(config, capsys)
    migrate(config, capsys, "--to", "0001,0001")
    found = tables(config)
    assert {row[1] for row in expected(FIRST) if row[0] == "table"} <= found


def test_a_migration_that_is_not_known_changes_nothing(settings_of, tmp_path, capsys):
    config = settings_of(f"sqlite:///{tmp_path}/data/faces.db")
    before = migrate(config, capsys)
    for wanted, said in (("9999,0001", "There is no migration 9999"), ("x", "two migrations")):
        assert main(["migrate", "--config", str(config), "--to", wanted]) == 1
        assert said in capsys.readouterr().err
    assert migrate(config, capsys, "--show") == before


def test_nothing_is_migrated_under_a_running_service(settings_of, tmp_path, capsys):
    config = settings_of(f"sqlite:///{tmp_path}/data/faces.db")
    lock = DataLock(data_files(load_config(config)))
    lock.take()
    try:
        assert main(["migrate", "--config", str(config)]) == 2
    finally:
        lock.release()
    assert "another service" in capsys.readouterr().err


def test_the_migrations_of_this_release_are_told_without_settings(capsys):
    assert main(["migrate", "--heads"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "library": schema.head(schema.LIBRARY), "keys": "0001",
    }  # fmt: skip
