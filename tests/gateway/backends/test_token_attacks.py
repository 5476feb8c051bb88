"""What is left of a deleted face: its embedding in tokens that were given for the same picture."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gateway.backends import face_tokens as module
from gateway.backends.face_tokens import FaceTokens, new_token
from library.face_token_file import KnownFace, TokenFile
from library.likeness import leading_halves, same
from tests.support.gateway.client import FACE, SIMILAR, App
from tests.support.libraries.faces import vectors
from tests.support.service import Service, wait_until

pytestmark = pytest.mark.attack

SOON_S = 30.0
NOT_KNOWN = 222209
NOISE = np.float32(1e-7)


def reading(file: Path) -> closing[sqlite3.Connection]:
    """A connection that leaves the file to the service, also when it is closed."""
    return closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True))


def known(app: App, token: str) -> bool:
    """Whether a face can still be named by a token."""
    code = app.code("face/match", [{"image": token, "image_type": "FACE_TOKEN"}] * 2)
    assert code in (0, NOT_KNOWN)
    return code == 0


def embedding_of(service: Service, app: App, token: str) -> bytes:
    """The embedding of a registered face."""
    with reading(service.directory / "data" / "faces.db") as database:
        query = (
            "SELECT embedding FROM face JOIN app ON app.id = face.app_id"
            " WHERE app.name = ? AND token = ?"
        )
        return bytes(database.execute(query, (app.name, token)).fetchone()[0])


def holds(service: Service, app: App, embedding: bytes) -> bool:
    """Whether the tokens' file has this embedding for an app, whatever rounding has done to it."""
    with reading(service.directory / "data" / "tokens.db") as database:
        rows = database.execute("SELECT embedding FROM face_tokens WHERE app = ?", (app.name,))
        wanted = np.frombuffer(embedding, "<f4")
        return any(np.frombuffer(row, "<f4") @ wanted > 0.9999 for (row,) in rows)


