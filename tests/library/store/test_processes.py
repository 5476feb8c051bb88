"""Many processes and threads write at once, and some of them are killed."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from library.errors import LibraryError
from tests.support.libraries.databases import Server
from tests.support.libraries.faces import enrolment
from tests.support.libraries.shop import AppIndexes
from tests.support.libraries.writer import APP, GROUP, Journal, start_writer, user_of
from tests.support.service import wait_until

TIMEOUT_S = 30.0


def present(store):
    return {one.face.token for one in store.export(APP)}


def assert_whole(tokens, journals):
    """Of every call either all faces are there or none."""
    users = {}
    for journal in journals:
        for token in journal.sure | journal.maybe | journal.gone:
            users.setdefault(user_of(token), set()).add(token)
    for user, expected in users.items():
        assert expected & tokens in (expected, set()), user


def test_processes_that_write_at_once_lose_nothing(store, database_url, tmp_path):
    store.create_group(APP, GROUP)
    paths = [tmp_path / f"journal{number}" for number in range(4)]
    writers = [
        start_writer(database_url, path, f"w{number}", 40, TIMEOUT_S)
        for number, path in enumerate(paths)
    ]
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    journals = [Journal(path) for path in paths]
    assert not any(journal.maybe for journal in journals)
    assert present(store) == set().union(*(journal.sure for journal in journals))
    assert store.versions()[APP].version == 4 * 40
    assert list(store.check()) == []


def test_an_index_that_follows_meanwhile_misses_nothing(store, database_url, tmp_path):
    store.create_group(APP, GROUP)
    writers = [
        start_writer(database_url, tmp_path / f"journal{n}", f"f{n}", 40, TIMEOUT_S)
        for n in range(3)
    ]
    index, steps = AppIndexes(store, APP), 0
    while any(writer.is_alive() for writer in writers):
        before = index.version
        index.catch_up(limit=7)
        steps += index.version > before
    index.catch_up()
    fresh = AppIndexes(store, APP).catch_up()
    assert index.version == fresh.version == 3 * 40
    assert index.entries.keys() == fresh.entries.keys()
    assert steps > 1


def test_threads_of_one_store_write_at_once(store):
    store.create_group(APP, GROUP)

    def enrol(number):
        return store.enrol(APP, [enrolment(GROUP, f"u{number % 5}", number)])

    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(enrol, range(100)))
    assert present(store) == {token for (token,) in tokens}
    assert list(store.check()) == []


def test_the_limit_of_faces_holds_when_all_enrol_the_same_user(store):
    store.create_group(APP, GROUP)

    def enrol(number):
        try:
            store.enrol(APP, [enrolment(GROUP, "u", number)])
        except LibraryError as error:
            return error.code
        return "enrolled"

    with ThreadPoolExecutor(8) as pool:
        ends = Counter(pool.map(enrol, range(40)))
    assert ends == {"enrolled": 20, "too_many_faces": 20}
    assert len(store.faces(APP, GROUP, "u")) == 20


def test_a_group_that_all_make_at_once_is_made_once(store):
    def create(_):
        try:
            store.create_group(APP, GROUP)
        except LibraryError as error:
            return error.code
        return "made"

    with ThreadPoolExecutor(8) as pool:
        ends = Counter(pool.map(create, range(8)))
    assert ends == {"made": 1, "group_exists": 7}
    assert (store.apps(), store.groups(APP)) == ([APP], [GROUP])


def test_single_calls_get_in_between_the_batches_of_an_import(store, database_url, tmp_path):
    store.create_group(APP, GROUP)
    writer = start_writer(database_url, tmp_path / "journal", "single", 30, TIMEOUT_S)
    batch = 0
    while writer.is_alive():
        faces = [enrolment(GROUP, f"b{batch}_{n}", n) for n in range(300)]
        store.enrol(APP, faces)
        batch += 1
    writer.join()
    assert writer.exitcode == 0


@pytest.mark.parametrize("system", ["sqlite", "postgresql", "mariadb"])
def test_processes_that_start_at_once_on_a_new_database(system, request, tmp_path, open_store):
    if system == "sqlite":
        url = f"sqlite:///{tmp_path}/new/faces.db"
    else:
        server: Server = request.getfixturevalue(system)
        url = server.new_database()
    writers = [start_writer(url, tmp_path / f"journal{n}", f"w{n}", 0, TIMEOUT_S) for n in range(5)]
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 5
    assert open_store(url).apps() == []


def test_a_killed_writer_loses_nothing_that_was_answered(store, database_url, tmp_path, open_store):
    rounds = 50 if database_url.startswith("sqlite") else 15
    choose = random.Random(7)
    store.create_group(APP, GROUP)
    journals = []
    for number in range(rounds):
        path = tmp_path / f"journal{number}"
        writer = start_writer(database_url, path, f"r{number}", 10_000, TIMEOUT_S)
        if choose.random() < 0.7:
            # Some are killed while they start, most at work, however slow the machine is.
            assert wait_until(lambda path=path: path.exists() and path.stat().st_size, 60)
        time.sleep(choose.uniform(0, 0.2))
        writer.kill()
        writer.join()
        journals.append(Journal(path))
        store.close()
        store = open_store(database_url)
        tokens = present(store)
        for journal in journals:
            assert journal.sure <= tokens
            assert not journal.gone & tokens
        assert_whole(tokens, journals)
    assert list(store.check()) == []
    assert sum(len(journal.sure) for journal in journals) > rounds / 2


def test_a_store_can_be_used_on_both_sides_of_a_fork(store):
    store.create_group(APP, GROUP)
    store.enrol(APP, [enrolment(GROUP, "before", 1)])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.enrol(APP, [enrolment(GROUP, "child", 2)])
            status = 0
        finally:
            os._exit(status)
    store.enrol(APP, [enrolment(GROUP, "parent", 3)])
    assert os.waitpid(child, 0)[1] == 0
    store.enrol(APP, [enrolment(GROUP, "after", 4)])
    assert sorted(store.users(APP, GROUP)) == ["after", "before", "child", "parent"]
    assert list(store.check()) == []
