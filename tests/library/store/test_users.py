"""Enrolling, sharing, copying and deleting users and their faces, on every database."""

from __future__ import annotations

import pytest

from library.errors import (
    ExistsError,
    LimitError,
    ModelMismatchError,
    NotFoundError,
)
from tests.support.libraries.faces import enrolment, vectors
from tests.support.libraries.shop import raises


def test_replacing_exchanges_the_faces_of_the_users_named(store):
    store.create_group("shop", "staff")
    old = store.enrol("shop", [enrolment("staff", user, 1, info="old") for user in "ab"])
    (new,) = store.enrol("shop", [enrolment("staff", "a", 2, info="new")], replace=True)
    assert [one.token for one in store.faces("shop", "staff", "a")] == [new]
    assert [one.token for one in store.faces("shop", "staff", "b")] == [old[1]]
    assert [user.info for user in store.user("shop", "a")] == ["new"]
    with raises("face_not_found"):
        store.face("shop", old[0])


def test_embeddings_are_told_of_an_app_a_group_or_a_user_each_face_once(store):
    for group in ("staff", "guests"):
        store.create_group("shop", group)
    store.enrol("shop", [enrolment("staff", user, seed) for user, seed in (("a", 1), ("b", 2))])
    store.copy_user("shop", "a", "staff", "guests")
    store.enrol("shop", [enrolment("guests", "c", 3)])

    def firsts(*where, **most):
        return sorted(float(one[0]) for one in store.embeddings("shop", *where, **most))

    a, b, c = (float(vectors(1, seed)[0][0]) for seed in (1, 2, 3))
    assert firsts() == pytest.approx(sorted([a, b, c]))
    assert firsts("guests") == pytest.approx(sorted([a, c]))
    assert firsts(None, "a") == pytest.approx([a])
    assert firsts("staff", "c") == firsts("nowhere") == []
    assert len(firsts(most=2)) == 2


def test_the_same_faces_can_replace_themselves(store):
    store.create_group("shop", "staff")
    one = enrolment("staff", "a", 1, token="t1")
    for _ in range(3):
        assert store.enrol("shop", [one], replace=True) == ["t1"]
    assert store.statistics("shop").faces == 1


def test_an_info_is_kept_unless_another_one_is_given(store):
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", "a", 1, info="first")])
    store.enrol("shop", [enrolment("staff", "a", 2)])
    assert store.user("shop", "a")[0].info == "first"
    store.enrol("shop", [enrolment("staff", "a", 3, info="")])
    assert store.user("shop", "a")[0].info == ""
    store.update_user("shop", "staff", "a", "second")
    assert store.user("shop", "a")[0].info == "second"


def test_enrolling_can_be_limited_to_users_who_are_there(store):
    store.create_group("shop", "staff")
    with raises("user_not_found", NotFoundError):
        store.enrol("shop", [enrolment("staff", "a")], create_users=False)
    store.enrol("shop", [enrolment("staff", "a", 1)])
    store.enrol("shop", [enrolment("staff", "a", 2)], create_users=False)


def test_a_token_stands_for_one_face(store):
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", "a", 1, token="t")])
    for again in (enrolment("staff", "a", 1, token="t"), enrolment("staff", "b", 2, token="t")):
        with raises("face_exists", ExistsError):
            store.enrol("shop", [again])
    with raises("face_exists", ExistsError):
        store.enrol("shop", [enrolment("staff", "c", seed, token="s") for seed in (3, 4)])
    assert store.users("shop", "staff") == ["a"]


def test_users_of_several_groups_can_share_a_face_by_its_token(store):
    for group in ("staff", "guests", "alumni"):
        store.create_group("shop", group)
    store.enrol(
        "shop", [enrolment("staff", "a", 1, token="t"), enrolment("guests", "b", 1, token="t")]
    )
    store.enrol("shop", [enrolment("alumni", "c", 1, token="t")])
    assert (store.statistics("shop").faces, store.statistics("shop").entries) == (1, 3)
    store.delete_user("shop", "a")
    assert store.face("shop", "t").token == "t"
    store.delete_user("shop", "b")
    store.delete_user("shop", "c")
    with raises("face_not_found"):
        store.face("shop", "t")


