"""Backups that somebody else has prepared: refused in words, and nothing is changed."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from library.backup.backup import holds_user
from library.errors import BackupError
from library.store.store import Store
from settings.library import LibraryConfig
from tests.support.libraries.faces import enrolment, vectors
from tests.support.libraries.shop import content, one_user, raises

pytestmark = pytest.mark.attack

FACE = "UPDATE face SET {} WHERE token = 't'"
GOOD = vectors(1, 1)[0]
ENDLESS = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT {} FROM n"

ROWS = {
    "zero": (FACE.format("embedding = zeroblob(64)"), "face, row 1: its embedding is not of unit"),
    "NaN": (FACE.format(f"embedding = X'{np.full(16, np.nan, '<f4').tobytes().hex()}'"), "row 1"),
    "infinite": (FACE.format(f"embedding = X'{np.full(16, np.inf, '<f4').tobytes().hex()}'"), "1:"),
    "long": (FACE.format(f"embedding = X'{(GOOD * 1.0001).tobytes().hex()}'"), "unit length"),
    "one number less": (FACE.format(f"embedding = X'{GOOD[:-1].tobytes().hex()}'"), "16 numbers"),
    "an empty embedding": (FACE.format("embedding = X'', dim = 0"), "dim is not 1"),
    "a text for an embedding": (FACE.format("embedding = printf('%64d', 1)"), "16 numbers"),
    "a number for an embedding": (FACE.format("embedding = 100000000000000"), "16 numbers"),
    "another dimension": (FACE.format("dim = 15, embedding = zeroblob(60)"), "row 1"),
    "a dimension without end": (FACE.format("dim = 9223372036854775807"), "dim is not"),
    "another recogniser": (FACE.format("model = 'other'"), "another recogniser"),
    "no recogniser": ("UPDATE app SET model = NULL, dim = NULL", "another recogniser"),
    "half a recogniser": ("UPDATE app SET dim = NULL", "half a recogniser"),
    "a recogniser's name": (FACE.format("model = '../x'"), "recogniser's name"),
    "a token": (FACE.format("token = 'a/b'"), "token"),
    "a number for a token": (FACE.format("token = X'41'"), "token"),
    "infinite quality": (FACE.format("quality = 9e999"), "quality"),
    "a text for quality": (FACE.format("quality = 'good'"), "quality"),
    "long metadata": (FACE.format("metadata = printf('%5000d', 1)"), "metadata"),
    "half a character": (FACE.format("metadata = CAST(X'ff' AS TEXT)"), "surrogate"),
    "a user's name": ("UPDATE person SET name = 'a b'", "person, row 1: user 'a b'"),
    "a long name": ("UPDATE person SET name = printf('%0200d', 1)", "user"),
    "no text for info": ("UPDATE person SET info = X'00'", "info"),
    "a group's name": ("UPDATE face_group SET name = ''", "group ''"),
    "an app's name": ("UPDATE app SET name = 'a' || char(0)", "app, row 1: app"),
    "a time that has no date": ("UPDATE app SET created = 1000000000000000000", "created"),
    "a text for a time": (FACE.format("created = 'now'"), "created"),
    "the last version": ("UPDATE app SET version = 9223372036854775807", "version"),
    "a version without end": ("UPDATE app SET version = 9e999", "version"),
    "the last number": ("UPDATE face SET id = 9223372036854775807", "row 9223372036854775807"),
    "a number below zero": ("UPDATE entry SET id = -5", "entry, row -5"),
    "an entry from the future": ("UPDATE entry SET version = 999", "newer than its app"),
    "a face without app": (FACE.format("app_id = 77"), "its app is missing"),
    "an entry without face": ("UPDATE entry SET face_id = 77", "its face is missing"),
    "an entry without user": ("UPDATE entry SET person_id = 77", "not in its group"),
    "an entry in another group": ("UPDATE entry SET group_id = 77", "not in its group"),
    "a user without group": ("UPDATE person SET group_id = 77", "its group is missing"),
    "a group without app": ("UPDATE face_group SET app_id = 77", "its app is missing"),
    "a picture without face": ("INSERT INTO crop VALUES (77, X'00')", "crop, row 77"),
    "a text for a picture": ("INSERT INTO crop VALUES (1, 'x')", "crop, row 1"),
    "a word for a key": ("INSERT INTO token_key VALUES (1, 'secret')", "token_key, row 1"),
    "bytes for a key": ("INSERT INTO token_key VALUES (1, zeroblob(64))", "token_key, row 1"),
    "a second key": (f"INSERT INTO token_key VALUES (2, '{'0' * 64}')", "token_key, row 2"),
}

SCHEMAS = {
    "an endless view for a table": (
        "DROP TABLE crop",
        f"CREATE VIEW crop AS {ENDLESS.format('id AS face_id, zeroblob(1) AS png')}",
    ),
    "an endless view for the version": (
        "DROP TABLE alembic_version",
        f"CREATE VIEW alembic_version AS {ENDLESS.format('id AS version_num')}",
    ),
    "a view beside the tables": ("CREATE VIEW mine AS SELECT 1",),
    "a trigger": ("CREATE TRIGGER x AFTER INSERT ON app BEGIN DELETE FROM app; END",),
    "a virtual table": ("CREATE VIRTUAL TABLE mine USING fts5(text)",),
    "a table more": ("CREATE TABLE mine (id INTEGER)",),
    "a table less": ("DROP TABLE entry",),
    "an index more": ("CREATE INDEX mine ON face (abs(quality))",),
    "a generated column": ("ALTER TABLE person ADD COLUMN x AS (zeroblob(1000000000))",),
    "a column with another rule": ("ALTER TABLE app ADD COLUMN x INTEGER CHECK (x > random())",),
    "no version": ("DELETE FROM alembic_version",),
    "two versions": ("INSERT INTO alembic_version VALUES ('0001')",),
    "a version that is none": ("UPDATE alembic_version SET version_num = X'00'",),
    "a write-ahead log": ("PRAGMA journal_mode = WAL",),
}


class Shop:
    """A library with a face, and a good backup of it. What is refused leaves it as it is."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "faces.db"
        self.good = folder / "good.db"
        self.store = one_user(Store(LibraryConfig(database=f"sqlite:///{self.file}")))
        self.store.backup(self.good)
        (folder / "good.db.sha256").unlink()
        self.store.enrol("shop", [enrolment("staff", "later", 2)])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """One for all tests that are refused."""
    made = Shop(tmp_path_factory.mktemp("shop"))
    yield made
    made.store.close()


