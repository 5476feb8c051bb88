"""What indexes read from the store: versions, entries, removals."""

from __future__ import annotations

import numpy as np
import pytest

from library.errors import LibraryError, SnapshotError
from tests.support.libraries.faces import DIM, MODEL, enrolment, vectors
from tests.support.libraries.shop import AppIndexes


@pytest.fixture
def staffed(store):
    store.create_group("shop", "staff")
    store.create_group("shop", "guests")
    store.enrol("shop", [enrolment("staff", f"u{seed}", seed) for seed in range(5)])
    return store


def test_a_new_index_reads_everything_in_order_and_in_batches(staffed):
    for _ in range(3):
        staffed.enrol("shop", [enrolment("staff", "more", seed) for seed in range(3)])
    state = staffed.versions()["shop"]
    for limit in (1, 2, 5, 14, 100):
        batches = list(staffed.entries_after(state.id, 0, limit))
        ids = np.concatenate([batch.ids for batch in batches])
        order = np.concatenate([batch.versions for batch in batches])
        np.testing.assert_array_equal(ids, staffed.entry_ids(state.id))
        assert (np.diff(order) >= 0).all()
        assert len(ids) == state.entries == 14
    (batch,) = staffed.entries_after(state.id, 0)
    expected = [vectors(1, seed)[0] for seed in [*range(5), *[0, 1, 2] * 3]]
    np.testing.assert_array_equal(batch.vectors, expected)
    assert (batch.vectors.dtype, batch.ids.dtype) == (np.float32, np.int64)


def test_the_state_of_an_app_says_what_it_has(staffed):
    state = staffed.versions()["shop"]
    assert (state.faces, state.entries, state.model, state.dim) == (5, 5, MODEL, DIM)
    assert (state.version, state.floor) == (1, 0)
    staffed.create_group("bank", "staff")
    other = staffed.versions()["bank"]
    assert (other.faces, other.model, other.dim) == (0, None, None)
    assert other.origin != state.origin
    assert list(staffed.entries_after(other.id, 0)) == []


def test_an_index_follows_every_kind_of_change(staffed):
    index = AppIndexes(staffed, "shop").catch_up()
    assert index.users() == ["u0", "u1", "u2", "u3", "u4"]
    staffed.copy_user("shop", "u1", "staff", "guests")
    staffed.delete_user("shop", "u0")
    assert index.catch_up(limit=1).users() == ["u1", "u1", "u2", "u3", "u4"]
    (token,) = staffed.enrol("shop", [enrolment("staff", "u1", 9)], replace=True)
    assert index.catch_up().users() == ["u1", "u1", "u2", "u3", "u4"]
    staffed.delete_face("shop", "staff", "u1", token)
    assert index.catch_up().users() == ["u1", "u2", "u3", "u4"]
    staffed.delete_group("shop", "staff")
    assert index.catch_up().users() == ["u1"]
    staffed.delete_group("shop", "guests")
    assert index.catch_up().users() == []
    assert AppIndexes(staffed, "shop").catch_up().entries == {}


def test_a_change_that_only_renames_is_no_change_of_the_index(staffed):
    before = staffed.versions()["shop"].version
    staffed.update_user("shop", "staff", "u1", "boss")
    staffed.create_group("shop", "new")
    assert staffed.versions()["shop"].version == before


def test_a_refused_call_leaves_the_version_as_it_was(staffed):
    before = staffed.versions()["shop"]
    for call in (
        lambda: staffed.delete_user("shop", "nobody"),
        lambda: staffed.enrol("shop", [enrolment("staff", "x", model="another")]),
    ):
        with pytest.raises(LibraryError):
            call()
    assert staffed.versions()["shop"] == before


def test_ids_of_entries_are_never_used_again(staffed):
    state = staffed.versions()["shop"]
    seen = set(staffed.entry_ids(state.id))
    for seed in range(3):
        staffed.delete_group("shop", "staff")
        staffed.create_group("shop", "staff")
        staffed.enrol("shop", [enrolment("staff", "u", seed)])
        new = set(staffed.entry_ids(state.id))
        assert not new & seen
        seen |= new


def test_old_removals_are_dropped_and_the_index_is_told(open_store, database_url):
    store = open_store(database_url, keep_removals_days=0.01)
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", f"u{seed}", seed) for seed in range(3)])
    old = store.versions()["shop"].version
    store.delete_user("shop", "u0")
    state = store.versions()["shop"]
    assert store.prune_removals() == 0
    assert len(store.removals_after(state.id, old)[0]) == 1
    # As if 15 minutes had gone by.
    with store._database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE removal SET created = created - 900000")
    assert store.prune_removals() == 1
    assert store.versions()["shop"].floor == state.version
    with pytest.raises(SnapshotError) as error:
        store.removals_after(state.id, old)
    assert error.value.code == "snapshot_mismatch"
    assert len(store.removals_after(state.id, state.version)[0]) == 0


def test_a_damaged_embedding_does_not_keep_an_index_from_its_others(staffed):
    with staffed._database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE face SET embedding = 'xyz' WHERE id = (SELECT id FROM "
            "(SELECT MIN(id) AS id FROM face) AS first)"
        )
    (batch,) = staffed.entries_after(staffed.versions()["shop"].id, 0)
    assert batch.vectors.shape == (4, DIM)


def test_many_entries_of_one_version_are_read_over_several_batches(store):
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", f"u{seed}", seed) for seed in range(300)])
    state = store.versions()["shop"]
    sizes = [len(batch) for batch in store.entries_after(state.id, 0, 77)]
    assert sizes == [77, 77, 77, 69]
    assert list(store.entries_after(state.id, state.version)) == []
    assert list(store.entries_after(state.id, 0, upto=0)) == []