WAYS = {
    "user": ("user/delete", {"group_id": "staff", "user_id": "ada"}),
    "user everywhere": ("user/delete", {"group_id": "@ALL", "user_id": "ada"}),
    "face": ("face/delete", {"group_id": "staff", "user_id": "ada"}),
    "group": ("group/delete", {"group_id": "staff"}),
    "update": (
        "face/update",
        {"image": SIMILAR, "image_type": "BASE64", "group_id": "staff", "user_id": "ada"},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_with_a_face_the_tokens_of_its_picture_go(service, app, way):
    app.result("group/add", group_id="staff")
    before, other = app.token(FACE), app.token(SIMILAR)
    enrolled = app.enrol("staff", "ada", FACE)
    after = app.token(FACE)
    embedding = embedding_of(service, app, enrolled)
    assert wait_until(lambda: holds(service, app, embedding), SOON_S)
    assert known(app, before)

    path, parameters = WAYS[way]
    if way == "face":
        parameters = {**parameters, "face_token": enrolled}
    app.result(path, **parameters)
    assert not holds(service, app, embedding)
    assert [known(app, token) for token in (before, after, enrolled)] == [False] * 3
    assert known(app, other), "of another picture"


def test_a_face_of_the_same_picture_in_another_app_stays(service, app, any_app):
    app.result("group/add", group_id="staff")
    app.enrol("staff", "ada", FACE)
    token = any_app.token(FACE)
    app.result("user/delete", group_id="staff", user_id="ada")
    assert known(any_app, token)


def face(embedding, app="shop"):
    return KnownFace(new_token(), app, "recogniser", embedding, {}, 0.9, None, None, None)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "data" / "tokens.db"


@pytest.fixture
def tokens(file):
    made = FaceTokens(file, 3600.0, 100_000)
    yield made
    made.close()


def forget(tokens, embeddings, app="shop", timeout=SOON_S):
    return asyncio.run(tokens.forget_alike(app, embeddings, timeout))


def get(tokens, one):
    return asyncio.run(tokens.get(one.app, one.token))


def count(file):
    try:
        with reading(file) as connection:
            return connection.execute("SELECT count(*) FROM face_tokens").fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # not made yet


def on_disk(file):
    return b"".join(one.read_bytes() for one in file.parent.iterdir())


def test_what_is_forgotten_is_in_no_file_the_moment_that_is_said(file, tokens):
    faces = [face(vector) for vector in vectors(50, 1)]
    for one in faces:
        tokens.put(one)
    assert wait_until(lambda: count(file) == 50, SOON_S)
    assert forget(tokens, [faces[3].embedding, faces[4].embedding])
    left = on_disk(file)
    for one in faces[3:5]:
        assert one.embedding.tobytes() not in left
        assert get(tokens, one) is None
    assert count(file) == 48
    assert get(tokens, faces[5]) is faces[5]
    tokens.close()
    again = FaceTokens(file, 3600.0, 1000)
    assert [get(again, one) is None for one in faces[2:6]] == [False, True, True, False]
    again.close()


def test_a_face_that_is_in_memory_only_is_forgotten_there_and_never_written(file, tokens):
    one = face(vectors(1, 2)[0])
    tokens.put(one)
    assert forget(tokens, [one.embedding])
    assert get(tokens, one) is None
    tokens.close()
    assert one.embedding.tobytes() not in on_disk(file)


def test_a_face_that_was_enrolled_is_not_left_in_the_write_ahead_log(file, tokens):
    one = face(vectors(1, 3)[0])
    tokens.put(one)
    assert wait_until(lambda: count(file) == 1, SOON_S)
    tokens.forget(one)
    assert forget(tokens, [one.embedding])
    assert one.embedding.tobytes() not in on_disk(file)


def test_all_of_an_app_can_be_forgotten(file, tokens):
    faces = [face(vector, app) for app in ("shop", "bank") for vector in vectors(20, 4)]
    for one in faces:
        tokens.put(one)
    assert forget(tokens, None)
    assert [get(tokens, one) is None for one in faces] == [True] * 20 + [False] * 20
    assert wait_until(lambda: count(file) == 20, SOON_S)


def test_rounding_hides_no_face(file, tokens):
    """Also of embeddings whose first component is next to nothing, or just beside a power of 2."""
    awkward = vectors(12, 5).copy()
    firsts = [0.0, 1e-7, -1e-7, 1e-5, -1e-5, 2e-5, 1e-4, 0.125, 0.0625, -0.125, 0.00390625, -1e-3]
    awkward[:, 0] = np.array(firsts, np.float32)
    awkward /= np.linalg.norm(awkward, axis=1, keepdims=True)
    awkward[:, 0] = np.array(firsts, np.float32)
    stored = [face(vector) for vector in awkward]
    others = [face(vector) for vector in vectors(500, 6)]
    for one in stored + others:
        tokens.put(one)
    assert wait_until(lambda: count(file) == 512, SOON_S)
    rng = np.random.default_rng(1)
    noise = rng.choice([-NOISE, NOISE], awkward.shape).astype(np.float32)
    assert forget(tokens, list(awkward + noise))
    assert count(file) == 500
    assert all(get(tokens, one) is None for one in stored)


def test_a_face_of_another_recogniser_is_another(tokens):
    short = face(vectors(1, 7, 64)[0])
    tokens.put(short)
    assert forget(tokens, list(vectors(1, 7)))
    assert get(tokens, short) is short


def test_a_file_that_cannot_be_written_delays_and_does_not_undo(file, tokens, monkeypatch):
    monkeypatch.setattr(module, "_RETRY_S", (0.05, 0.1))
    one = face(vectors(1, 8)[0])
    tokens.put(one)
    assert wait_until(lambda: count(file) == 1, SOON_S)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not forget(tokens, [one.embedding], timeout=0.5)
        other.execute("ROLLBACK")
    assert wait_until(lambda: one.embedding.tobytes() not in on_disk(file), SOON_S)
    assert count(file) == 0


def test_what_another_process_takes_out_of_the_file_is_not_known_for_long(
    file, tokens, monkeypatch
):
    one, other = face(vectors(1, 11)[0]), face(vectors(1, 12)[0])
    tokens.put(one)
    assert wait_until(lambda: count(file) == 1, SOON_S)
    command = TokenFile(file)
    command.forget("shop", one.embedding)
    assert command.scrub()
    command.close()
    assert get(tokens, one) is one, "from memory"
    tokens.put(other)  # or half a minute later by itself
    assert wait_until(lambda: get(tokens, one) is None, SOON_S)
    assert get(tokens, other) is not None


def test_a_deletion_does_not_read_all_tokens(file, monkeypatch):
    """It would take seconds of a large file, for each of ten thousand users."""
    made = TokenFile(file)
    made.write([module.new_entry(face(vector), time.time()) for vector in vectors(20_000, 9)])
    looked_at = []
    monkeypatch.setattr(
        "library.face_token_file.same",
        lambda embeddings, others: looked_at.append(len(embeddings)) or same(embeddings, others),
    )
    for vector in vectors(100, 10):
        made.forget("shop", vector)
    made.close()
    assert sum(looked_at) < 100 * 20_000 / 20


def test_the_halves_of_a_component_are_few_and_hold_its_own():
    for first in (0.5, -0.5, 0.01, -0.01, 0.001, 0.9999):
        vector = np.array([first, 0.0], "<f4")
        halves = leading_halves(vector)
        assert halves is not None
        assert vector.tobytes()[2:4] in halves
    assert leading_halves(np.array([1e-7, 1.0], "<f4")) is None
