"""Apps, groups, users and faces, on every database."""

from __future__ import annotations

import numpy as np

from library.errors import (
    ExistsError,
    InvalidError,
    LimitError,
    NotFoundError,
)
from library.records import Enrolment, NewFace
from tests.support.libraries.faces import DIM, MODEL, enrolment, face, vectors
from tests.support.libraries.shop import raises


def test_an_app_exists_once_a_group_was_made_in_it(store):
    assert store.apps() == []
    store.create_group("shop", "staff")
    assert store.apps() == ["shop"]
    store.delete_group("shop", "staff")
    assert store.apps() == ["shop"]
    assert store.groups("shop") == []
    assert store.groups("unknown") == []


def test_a_group_is_made_once(store):
    store.create_group("shop", "staff")
    with raises("group_exists", ExistsError):
        store.create_group("shop", "staff")
    store.create_group("shop", "Staff")
    assert store.groups("shop") == ["staff", "Staff"]


def test_lists_come_in_the_order_of_making_and_in_pages(store):
    for number in (3, 1, 2):
        store.create_group("shop", f"g{number}")
        store.enrol("shop", [enrolment("g3", f"u{number}", number)])
    assert store.groups("shop", 1, 1) == ["g1"]
    assert store.users("shop", "g3") == ["u3", "u1", "u2"]
    assert store.users("shop", "g3", start=2, length=5) == ["u2"]
    assert store.users("shop", "g3", start=9) == []
    assert store.users("shop", "g3", length=0) == []


def test_a_page_that_makes_no_sense_is_refused(store):
    store.create_group("shop", "staff")
    for page in ({"start": -1}, {"start": 2**70}, {"length": -1}, {"start": 1.5}):
        with raises("invalid_value", InvalidError):
            store.users("shop", "staff", **page)


def test_a_longer_list_than_allowed_is_refused(store):
    with raises("limit_exceeded", LimitError):
        store.groups("shop", length=1001)


def test_an_enrolled_face_comes_back_as_it_was(store):
    store.create_group("shop", "staff")
    info, metadata = "Zoë 张 🙂", '{"door": "北"}'
    given = face(1, quality=0.5, metadata=metadata)
    (token,) = store.enrol("shop", [Enrolment("staff", "zoe", given, info)])
    found = store.face("shop", token)
    np.testing.assert_array_equal(found.embedding, given.embedding)
    assert (found.model, found.quality, found.metadata) == (MODEL, 0.5, metadata)
    assert found.created.utcoffset().total_seconds() == 0
    (user,) = store.user("shop", "zoe")
    assert (user.group, user.info, user.faces) == ("staff", info, 1)
    assert [one.token for one in store.faces("shop", "staff", "zoe")] == [token]


def test_embeddings_are_stored_at_unit_length(store):
    store.create_group("shop", "staff")
    for scale in (1e-30, 0.01, 3, 1e30):
        long = vectors(1, 5)[0].astype(np.float64) * scale
        (token,) = store.enrol("shop", [Enrolment("staff", "u", NewFace(long, MODEL))])
        np.testing.assert_allclose(store.face("shop", token).embedding, vectors(1, 5)[0], atol=1e-6)


def test_an_embedding_that_has_no_direction_is_refused(store):
    store.create_group("shop", "staff")
    for embedding in (
        np.full(DIM, np.nan),
        np.full(DIM, np.inf),
        np.zeros(DIM),
        np.ones((1, DIM)),
        np.ones(0),
        np.ones(5000),
        np.array(["x"] * DIM),
        np.ones(DIM, complex),
        None,
        "face",
        [[1.0, 2.0], [3.0]],
    ):
        with raises("invalid_embedding", InvalidError):
            store.enrol("shop", [Enrolment("staff", "u", NewFace(embedding, MODEL))])
    assert store.users("shop", "staff") == []


def test_ids_have_letters_digits_and_underscores_only(store):
    store.create_group("shop", "staff")
    for name in ("", "a b", "ü", "a-b", "a" * 300, "a\n", "a\0", "'; --", None, 7):
        for call in (
            lambda name=name: store.create_group(name, "staff"),
            lambda name=name: store.create_group("shop", name),
            lambda name=name: store.enrol("shop", [Enrolment("staff", name, face())]),
            lambda name=name: store.delete_user("shop", name),
            lambda name=name: store.copy_user("shop", "u", "staff", name),
        ):
            with raises("invalid_id", InvalidError):
                call()


def test_ids_may_be_as_long_as_configured_and_no_longer(store):
    store.create_group("shop", "g" * 48)
    store.enrol("shop", [enrolment("g" * 48, "u" * 128)])
    with raises("invalid_id"):
        store.create_group("shop", "g" * 49)
    with raises("invalid_id"):
        store.enrol("shop", [enrolment("g" * 48, "u" * 129)])


def test_texts_over_their_limits_are_refused(store):
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", "u", info="张" * 85)])
    with raises("limit_exceeded", LimitError):
        store.enrol("shop", [enrolment("staff", "u", info="张" * 86)])
    with raises("limit_exceeded", LimitError):
        store.enrol("shop", [enrolment("staff", "u", metadata="x" * 4097)])
    with raises("limit_exceeded", LimitError):
        store.update_user("shop", "staff", "u", "x" * 257)


