"""What an operator does with the store: export, check, repair, reembed, compact."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from library.errors import ModelMismatchError, NotFoundError
from library.store.inspection import KINDS
from tests.support.libraries.faces import MODEL, enrolment, vectors
from tests.support.libraries.shop import PNG, content


def kinds(store):
    return sorted(problem.kind for problem in store.check())


def run(store, *statements):
    """What another program does to the tables, without regard to their references."""
    backend = store._database.backend
    with store._database.engine.connect() as connection:
        for off in {
            "sqlite": ["PRAGMA foreign_keys = OFF"],
            "postgresql": ["SET session_replication_role = replica"],
            "mariadb": ["SET SESSION foreign_key_checks = 0"],
        }[backend]:
            connection.exec_driver_sql(off)
            if backend == "sqlite":
                connection.rollback()
                connection.connection.cursor().execute(off)
        for statement in statements:
            connection.execute(text(statement))
        connection.commit()
        connection.invalidate()


def test_an_export_has_every_face_of_every_user(staffed):
    exported = list(staffed.export("shop"))
    assert [(one.group, one.user, one.face.token) for one in exported] == [
        ("staff", "u0", "t0"),
        ("staff", "u1", "t1"),
        ("staff", "u2", "t2"),
        ("staff", "u3", "t3"),
        ("staff", "u4", "t4"),
        ("guests", "u1", "t1"),
    ]
    assert exported[3].info == "info 3"
    assert exported[3].crop is None
    np.testing.assert_array_equal(exported[3].face.embedding, vectors(1, 3)[0])
    assert [one.crop for one in staffed.export("shop", crops=True)][:2] == [PNG + b"0", PNG + b"1"]
    with pytest.raises(NotFoundError):
        list(staffed.export("none"))


def test_an_export_is_of_one_moment_while_others_write(staffed):
    rows = staffed.export("shop")
    first = next(rows)
    staffed.delete_user("shop", "u4")
    staffed.delete_group("shop", "guests")
    assert len([first, *rows]) == 6
    assert len(list(staffed.export("shop"))) == 4


def test_a_sound_library_has_no_problems(staffed):
    assert list(staffed.check()) == []
    assert staffed.repair() == []
    with pytest.raises(NotFoundError):
        list(staffed.check("none"))


def test_every_kind_of_problem_is_found_and_put_right(staffed):
    zero, long, bad = (
        bytes(64),
        (vectors(1, 2)[0] * 3).tobytes(),
        np.full(16, np.nan, "<f4").tobytes(),
    )
    face = "(SELECT id FROM (SELECT id FROM face WHERE token = '{}' AND dim = 16) AS f)"
    hexadecimal = {"sqlite": "X'{}'", "postgresql": "'\\x{}'", "mariadb": "X'{}'"}

    def blob(value):
        return hexadecimal[staffed._database.backend].format(value.hex()).replace(":", "\\:")

    cases = {
        "face_without_entry": [f"DELETE FROM entry WHERE face_id = {face.format('t0')}"],
        "user_without_group": ["DELETE FROM face_group WHERE name = 'guests'"],
        "entry_without_user": ["DELETE FROM person WHERE name = 'u2'"],
        "entry_without_face": [f"DELETE FROM face WHERE id = {face.format('t0')}"],
        "face_of_other_model": ["UPDATE face SET model = 'x' WHERE token = 't3'"],
        "face_of_wrong_size": [f"UPDATE face SET embedding = {blob(bad[:-4])} WHERE token = 't3'"],
        "face_not_finite": [f"UPDATE face SET embedding = {blob(bad)} WHERE token = 't3'"],
        "face_not_unit": [f"UPDATE face SET embedding = {blob(long)} WHERE token = 't2'"],
        "wrong_count": ["UPDATE app SET faces = 77 WHERE name = 'shop'"],
        "crop_without_face": [
            f"UPDATE crop SET face_id = 12345 WHERE face_id = {face.format('t1')}"
        ],
    }
    cases["face_not_finite"].append(f"UPDATE face SET embedding = {blob(zero)} WHERE token = 't4'")
    # A user without faces shows up beside its missing faces; damage cannot be made here.
    assert set(cases) | {"user_without_face", "damaged"} == set(KINDS)
    seen = set()
    for kind, statements in cases.items():
        before = staffed.versions()["shop"].version
        run(staffed, *statements)
        found = kinds(staffed)
        seen |= set(found)
        assert kind in found
        assert sorted(problem.kind for problem in staffed.repair()) == found
        assert list(staffed.check()) == [], kind
        if kind not in ("wrong_count", "crop_without_face"):
            assert staffed.versions()["shop"].version > before, "indexes follow"
        staffed.delete_group("shop", "staff")
        staffed.create_group("shop", "staff")
        if "guests" not in staffed.groups("shop"):
            staffed.create_group("shop", "guests")
        staffed.enrol(
            "shop",
            [enrolment("staff", f"u{s}", s, token=f"t{s}", crop=PNG) for s in range(5)],
        )
        staffed.enrol("shop", [enrolment("guests", "u1", 1, token="t1")], replace=True)
    assert {"face_without_entry", "wrong_count"} <= seen


def test_an_embedding_of_wrong_length_is_scaled(staffed):
    run(staffed, "UPDATE face SET created = created WHERE token = 't2'")
    with staffed._database.engine.begin() as connection:
        connection.execute(
            text("UPDATE face SET embedding = :e WHERE token = 't2'"),
            {"e": (vectors(1, 2)[0] * 3).tobytes()},
        )
    assert kinds(staffed) == ["face_not_unit"]
    staffed.repair("shop")
    np.testing.assert_allclose(staffed.face("shop", "t2").embedding, vectors(1, 2)[0], atol=1e-6)


def test_a_library_moves_to_another_recogniser_in_one_step(staffed):
    before, old = staffed.versions()["shop"], content(staffed)
    pictures = dict(staffed.crops("shop", "new"))
    assert pictures == {f"t{seed}": PNG + b"%d" % seed for seed in range(5)}
    some = [(token, vectors(1, int(png[4:]), 32)[0]) for token, png in pictures.items()]
    with pytest.raises(ModelMismatchError) as error:
        staffed.replace_embeddings("shop", "new", some[:2])
    assert error.value.code == "reembed_incomplete"
    assert content(staffed) == old
    assert staffed.versions()["shop"] == before
    assert sorted(token for token, _ in staffed.crops("shop", "new")) == ["t2", "t3", "t4"]
    assert staffed.replace_embeddings("shop", "new", some[2:]) == 5
    state = staffed.versions()["shop"]
    assert (state.model, state.dim, state.faces, state.entries) == ("new", 32, 5, 6)
    (batch,) = staffed.entries_after(state.id, before.version)
    assert batch.vectors.shape == (6, 32)
    np.testing.assert_array_equal(staffed.face("shop", "t3").embedding, vectors(1, 3, 32)[0])
    assert list(staffed.crops("shop", "new")) == []
    assert staffed.replace_embeddings("shop", "new", []) == 5
    assert list(staffed.check()) == []
    assert staffed.versions()["bank"].model == "another"


def test_moving_ignores_faces_that_are_gone_and_refuses_two_dimensions(staffed):
    some = [(f"t{seed}", vectors(1, seed, 32)[0]) for seed in range(5)]
    staffed.delete_user("shop", "u0")
    with pytest.raises(ModelMismatchError) as error:
        staffed.replace_embeddings("shop", "new", [*some[:4], ("t4", vectors(1, 4, 8)[0])])
    assert error.value.code == "model_mismatch"
    assert staffed.replace_embeddings("shop", "new", [*some, ("unknown", some[0][1])]) == 4
    with pytest.raises(NotFoundError):
        staffed.replace_embeddings("none", "new", some)


def test_the_tables_are_those_that_the_migrations_make(staffed):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from library.sql.tables import METADATA

    with staffed._database.reading() as connection:
        context = MigrationContext.configure(connection)
        # MySQL makes of BLOB(16777215) the smallest type that holds so much.
        differences = [
            difference
            for difference in compare_metadata(context, METADATA)
            if "MEDIUMBLOB" not in str(difference)
        ]
    assert differences == []


def test_a_deleted_user_leaves_nothing_in_sqlites_files(tmp_path, open_store):
    store = open_store(f"sqlite:///{tmp_path}/faces.db", store_crops=True)
    store.create_group("shop", "staff")
    made = vectors(600, 1, 128)
    for start in range(0, 600, 50):
        store.enrol(
            "shop",
            [
                enrolment(
                    "staff",
                    f"person{n}",
                    n,
                    f"info{n}info",
                    dim=128,
                    token=f"token{n}x",
                    metadata=f"metadata{n}x",
                    crop=PNG + b"crop%dx" % n,
                )
                for n in range(start, start + 50)
            ],
        )
    gone = range(100, 200)
    kept = {n: store.face("shop", f"token{n}x").embedding.tobytes() for n in (99, 200)}
    lost = {n: store.face("shop", f"token{n}x").embedding.tobytes() for n in gone}
    for n in gone:
        store.delete_user("shop", f"person{n}")
    files = b"".join(file.read_bytes() for file in tmp_path.glob("faces.db*"))
    assert all(embedding in files for embedding in kept.values())
    assert b"info99info" in files
    left = [
        n
        for n, embedding in lost.items()
        if embedding in files
        or any(
            f"{word}{n}{end}".encode() in files
            for word, end in (("info", "info"), ("token", "x"), ("metadata", "x"), ("crop", "x"))
        )
    ]
    assert left == []
    assert made.shape == (600, 128)


def test_compacting_keeps_everything_that_is_there(staffed):
    before = content(staffed)
    staffed.delete_user("bank", "other")
    staffed.compact()
    assert content(staffed) == before
    assert list(staffed.check()) == []
    staffed.enrol("shop", [enrolment("staff", "new", 7, model=MODEL)])
