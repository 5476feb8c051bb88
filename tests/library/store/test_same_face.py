"""A face that is enrolled once more: for the same user, for another one, by two writers at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
from sqlalchemy import text

from library.errors import ExistsError, LibraryError, NotFoundError
from library.records import Enrolment
from tests.support.libraries.faces import enrolment

# Rounding, as a network does it that answers the same picture beside other ones.
NOISE = np.float32(1e-7)
WRITERS = 4


def code(work, *arguments, **options) -> str:
    """The code of the error that a call ends with, "" for none."""
    try:
        work(*arguments, **options)
    except LibraryError as error:
        return error.code
    return ""


def one(group: str, user: str, seed: int = 1, token: str = "t") -> Enrolment:
    return enrolment(group, user, seed, token=token)


def noisy(given: Enrolment) -> Enrolment:
    return replace(given, face=replace(given.face, embedding=given.face.embedding + NOISE))


@pytest.fixture
def staff(store):
    store.create_group("shop", "staff")
    store.create_group("shop", "guests")
    store.enrol("shop", [one("staff", "ada")])
    return store


@pytest.mark.parametrize("user", ["ada", "grace"])
def test_nobody_of_a_group_gets_a_face_that_one_of_it_has(staff, user):
    for again in (one("staff", user), noisy(one("staff", user))):
        assert code(staff.enrol, "shop", [again]) == "face_exists"
    assert staff.users("shop", "staff") == ["ada"]
    assert (staff.statistics("shop").faces, staff.statistics("shop").entries) == (1, 1)


def test_nor_do_two_of_a_batch(staff):
    both = [one("guests", "a", 2, "s"), one("guests", "b", 2, "s")]
    assert code(staff.enrol, "shop", both) == "face_exists"
    assert staff.users("shop", "guests") == []


def test_in_another_group_the_face_is_shared_whatever_rounding_has_done(staff):
    staff.enrol("shop", [noisy(one("guests", "ada"))])
    assert (staff.statistics("shop").faces, staff.statistics("shop").entries) == (1, 2)
    assert code(staff.enrol, "shop", [one("guests", "grace", 7)]) == "face_exists"


def test_a_user_is_not_copied_to_where_somebody_has_one_of_the_faces(staff):
    staff.enrol("shop", [one("guests", "grace")])
    assert code(staff.copy_user, "shop", "ada", "staff", "guests") == "face_exists"
    assert staff.users("shop", "guests") == ["grace"]


def test_replacing_by_the_same_face_leaves_one(staff):
    staff.enrol("shop", [one("staff", "ada", 2, "other")])
    assert staff.enrol("shop", [one("staff", "ada")], replace=True) == ["t"]
    assert [face.token for face in staff.faces("shop", "staff", "ada")] == ["t"]
    assert list(staff.check()) == []


def test_replacing_by_anothers_face_leaves_everything(staff):
    staff.enrol("shop", [one("staff", "grace", 2, "hers")])
    assert code(staff.enrol, "shop", [one("staff", "grace")], replace=True) == "face_exists"
    assert [face.token for face in staff.faces("shop", "staff", "grace")] == ["hers"]


def test_a_face_that_was_deleted_can_be_enrolled_again(staff):
    staff.delete_face("shop", "staff", "ada", "t")
    staff.enrol("shop", [one("staff", "grace")])
    assert staff.users("shop", "staff") == ["grace"]


def at_once(stores: Sequence, work) -> list[str]:
    """The codes of what several writers do at the same moment; `work` gets a store and a number."""
    start = Barrier(len(stores))

    def run(number: int) -> str:
        start.wait()
        return code(work, stores[number], number)

    with ThreadPoolExecutor(len(stores)) as pool:
        return sorted(pool.map(run, range(len(stores))))


@pytest.mark.parametrize("same_user", [True, False])
def test_of_several_writers_at_once_one_enrols_a_face(store, open_store, database_url, same_user):
    """Each with connections of its own, as those of several gateways."""
    store.create_group("shop", "staff")
    stores = [open_store(database_url) for _ in range(WRITERS)]
    for turn in range(5):
        codes = at_once(
            stores,
            lambda one_store, number, turn=turn: one_store.enrol(
                "shop",
                [one("staff", f"u{turn}" if same_user else f"u{turn}_{number}", turn, f"t{turn}")],
            ),
        )
        assert codes == ["", *["face_exists"] * (WRITERS - 1)]
    assert (store.statistics("shop").faces, store.statistics("shop").entries) == (5, 5)
    assert len(store.users("shop", "staff")) == 5


def test_groups_are_made_with_their_first_face_by_several_writers_at_once(
    store, open_store, database_url
):
    stores = [open_store(database_url) for _ in range(WRITERS)]
    codes = at_once(
        stores,
        lambda one_store, number: one_store.enrol(
            "new", [one("first", f"u{number}", number, f"t{number}")], create_groups=True
        ),
    )
    assert codes == [""] * WRITERS
    assert store.groups("new") == ["first"]
    assert len(store.users("new", "first")) == WRITERS


def test_a_face_that_cannot_be_enrolled_makes_no_group(store):
    store.create_group("shop", "staff")
    bad = [one("new", "a", 1, "s"), one("new", "b", 2, "s")]
    with pytest.raises(ExistsError):
        store.enrol("shop", bad, create_groups=True)
    with pytest.raises(ExistsError):
        store.enrol("another", bad, create_groups=True)
    assert store.groups("shop") == ["staff"]
    assert store.apps() == ["shop"]


def test_without_being_told_so_no_group_is_made(store):
    with pytest.raises(NotFoundError) as error:
        store.enrol("shop", [one("new", "a")])
    assert error.value.code == "group_not_found"


def test_the_key_of_face_tokens_is_drawn_once_for_a_database(store, open_store, database_url):
    stores = [open_store(database_url) for _ in range(WRITERS)]
    keys: set[bytes] = set()
    assert at_once(stores, lambda one_store, _: keys.add(one_store.token_key())) == [""] * WRITERS
    assert keys == {store.token_key()}
    assert len(store.token_key()) == 32


def test_the_key_of_face_tokens_goes_with_a_backup(store, open_store, tmp_path):
    store.create_group("shop", "staff")
    key = store.token_key()
    store.backup(tmp_path / "one.db")
    fresh = open_store(f"sqlite:///{tmp_path}/fresh.db")
    assert fresh.token_key() != key
    fresh.restore(tmp_path / "one.db")
    assert fresh.token_key() == key


def test_a_backup_without_a_key_leaves_the_one_that_is_there(store, open_store, tmp_path):
    store.create_group("shop", "staff")
    store.backup(tmp_path / "one.db")
    other = open_store(f"sqlite:///{tmp_path}/other.db")
    other.create_group("shop", "old")
    key = other.token_key()
    other.restore(tmp_path / "one.db", replace=True)
    assert other.token_key() == key
    assert other.groups("shop") == ["staff"]


def test_a_database_of_the_version_before_is_brought_up_to_date(store, open_store, database_url):
    store.create_group("shop", "staff")
    store.enrol("shop", [one("staff", "ada")])
    with store._database.engine.begin() as connection:
        connection.execute(text("DROP TABLE token_key"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    later = open_store(database_url)
    assert len(later.token_key()) == 32
    assert [face.token for face in later.faces("shop", "staff", "ada")] == ["t"]


def test_a_backup_of_the_version_before_can_be_put_back(store, open_store, tmp_path):
    store.create_group("shop", "staff")
    store.enrol("shop", [one("staff", "ada")])
    backup = tmp_path / "one.db"
    store.backup(backup)
    with closing(sqlite3.connect(backup)) as connection, connection:
        connection.execute("DROP TABLE token_key")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    backup.with_name("one.db.sha256").unlink()
    other = open_store(f"sqlite:///{tmp_path}/other.db")
    key = other.token_key()
    other.restore(backup)
    assert other.users("shop", "staff") == ["ada"]
    assert other.token_key() == key
