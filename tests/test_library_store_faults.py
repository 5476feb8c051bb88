"""Databases that are locked, full, gone, read-only or damaged: a clear error, and on they go."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from library.config import LibraryConfig
from library.errors import DatabaseError
from library.store import Store
from tests.databases import Server
from tests.faces import enrolment

BATCH = [enrolment("staff", f"new{seed}", seed) for seed in range(200)]


def fails(code: str):
    return pytest.raises(DatabaseError, check=lambda error: error.code == code)


def staffed(store: Store) -> Store:
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", "a", 1, token="t")])
    return store


def assert_only(store: Store, *users: str) -> None:
    """These users are there, nothing is half there, and the store works."""
    assert store.users("shop", "staff") == list(users)
    assert list(store.check()) == []
    store.enrol("shop", [enrolment("staff", "later", 2)])
    store.delete_user("shop", "later")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.db"


@pytest.fixture
def on_file(open_store, file):
    """A staffed store on SQLite that does not wait long."""
    return staffed(open_store(f"sqlite:///{file}", database_timeout_s=0.3))


@contextmanager
def file_size_limit(size: int):
    """As a full disk: nothing can be written behind `size` bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk():
    """A mounted file system of 2 MiB."""
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def test_a_locked_sqlite_file_is_told_after_the_time_set(on_file, file):
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with fails("database_locked"):
        on_file.enrol("shop", BATCH)
    assert on_file.face("shop", "t"), "reading goes on"
    other.execute("ROLLBACK")
    assert_only(on_file, "a")


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_locked_row_is_told_after_the_time_set(system, request, open_store):
    url = request.getfixturevalue(system).new_database()
    store = staffed(open_store(url, database_timeout_s=1))
    with store._database.engine.connect() as other:
        other.execute(text("UPDATE app SET version = version"))
        with fails("database_locked"):
            store.enrol("shop", BATCH)
        assert store.face("shop", "t"), "reading goes on"
        other.rollback()
    assert_only(store, "a")


def test_a_file_that_cannot_grow_loses_nothing(on_file, file):
    with file_size_limit(file.with_name("faces.db-wal").stat().st_size + 10_000):
        for _ in range(3):
            with pytest.raises(DatabaseError) as error:
                on_file.enrol("shop", BATCH)
            assert error.value.code in ("database_full", "database_unavailable")
        assert on_file.face("shop", "t"), "reading goes on"
    assert_only(on_file, "a")
    on_file.enrol("shop", BATCH)


def test_a_full_disk_loses_nothing(small_disk, open_store):
    store = staffed(open_store(f"sqlite:///{small_disk}/faces.db"))
    users = ["a"]
    with fails("database_full"):
        for number in range(100):
            faces = [enrolment("staff", f"u{number}_{seed}", seed, dim=512) for seed in range(20)]
            store.delete_user("shop", "a") if number == 0 else None
            store.enrol("shop", faces)
            users += [one.user for one in faces]
    users.remove("a")
    with fails("database_full"):
        store.enrol("shop", [enrolment("staff", f"x{n}", n, dim=512) for n in range(300)])
    assert store.users("shop", "staff", length=1000) == users
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    store.delete_user("shop", users.pop(0))
    assert_only_large(store, users)


def assert_only_large(store: Store, users: list[str]) -> None:
    assert store.users("shop", "staff", length=1000) == users
    assert list(store.check()) == []
    store.enrol("shop", [enrolment("staff", f"x{n}", n, dim=512) for n in range(300)])


def test_a_disk_that_turns_read_only_and_back(small_disk, open_store):
    store = staffed(open_store(f"sqlite:///{small_disk}/faces.db"))
    # Open for writing, a file would keep the file system from turning read-only.
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(DatabaseError) as error:
        store.enrol("shop", BATCH)
    assert error.value.code in ("database_read_only", "database_unavailable")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert_only(store, "a")


def test_a_file_without_the_right_to_write_is_read_and_told(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="faces-"))
    file = folder / "faces.db"
    config = LibraryConfig(database=f"sqlite:///{file}")
    root = os.geteuid() == 0
    # SQLite needs the log's index, which a running writer keeps there.
    with staffed(Store(config)) as writer:
        try:
            if root:
                folder.chmod(0o755)
                for one in folder.iterdir():
                    one.chmod(0o644)
                os.seteuid(pwd.getpwnam("nobody").pw_uid)
            else:
                file.chmod(0o400)
            with Store(config) as reader:
                assert reader.face("shop", "t")
                with fails("database_read_only"):
                    reader.enrol("shop", BATCH)
                os.seteuid(0) if root else file.chmod(0o600)
                assert_only(reader, "a")
        finally:
            if root:
                os.seteuid(0)
        assert_only(writer, "a")
    shutil.rmtree(folder)


