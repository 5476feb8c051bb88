"""Indexes follow the database: other processes' writes, restarts, kills, bad snapshots."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from contextlib import closing

import numpy as np
import pytest

from inference.scores import Recogniser
from library.errors import LibraryError
from library.library import Library
from tests.support.libraries.databases import Server
from tests.support.libraries.faces import enrolment, vectors
from tests.support.libraries.in_folder import (
    RECOGNISER,
    found_users,
    library_config,
    open_library,
    snapshots,
    users,
)
from tests.support.libraries.peer import peer
from tests.support.service import wait_until

# Far more than a poll takes, for machines that stand still at times.
SOON_S = 20


def best(library, seed, app="shop"):
    return users(library.search(app, vectors(1, seed))[0])


def code_of(call):
    with pytest.raises(LibraryError) as caught:
        call()
    return caught.value.code


def staffed(folder, count=30, **settings):
    """A library with users u0, u1, ..., closed."""
    with open_library(folder, **settings) as library:
        library.create_group("shop", "staff")
        library.enrol("shop", [enrolment("staff", f"u{seed}", seed) for seed in range(count)])


def told(folder, **settings):
    """How many entries a start reads from the database; the library it opened finds u1."""
    counts = []
    config = library_config(folder, **settings)
    with Library(config, RECOGNISER, progress=lambda _: lambda done, _: counts.append(done)) as new:
        assert best(new, 1)[0] == "u1"
    return counts[-1] if counts else 0


@pytest.mark.parametrize("kind", ["exact", "approximate"])
def test_two_processes_see_each_others_changes(tmp_path, kind):
    settings = {"index": {"kind": kind}}
    with open_library(tmp_path, **settings) as library, peer(tmp_path, **settings) as other:
        library.create_group("shop", "staff")
        library.enrol("shop", [enrolment("staff", "ann", 1)])
        assert wait_until(lambda: other.best(1) == ["ann"], SOON_S)
        other.enrol("bob", 2)
        assert other.best(2)[0] == "bob"
        assert wait_until(lambda: found_users(library, 2)[:1] == ["bob"], SOON_S)
        other.delete("ann")
        assert wait_until(lambda: found_users(library, 1) == ["bob"], SOON_S)
        other.end()
        assert other.process.exitcode == 0


def test_an_app_that_another_process_makes_is_searched(tmp_path):
    with open_library(tmp_path) as library, open_library(tmp_path) as other:
        other.create_group("bank", "staff")
        other.enrol("bank", [enrolment("staff", "ann", 1)])
        assert wait_until(lambda: found_users(library, 1, "bank") == ["ann"], SOON_S)


def test_an_index_that_does_not_follow_is_seen_to_be_behind(tmp_path, monkeypatch):
    with open_library(tmp_path) as library, open_library(tmp_path) as other:
        library.create_group("shop", "staff")
        library.enrol("shop", [enrolment("staff", "ann", 1)])
        place = library.index_places()["shop"]
        assert place.reached == place.version > 0
        monkeypatch.setattr(library._indexes, "_synchronise", lambda *_: None)
        other.enrol("shop", [enrolment("staff", "bob", 2)])
        behind = library.index_places()["shop"]
        assert place.version == behind.reached < behind.version
        library._indexes.catch_up("shop")
        caught_up = library.index_places()["shop"]
        assert caught_up.reached == caught_up.version == behind.version


def test_a_start_takes_the_snapshot_and_reads_only_what_came_after_it(tmp_path):
    staffed(tmp_path)
    assert len(snapshots(tmp_path)) == 1
    assert told(tmp_path) == 0
    kept = snapshots(tmp_path)[0].read_bytes()
    with open_library(tmp_path) as library:
        library.enrol("shop", [enrolment("staff", "late", 99)])
        library.delete_user("shop", "u3")
    snapshots(tmp_path)[0].write_bytes(kept)
    assert told(tmp_path) == 1
    snapshots(tmp_path)[0].write_bytes(kept)
    with open_library(tmp_path) as library:
        assert best(library, 99)[0] == "late"
        assert "u3" not in users(library.search("shop", vectors(1, 3), users=50)[0])


@pytest.mark.slow
def test_what_a_killed_process_had_acknowledged_is_found_after_a_restart(tmp_path):
    staffed(tmp_path, 1)
    kept = snapshots(tmp_path)[0].read_bytes()
    sure, turns = ["u0"], np.random.default_rng(5)
    for _ in range(50):
        with peer(tmp_path, index={"snapshot_interval_s": 1}) as other:
            other.begin_enrolling(len(sure))
            for _ in range(int(turns.integers(1, 16))):
                sure.append(other.enrolled(SOON_S))
            other.kill()
            while last := other.enrolled(0):
                sure.append(last)
        if turns.random() < 0.5:
            snapshots(tmp_path)[0].write_bytes(kept)
        with open_library(tmp_path, limits={"queries_per_search": 5000}) as library:
            assert sure == [f"u{number}" for number in range(len(sure))]
            found = library.search("shop", [vectors(1, n)[0] for n in range(len(sure))], users=1)
            assert [hits[0].user for hits in found] == sure
            # At most the one enrolment that was under way is there besides.
            assert library.store.statistics("shop").faces - len(sure) in (0, 1)
            if library.store.statistics("shop").faces > len(sure):
                library.delete_user("shop", f"u{len(sure)}")
            assert list(library.store.check()) == []


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "of something else":
        path.write_bytes(b"PK" + bytes(len(content)))
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + b"\xff\x00\xaa" + content[middle + 3 :])


@pytest.mark.parametrize("how", ["truncated", "empty", "of something else", "changed"])
def test_a_damaged_snapshot_is_told_in_one_line_and_built_again(tmp_path, caplog, how):
    staffed(tmp_path)
    damage(snapshots(tmp_path)[0], how)
    with caplog.at_level(logging.WARNING, "library"):
        assert told(tmp_path) == 30
    (line,) = [record.getMessage() for record in caplog.records if record.name == "library"]
    assert "app-1.index" in line
    assert "snapshot" in line
    assert told(tmp_path) == 0


def test_a_snapshot_of_another_recogniser_is_not_used(tmp_path, caplog):
    staffed(tmp_path, 5)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with open_library(foreign) as library:
        library.create_group("shop", "staff")
        library.enrol("shop", [enrolment("staff", "eve", 1)])
    shutil.copy(snapshots(foreign)[0], snapshots(tmp_path)[0])
    with caplog.at_level(logging.WARNING, "library"):
        assert told(tmp_path) == 5
    assert len([record for record in caplog.records if record.name == "library"]) == 1


def test_who_has_not_seen_a_deletion_does_not_bring_the_user_back_into_the_snapshot(tmp_path):
    staffed(tmp_path, 5)
    with open_library(tmp_path, index={"poll_ms": 60_000}) as slow:
        slow.enrol("shop", [enrolment("staff", "ann", 77)])
        with open_library(tmp_path) as other:
            other.delete_user("shop", "u3")
        without = snapshots(tmp_path)[0].read_bytes()
        slow.save_snapshot("shop")
        assert snapshots(tmp_path)[0].read_bytes() == without
    assert snapshots(tmp_path)[0].read_bytes() == without


def test_an_index_that_was_away_too_long_is_built_again(tmp_path):
    staffed(tmp_path)
    kept = snapshots(tmp_path)[0].read_bytes()
    with open_library(tmp_path) as library:
        library.delete_user("shop", "u5")
        with closing(sqlite3.connect(tmp_path / "faces.db")) as connection, connection:
            connection.execute("UPDATE removal SET created = 0")
        assert library.store.prune_removals() == 1
    snapshots(tmp_path)[0].write_bytes(kept)
    assert told(tmp_path) == 29


def test_a_restored_backup_is_searched_without_a_restart(tmp_path):
    with open_library(tmp_path) as library, open_library(tmp_path) as other:
        library.create_group("shop", "staff")
        library.enrol("shop", [enrolment("staff", "ann", 1)])
        library.store.backup(tmp_path / "backup")
        library.enrol("shop", [enrolment("staff", "bob", 2)])
        library.delete_user("shop", "ann")
        assert wait_until(lambda: found_users(other, 1) == ["bob"], SOON_S)
        library.store.restore(tmp_path / "backup", replace=True)
        for one in (library, other):
            assert wait_until(lambda one=one: found_users(one, 2) == ["ann"], SOON_S)


def test_a_library_that_was_moved_to_another_recogniser_is_searched_with_that_one(tmp_path):
    staffed(tmp_path, 5)
    moved = Recogniser("newer", 8, RECOGNISER.scores)
    with open_library(tmp_path) as old, Library(library_config(tmp_path), moved) as new:
        assert code_of(lambda: best(new, 1)) == "model_mismatch"
        tokens = [old.store.faces("shop", "staff", f"u{n}")[0].token for n in range(5)]
        embeddings = zip(tokens, vectors(5, seed=7, dim=8))
        assert old.store.replace_embeddings("shop", "newer", embeddings) == 5

        def found_by(library, query):
            try:
                return users(library.search("shop", [query], users=1)[0])
            except LibraryError as error:
                return error.code

        query = vectors(5, seed=7, dim=8)[3]
        assert wait_until(lambda: found_by(new, query) == ["u3"], SOON_S)
        assert wait_until(lambda: found_by(old, vectors(1)[0]) == "model_mismatch", SOON_S)


def test_a_database_that_is_away_is_told_and_used_again_once_it_is_back(
    tmp_path, postgresql: Server
):
    url = postgresql.new_database()
    with open_library(tmp_path, database=url, database_timeout_s=2.0) as library:
        library.create_group("shop", "staff")
        library.enrol("shop", [enrolment("staff", "ann", 1)])
        postgresql.stop()
        try:
            assert code_of(lambda: best(library, 1)) == "database_unavailable"
            assert code_of(lambda: library.enrol("shop", [enrolment("staff", "bob", 2)])) == (
                "database_unavailable"
            )
        finally:
            postgresql.start()
        assert best(library, 1) == ["ann"]
        library.enrol("shop", [enrolment("staff", "bob", 2)])
        assert best(library, 2)[0] == "bob"


def test_milvus_lite_in_another_process_is_told_and_used_once_it_is_free(tmp_path):
    settings = {"index": {"kind": "milvus", "milvus_uri": "index.db"}}
    staffed(tmp_path, 3, **settings)
    with peer(tmp_path, **settings) as other:
        assert other.best(1)[0] == "u1"
        with open_library(tmp_path, **settings) as library:
            assert code_of(lambda: best(library, 1)) == "index_unavailable"
            library.enrol("shop", [enrolment("staff", "u9", 9)])
            other.end()

            def found():
                try:
                    return best(library, 9)
                except LibraryError as error:
                    return error.code

            assert wait_until(lambda: found() != "index_unavailable", SOON_S)
            assert found()[0] == "u9"


def test_an_approximate_index_takes_over_from_its_number_of_faces_on(tmp_path):
    settings = {"index": {"kind": "approximate", "approximate_from": 1000}}
    staffed(tmp_path, 1200, limits={"batch": 2000}, **settings)
    with open_library(tmp_path, **settings) as library:
        found = library.search("shop", [vectors(1, n)[0] for n in range(0, 1200, 10)], users=1)
        assert [hits[0].user for hits in found] == [f"u{n}" for n in range(0, 1200, 10)]


def test_a_snapshot_directory_that_cannot_be_written_is_told_and_searches_go_on(tmp_path, caplog):
    folder = library_config(tmp_path).snapshot_dir().relative_to(tmp_path).parts[0]
    (tmp_path / folder).write_text("a file where a folder should be")
    with caplog.at_level(logging.WARNING, "library"):
        staffed(tmp_path)
    assert "no snapshot was written" in caplog.text
    assert told(tmp_path) == 30


def test_a_closed_library_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    staffed(tmp_path)
    left = [one for one in threading.enumerate() if one not in before]
    assert [one.name for one in left if one.name.startswith("index")] == []
