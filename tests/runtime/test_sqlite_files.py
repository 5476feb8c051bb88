"""SQLite keeps its locks: nothing in a process opens a database that SQLite has open there."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.auth.key_store import KeyStore
from library.backup import backup
from library.errors import BackupError
from library.face_token_file import KnownFace, TokenFile, new_entry
from library.store.store import Store
from runtime import sqlite_files
from settings.library import LibraryConfig
from tests.support.libraries.shop import one_user, raises

pytestmark = pytest.mark.attack

# Where SQLite locks a database for reading: PENDING_BYTE + 2, 510 bytes (os.h).
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510

# Another process's question: this one's own locks stand in nobody's own way.
_ASK = """
import fcntl, os, struct, sys
with open(sys.argv[1], "r+b") as file:
    start, size = map(int, sys.argv[2:])
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, size, 0)
    print(struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, wanted))[0])
"""


def is_locked(file: Path) -> bool:
    """Whether a process, as this one, keeps others from taking a database for itself."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(file), str(SHARED_FIRST), str(SHARED_SIZE)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout) != fcntl.F_UNLCK


def test_a_file_that_is_opened_past_sqlite_loses_its_locks(tmp_path):
    """What all this is about; and that the other tests would see it."""
    file = tmp_path / "faces.db"
    with one_user(Store(LibraryConfig(database=f"sqlite:///{file}"))):
        assert is_locked(file)
        os.close(os.open(file, os.O_RDONLY))
        assert not is_locked(file)
    assert struct.calcsize("hhqqi4x") == 32


def test_nothing_that_a_process_does_with_its_database_unlocks_it(tmp_path):
    file = tmp_path / "faces.db"
    config = LibraryConfig(database=f"sqlite:///{file}", store_crops=True)
    linked = tmp_path / "linked.db"
    with one_user(Store(config)) as store:
        os.link(file, linked)
        for path in (file, linked):
            for refused in (
                lambda path=path: store.backup(path),
                lambda path=path: store.restore(path, replace=True),
                lambda path=path: backup.holds_user(path, "shop", "a"),
            ):
                with raises("backup_is_database", BackupError):
                    refused()
                assert is_locked(file)
        keys = KeyStore(config)
        key, _ = keys.create("shop", "read")
        keys.revoke(key.id)
        keys.close()
        assert is_locked(file), "the gateway has it open twice"
        with Store(config) as second:
            second.users("shop", "staff")
        assert is_locked(file)
        for work in (
            lambda: store.backup(tmp_path / "copy.db"),
            lambda: store.restore(tmp_path / "copy.db", replace=True),
            lambda: list(store.export("shop", crops=True)),
            lambda: list(store.check()),
            store.repair,
            store.compact,
        ):
            work()
            # A read opens the connection again where the work has closed the last one.
            store.versions()
            assert is_locked(file)


def test_the_file_of_face_tokens_is_used_twice_and_stays_locked(tmp_path):
    file = tmp_path / "tokens.db"
    face = KnownFace("t", "shop", "model", np.zeros(4, np.float32), {}, 1.0, None, None, None)
    one, other = TokenFile(file), TokenFile(file)
    one.write([new_entry(face, 1.0)])
    assert is_locked(file)
    assert other.read("t") is not None
    other.close()
    assert is_locked(file)
    one.close()


def test_a_database_is_made_once_by_all_and_is_its_owners_alone(tmp_path):
    file, link = tmp_path / "new.db", tmp_path / "link.db"
    link.symlink_to(file)
    for path in (link, file, link):
        sqlite_files.make(path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size == 0
    file.write_bytes(b"content")
    sqlite_files.make(file)
    assert file.read_bytes() == b"content"