def test_a_file_that_is_taken_away_and_put_back(on_file, file, tmp_path):
    away = tmp_path / "away"
    away.mkdir()
    for name in ("faces.db", "faces.db-wal", "faces.db-shm"):
        shutil.move(str(tmp_path / name), away)
    for call in (
        lambda: on_file.enrol("shop", BATCH),
        lambda: on_file.face("shop", "t"),
        lambda: on_file.versions(),
    ):
        with fails("database_unavailable"):
            call()
    assert not file.exists(), "no empty library is made in its place"
    for one in away.iterdir():
        shutil.move(str(one), tmp_path)
    assert_only(on_file, "a")


def test_a_file_that_is_replaced_is_read_from_then_on(on_file, file, tmp_path, open_store):
    with staffed(Store(LibraryConfig(database=f"sqlite:///{tmp_path}/other.db"))) as other:
        other.enrol("shop", [enrolment("staff", "b", 2)])
    on_file._database.engine.dispose()
    os.replace(tmp_path / "other.db", file)
    assert_only(on_file, "a", "b")


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "faces.db").write_bytes(os.urandom(10_000))
    with fails("database_damaged"):
        Store(LibraryConfig(database=f"sqlite:///{tmp_path}/faces.db"))


def test_a_damaged_file_is_told(on_file, file):
    on_file.enrol("shop", BATCH)
    on_file.close()
    content = bytearray(file.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    file.write_bytes(content)
    with fails("database_damaged"):
        on_file.users("shop", "staff")


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with fails("database_unavailable"):
        Store(LibraryConfig(database=f"sqlite:///{tmp_path}/file/faces.db"))


def test_a_database_of_a_newer_version_is_refused(store, database_url):
    with store._database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with fails("database_version"):
            Store(LibraryConfig(database=database_url))
    finally:
        with store._database.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_server_that_is_gone_and_back(system, request, open_store):
    server: Server = request.getfixturevalue(system)
    store = staffed(open_store(server.new_database(), database_timeout_s=2))
    for with_signal in (None, 9):
        server.stop(with_signal)
        try:
            for call in (
                lambda: store.enrol("shop", BATCH),
                lambda: store.face("shop", "t"),
                lambda: store.versions(),
            ):
                with fails("database_unavailable"):
                    call()
        finally:
            server.start()
        assert_only(store, "a")


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_server_that_goes_amid_a_transaction(system, request, open_store):
    server: Server = request.getfixturevalue(system)
    store = staffed(open_store(server.new_database(), database_timeout_s=2))

    def work(connection):
        connection.execute(text("UPDATE app SET version = version + 1"))
        server.stop(9)
        connection.execute(text("DELETE FROM removal"))

    try:
        with fails("database_unavailable"):
            store._database.write(work)
    finally:
        server.start()
    assert store.versions()["shop"].version == 1
    assert_only(store, "a")


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_wrong_address_is_told_without_the_password(system, request):
    url: str = request.getfixturevalue(system).url("missing")
    nobody = url.replace("//", "//nobody:secret@", 1).replace("faces@", "").replace("root@", "")
    for wrong in (url, nobody):
        with fails("database_unavailable") as error:
            Store(LibraryConfig(database=wrong, database_timeout_s=1))
        assert "secret" not in str(error.value)


# What the server is made to say, and the code of it; None is tried again.
SAID = {
    "postgresql": {
        "53100": "database_full",
        "25006": "database_read_only",
        "57P03": "database_unavailable",
        "55P03": "database_locked",
        "XX001": "database_damaged",
        "40001": None,
        "40P01": None,
    },
    "mariadb": {
        1021: "database_full",
        1114: "database_full",
        1290: "database_read_only",
        1205: "database_locked",
        1040: "database_unavailable",
        1213: None,
    },
}
SAY = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'said' USING ERRCODE = '{}'; END $$",
    "mariadb": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}, MESSAGE_TEXT = 'said'",
}


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_what_a_server_says_is_told_in_the_librarys_codes(system, request, open_store):
    store = staffed(open_store(request.getfixturevalue(system).new_database()))
    for number, code in SAID[system].items():
        attempts = []

        def work(connection, number=number, attempts=attempts):
            connection.execute(text("UPDATE app SET version = version + 1"))
            attempts.append(number)
            if len(attempts) < 3:
                connection.exec_driver_sql(SAY[system].format(number))

        if code is None:
            before = store.versions()["shop"].version
            store._database.write(work)
            assert len(attempts) == 3
            assert store.versions()["shop"].version == before + 1
        else:
            with fails(code):
                store._database.write(work)
    assert_only(store, "a")


def test_an_interrupted_making_of_the_tables_is_finished_on_mariadb(mariadb, open_store):
    url = mariadb.new_database()
    open_store(url).close()
    name = url.rpartition("/")[2]
    for table in ("alembic_version", "removal", "entry", "crop"):
        mariadb.ask(f"DROP TABLE {name}.{table}")
    assert_only(staffed(open_store(url)), "a")


def test_messages_hold_nothing_of_a_face(on_file, file):
    with file_size_limit(1000), pytest.raises(DatabaseError) as error:
        on_file.enrol("shop", BATCH)
    shown = f"{error.value} {error.value.__cause__}"
    assert "INSERT" not in str(error.value)
    assert len(shown) < 1000