def test_texts_and_numbers_that_no_database_takes_are_refused(store):
    store.create_group("shop", "staff")
    for values in ({"info": "a\0"}, {"info": "\ud800"}, {"quality": float("nan")}):
        with raises("invalid_value", InvalidError):
            store.enrol("shop", [enrolment("staff", "u", **values)])


def test_limits_are_configurable(open_store, database_url):
    store = open_store(
        database_url, limits={"faces_per_user": 2, "batch": 3, "user_id_bytes": 200, "listing": 1}
    )
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", "u" * 200, seed) for seed in range(2)])
    with raises("too_many_faces", LimitError):
        store.enrol("shop", [enrolment("staff", "u" * 200, 3)])
    with raises("limit_exceeded", LimitError):
        store.enrol("shop", [enrolment("staff", f"u{seed}", seed) for seed in range(4)])
    with raises("limit_exceeded", LimitError):
        store.groups("shop", length=2)


def test_a_user_has_at_most_twenty_faces(store):
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", "u", seed) for seed in range(15)])
    with raises("too_many_faces", LimitError):
        store.enrol("shop", [enrolment("staff", "u", seed) for seed in range(15, 21)])
    assert len(store.faces("shop", "staff", "u")) == 15
    store.enrol("shop", [enrolment("staff", "u", seed) for seed in range(15, 20)])
    assert len(store.faces("shop", "staff", "u")) == 20
    with raises("too_many_faces", LimitError):
        store.enrol("shop", [enrolment("staff", "new", seed) for seed in range(21)])


def test_a_batch_is_enrolled_as_a_whole_or_not_at_all(store):
    store.create_group("shop", "staff")
    good = [enrolment("staff", f"u{seed}", seed) for seed in range(5)]
    for bad, code in (
        (enrolment("other", "u"), "group_not_found"),
        (enrolment("staff", "u", model="another"), "model_mismatch"),
        (enrolment("staff", "u", dim=8), "model_mismatch"),
        (enrolment("staff", "u", token="a b"), "invalid_id"),
    ):
        with raises(code):
            store.enrol("shop", [*good, bad])
    assert store.users("shop", "staff") == []
    with raises("invalid_value"):
        store.enrol("shop", [])


def test_tokens_come_in_the_order_of_the_batch(store):
    store.create_group("shop", "staff")
    tokens = store.enrol("shop", [enrolment("staff", f"u{n % 7}", n) for n in range(100)])
    assert len(set(tokens)) == 100
    for number in (0, 50, 99):
        found = store.face("shop", tokens[number]).embedding
        np.testing.assert_array_equal(found, vectors(1, number)[0])


def test_what_is_not_there_is_named(store):
    for call, code in (
        (lambda: store.delete_group("none", "g"), "group_not_found"),
        (lambda: store.users("none", "g"), "group_not_found"),
        (lambda: store.user("none", "u"), "user_not_found"),
        (lambda: store.user("none", "u", "g"), "group_not_found"),
        (lambda: store.faces("none", "g", "u"), "group_not_found"),
        (lambda: store.face("none", "t"), "face_not_found"),
        (lambda: store.enrol("none", [enrolment("g", "u")]), "group_not_found"),
        (lambda: store.update_user("none", "g", "u", ""), "group_not_found"),
        (lambda: store.delete_user("none", "u"), "user_not_found"),
        (lambda: store.statistics("none"), "app_not_found"),
        (lambda: store.resolve_groups("none", ["g"]), "group_not_found"),
    ):
        with raises(code, NotFoundError):
            call()


def test_apps_do_not_see_each_other(store):
    for app, seed in (("shop", 1), ("bank", 2)):
        store.create_group(app, "staff")
        store.enrol(app, [enrolment("staff", "a", seed, token="t")])
    assert not np.array_equal(store.face("shop", "t").embedding, store.face("bank", "t").embedding)
    store.delete_face("bank", "staff", "a", "t")
    assert store.face("shop", "t")
    state = store.versions()["shop"]
    (batch,) = store.entries_after(state.id, 0)
    assert store.describe_persons("shop", batch.persons)[int(batch.persons[0])].user == "a"
    assert store.describe_persons("bank", batch.persons) == {}
    assert store.describe_entries("shop", batch.ids) == {int(batch.ids[0]): "t"}
    assert store.describe_entries("bank", batch.ids) == {}
    store.create_group("shop", "only")
    with raises("group_not_found"):
        store.resolve_groups("bank", ["only"])


def test_statistics_count_shared_faces_once(store):
    store.create_group("shop", "staff")
    store.create_group("shop", "guests")
    store.create_group("shop", "empty")
    store.enrol("shop", [enrolment("staff", f"u{seed % 2}", seed) for seed in range(4)])
    store.copy_user("shop", "u0", "staff", "guests")
    numbers = store.statistics("shop")
    assert (numbers.faces, numbers.entries, numbers.model, numbers.dim) == (4, 6, MODEL, DIM)
    assert [(one.group, one.users, one.faces) for one in numbers.groups] == [
        ("staff", 2, 4),
        ("guests", 1, 2),
        ("empty", 0, 0),
    ]
    assert all(one.created <= one.updated for one in numbers.groups)