def test_an_app_has_faces_of_one_recogniser(store):
    store.create_group("shop", "staff")
    store.create_group("bank", "staff")
    store.enrol("shop", [enrolment("staff", "a")])
    with raises("model_mismatch", ModelMismatchError):
        store.enrol("shop", [enrolment("staff", "b", model="another")])
    with raises("model_mismatch", ModelMismatchError):
        store.enrol("shop", [enrolment("staff", "b", dim=8)])
    store.enrol("bank", [enrolment("staff", "b", model="another", dim=8)])
    store.delete_user("shop", "a")
    store.enrol("shop", [enrolment("staff", "b", model="another", dim=8)])
    assert (store.versions()["shop"].model, store.versions()["shop"].dim) == ("another", 8)


def test_a_copied_user_shares_the_faces(store):
    store.create_group("shop", "staff")
    store.create_group("shop", "guests")
    tokens = store.enrol("shop", [enrolment("staff", "a", seed, info="x") for seed in (1, 2)])
    store.copy_user("shop", "a", "staff", "guests")
    assert [one.token for one in store.faces("shop", "guests", "a")] == tokens
    assert [(user.group, user.info) for user in store.user("shop", "a")] == [
        ("staff", "x"),
        ("guests", "x"),
    ]
    assert (store.statistics("shop").faces, store.statistics("shop").entries) == (2, 4)
    store.delete_user("shop", "a", "staff")
    assert [one.token for one in store.faces("shop", "guests", "a")] == tokens
    store.enrol("shop", [enrolment("guests", "a", 3)])
    assert len(store.faces("shop", "guests", "a")) == 3


def test_copying_says_what_is_in_the_way(store):
    store.create_group("shop", "staff")
    store.create_group("shop", "guests")
    with raises("user_not_found"):
        store.copy_user("shop", "a", "staff", "guests")
    store.enrol("shop", [enrolment("staff", "a")])
    with raises("group_not_found"):
        store.copy_user("shop", "a", "staff", "other")
    with raises("group_not_found"):
        store.copy_user("shop", "a", "other", "staff")
    store.copy_user("shop", "a", "staff", "guests")
    for target in ("guests", "staff"):
        with raises("user_exists", ExistsError):
            store.copy_user("shop", "a", "staff", target)


def test_a_user_goes_with_its_last_face(store):
    store.create_group("shop", "staff")
    first, second = store.enrol("shop", [enrolment("staff", "a", seed) for seed in (1, 2)])
    store.delete_face("shop", "staff", "a", first)
    assert [one.token for one in store.faces("shop", "staff", "a")] == [second]
    with raises("face_not_found", NotFoundError):
        store.delete_face("shop", "staff", "a", first)
    store.delete_face("shop", "staff", "a", second)
    with raises("user_not_found", NotFoundError):
        store.faces("shop", "staff", "a")


def test_deleting_a_user_from_all_groups(store):
    for group in ("g1", "g2"):
        store.create_group("shop", group)
        store.enrol("shop", [enrolment(group, "a", 1), enrolment(group, "b", 2)])
    store.delete_user("shop", "a")
    assert [user.group for user in store.user("shop", "b")] == ["g1", "g2"]
    with raises("user_not_found", NotFoundError):
        store.user("shop", "a")
    with raises("user_not_found", NotFoundError):
        store.delete_user("shop", "a")
    with raises("user_not_found", NotFoundError):
        store.delete_user("shop", "a", "g1")


def test_deleting_a_group_leaves_faces_that_others_share(store):
    store.create_group("shop", "staff")
    store.create_group("shop", "guests")
    (shared,) = store.enrol("shop", [enrolment("staff", "a", 1)])
    store.enrol("shop", [enrolment("staff", f"u{seed}", seed) for seed in range(1200)])
    store.copy_user("shop", "a", "staff", "guests")
    store.delete_group("shop", "staff")
    numbers = store.statistics("shop")
    assert (numbers.faces, numbers.entries) == (1, 1)
    assert store.face("shop", shared)
    assert store.groups("shop") == ["guests"]
    store.create_group("shop", "staff")
    assert store.users("shop", "staff") == []


def test_crops_are_kept_only_where_that_is_switched_on(open_store, database_url):
    for kept, app in ((False, "shop"), (True, "bank")):
        store = open_store(database_url, store_crops=kept)
        store.create_group(app, "staff")
        store.enrol(app, [enrolment("staff", "a", crop=b"\x89PNG" + bytes(100_000))])
        (exported,) = store.export(app, crops=True)
        assert exported.crop == (b"\x89PNG" + bytes(100_000) if kept else None)
        with raises("limit_exceeded", LimitError):
            store.enrol(app, [enrolment("staff", "a", crop=bytes(2_000_000))])
