"""SQLite files that are locked, full, gone, read-only or damaged: a clear error, and on it goes."""

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

from library.errors import DatabaseError
from library.store.store import Store
from settings.library import LibraryConfig
from tests.support.libraries.faces import enrolment
from tests.support.libraries.shop import BATCH, assert_only, fails, one_user


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "faces.db"


@pytest.fixture
def on_file(open_store, file):
    """A store on SQLite that does not wait long."""
    return one_user(open_store(f"sqlite:///{file}", database_timeout_s=0.3))


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
    store = one_user(open_store(f"sqlite:///{small_disk}/faces.db"))
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
    store = one_user(open_store(f"sqlite:///{small_disk}/faces.db"))
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
    with one_user(Store(config)) as writer:
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
    with one_user(Store(LibraryConfig(database=f"sqlite:///{tmp_path}/other.db"))) as other:
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


def test_messages_hold_nothing_of_a_face(on_file, file):
    with file_size_limit(1000), pytest.raises(DatabaseError) as error:
        on_file.enrol("shop", BATCH)
    shown = f"{error.value} {error.value.__cause__}"
    assert "INSERT" not in str(error.value)
    assert len(shown) < 1000


def test_a_commit_is_on_the_disk_before_it_is_answered(on_file):
    with on_file._database.reading() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    # 2 is FULL: https://www.sqlite.org/pragma.html#pragma_synchronous
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
    }


def test_the_file_is_nobody_elses_business(tmp_path, open_store):
    one_user(open_store(f"sqlite:///{tmp_path}/new/faces.db"))
    for file in (tmp_path / "new").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