@pytest.fixture
def own_shop(tmp_path):
    """One for a test that changes it."""
    made = Shop(tmp_path)
    yield made
    made.store.close()


def change(good, *statements):
    """A backup with a change to it."""
    path = good.with_name("bad.db")
    path.unlink(missing_ok=True)
    shutil.copy(good, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            connection.execute(statement)
    return path


def refused(store, path) -> str:
    """What a restore of a bad backup says; it changes nothing."""
    before = content(store)
    with raises("backup_unreadable", BackupError) as error:
        store.restore(path, replace=True)
    assert content(store) == before
    return str(error.value.message)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_could_not_have_been_enrolled_is_told(shop, name):
    statement, words = ROWS[name]
    assert words in refused(shop.store, change(shop.good, statement))


@pytest.mark.parametrize("name", SCHEMAS)
def test_only_the_tables_of_this_software_are_a_backup(shop, name):
    path = change(shop.good, *SCHEMAS[name])
    assert re.search(r"tables|version|in use", refused(shop.store, path))
    with raises("backup_unreadable", BackupError):
        holds_user(path, "shop", "a")


def test_a_pipe_or_a_folder_is_not_waited_for(shop, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link", "."):
        refused(shop.store, tmp_path / name)
    shutil.copy(shop.good, tmp_path / "copy.db")
    os.mkfifo(tmp_path / "copy.db.sha256")
    refused(shop.store, tmp_path / "copy.db")


def test_a_row_is_told_before_anything_is_changed_also_on_servers(staffed, tmp_path):
    staffed.backup(tmp_path / "good.db")
    (tmp_path / "good.db.sha256").unlink()
    for name in ("zero", "an entry from the future", "the last version"):
        refused(
            staffed,
            change(tmp_path / "good.db", ROWS[name][0].replace("token = 't'", "token = 't0'")),
        )


def test_wrong_counts_are_counted_again(own_shop):
    shop = own_shop.store
    shop.restore(change(own_shop.good, "UPDATE app SET faces = 7, entries = 0"), replace=True)
    assert list(shop.check()) == []
    assert shop.statistics("shop").faces == 1


def test_what_an_operator_has_added_to_the_database_is_in_no_backup(own_shop, tmp_path):
    shop = own_shop.store
    with closing(sqlite3.connect(own_shop.file, isolation_level=None)) as connection:
        for statement in (
            "CREATE VIEW report AS SELECT name FROM person",
            "CREATE TABLE notes (text TEXT)",
            "CREATE INDEX by_model ON face (model)",
            "CREATE TRIGGER x AFTER INSERT ON notes BEGIN SELECT 1; END",
        ):
            connection.execute(statement)
    before = content(shop)
    shop.backup(tmp_path / "one.db")
    shop.restore(tmp_path / "one.db", replace=True)
    assert content(shop) == before
