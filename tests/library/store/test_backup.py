"""Backups and their restoring, between all databases."""

from __future__ import annotations

import hashlib
import sqlite3
import threading

import pytest

from library.backup.backup import holds_user
from library.errors import BackupError
from tests.support.libraries.faces import enrolment
from tests.support.libraries.shop import content


def test_a_backup_can_be_put_back_into_every_database(staffed, tmp_path, open_store, request):
    expected = content(staffed), content(staffed, "bank")
    staffed.backup(tmp_path / "backups" / "one.db")
    targets = [f"sqlite:///{tmp_path}/restored.db"]
    if staffed._database.backend != "sqlite":
        targets.append(request.getfixturevalue(staffed._database.backend).new_database())
    else:
        targets += [request.getfixturevalue(n).new_database() for n in ("postgresql", "mariadb")]
    for url in targets:
        restored = open_store(url, store_crops=True)
        restored.restore(tmp_path / "backups" / "one.db")
        assert (content(restored), content(restored, "bank")) == expected
        assert list(restored.check()) == []
        restored.enrol("shop", [enrolment("staff", "new", 7)])
        assert len(content(restored)) == len(expected[0]) + 1


def test_a_restore_replaces_only_when_asked_and_indexes_notice(staffed, tmp_path):
    expected, before = content(staffed), staffed.versions()["shop"]
    staffed.backup(tmp_path / "one.db")
    staffed.delete_user("shop", "u0")
    changed = content(staffed)
    with pytest.raises(BackupError) as error:
        staffed.restore(tmp_path / "one.db")
    assert error.value.code == "restore_not_empty"
    assert content(staffed) == changed
    staffed.restore(tmp_path / "one.db", replace=True)
    assert content(staffed) == expected
    after = staffed.versions()["shop"]
    assert after.origin != before.origin
    assert after.floor == after.version
    assert list(staffed.check()) == []


def test_a_backup_is_of_one_moment_while_others_write(staffed, tmp_path):
    stop, made = threading.Event(), []

    def write():
        while not stop.is_set():
            number = len(made)
            staffed.enrol("shop", [enrolment("staff", f"w{number}", n) for n in range(2)])
            made.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            staffed.backup(tmp_path / f"{number}.db")
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        staffed.restore(tmp_path / f"{number}.db", replace=True)
        assert list(staffed.check()) == []
        users = [user for user in staffed.users("shop", "staff") if user.startswith("w")]
        assert users == [f"w{n}" for n in range(len(users))], "no gap"


def test_progress_of_backup_and_restore_is_told(staffed, tmp_path):
    told = []
    staffed.backup(tmp_path / "one.db", lambda *numbers: told.append(numbers))
    if staffed._database.backend != "sqlite":
        assert told[-1][0] == told[-1][1] > 0
    staffed.restore(tmp_path / "one.db", True, lambda *numbers: told.append(numbers))
    assert told[-1][0] == told[-1][1] > 0


def test_backups_are_listed_and_can_be_asked_for_a_user(staffed, tmp_path):
    for name in ("one.db", "two.db", "one.db"):
        staffed.backup(tmp_path / name)
    assert [record.path.name for record in staffed.backups()] == ["two.db", "one.db"]
    assert holds_user(tmp_path / "one.db", "shop", "u0")
    assert not holds_user(tmp_path / "one.db", "bank", "u0")
    assert not holds_user(tmp_path / "one.db", "shop", "nobody")
    checksum = hashlib.sha256((tmp_path / "one.db").read_bytes()).hexdigest()
    assert (tmp_path / "one.db.sha256").read_text() == f"{checksum}  one.db\n"
    assert (tmp_path / "one.db").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".backup*"))


def test_what_is_no_whole_backup_is_refused_and_changes_nothing(staffed, tmp_path):
    before = content(staffed)
    good = tmp_path / "good.db"
    staffed.backup(good)
    whole = good.read_bytes()
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE face (id INTEGER)")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    cases = {
        "missing.db": None,
        "empty.db": b"",
        "text.db": b"SQLite format 3, not",
        "cut.db": whole[: len(whole) // 2],
        "other.db": (tmp_path / "other.db").read_bytes(),
        "flipped.db": bytes(flipped),
    }
    for name, bytes_ in cases.items():
        path = tmp_path / name
        if bytes_ is not None:
            path.write_bytes(bytes_)
        if name == "flipped.db":
            checksum = (tmp_path / "good.db.sha256").read_text()
            (tmp_path / "flipped.db.sha256").write_text(checksum)
        with pytest.raises(BackupError) as error:
            staffed.restore(path, replace=True)
        assert error.value.code == "backup_unreadable", name
        assert content(staffed) == before


def test_a_backup_that_cannot_be_written_leaves_the_old_one(staffed, tmp_path):
    staffed.backup(tmp_path / "one.db")
    old = (tmp_path / "one.db").read_bytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError) as error:
        staffed.backup(tmp_path / "file" / "one.db")
    assert error.value.code == "backup_failed"
    assert (tmp_path / "one.db").read_bytes() == old


def test_a_backup_of_a_newer_version_is_refused(staffed, tmp_path):
    staffed.backup(tmp_path / "one.db")
    (tmp_path / "one.db.sha256").unlink()
    with sqlite3.connect(tmp_path / "one.db") as old:
        old.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BackupError) as error:
        staffed.restore(tmp_path / "one.db", replace=True)
    assert error.value.code == "backup_unreadable"
    assert "9999" in error.value.message
